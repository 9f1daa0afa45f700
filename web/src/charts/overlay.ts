// What follows the pointer: the run that is pointed at drawn strongly, a line across the plot, a dot on each line.
import type { Canvases } from "./canvases";
import type { Frame } from "./draw/frame";
import type { Line } from "./draw/line";
import type { Hit } from "./draw/nearest";
import { paintLine } from "./draw/paint";
import type { Ink, Pen } from "./draw/pen";
import { px } from "./draw/scale";
import { placesNear } from "./near";

/** Beyond these many lines dots would be a smear. */
const MOST_DOTS = 60;
/** px of the strip to either side of the cursor at least: that its size does not change with every move. */
const HALF = 10;
const DOT = 3;

export class Overlay {
  /** What is drawn strongly now, and in which frame: as long as both stay, so does the picture. */
  private strong: Line | null = null;
  private within: Frame | null = null;

  constructor(private readonly canvases: Canvases) {}

  show(frame: Frame, lines: readonly Line[], ink: Ink, place: number | null, run: string | null, hit: Hit | null): void {
    const chosen = (lines.length > 1 && lines.find(({ id }) => id === run)) || null;
    if (chosen !== this.strong || frame !== this.within) {
      this.strong = chosen;
      this.within = frame;
      this.canvases.showAbove(chosen !== null);
      if (chosen) paintStrong(this.canvases.above, frame, chosen, ink);
    }
    const x = place === null ? NaN : px(frame.x, place);
    if (!(x >= frame.left - 1 && x <= frame.right + 1)) return this.canvases.hideStrip();
    const near = placesNear(lines.length > MOST_DOTS ? (chosen ? [chosen] : []) : lines, frame, place as number, hit);
    const dots = near.map(({ line, at }) => ({ x: px(frame.x, line.places.x[at] as number), y: px(frame.y, line.y[at] as number), line }));
    let [from, to] = [x - HALF, x + HALF];
    for (const dot of dots) {
      if (dot.x - 6 < from) from = dot.x - 6;
      if (dot.x + 6 > to) to = dot.x + 6;
    }
    const pen: Pen = this.canvases.stripAt(from, to);
    pen.strokeStyle = ink.soft;
    pen.lineWidth = 1;
    pen.beginPath();
    const at = Math.round(x) + 0.5;
    pen.moveTo(at, frame.top);
    pen.lineTo(at, frame.bottom);
    pen.stroke();
    pen.strokeStyle = ink.background;
    pen.lineWidth = 1.5;
    for (const dot of dots) {
      if (!(dot.y >= frame.top - 2 && dot.y <= frame.bottom + 2)) continue;
      pen.beginPath();
      pen.arc(dot.x, dot.y, dot.line === chosen ? DOT + 1 : DOT, 0, 2 * Math.PI);
      pen.fillStyle = dot.line.color;
      pen.fill();
      pen.stroke();
    }
  }

  hide(): void {
    this.strong = this.within = null;
    this.canvases.showAbove(false);
    this.canvases.hideStrip();
  }
}

function paintStrong(pen: Pen, frame: Frame, line: Line, ink: Ink): void {
  pen.save();
  pen.beginPath();
  pen.rect(frame.left, frame.top - 3, frame.right - frame.left, frame.bottom - frame.top + 6);
  pen.clip();
  paintLine(pen, frame, { ...line, color: ink.background, dash: [] }, 5, 0.8);
  paintLine(pen, frame, line, 2.5, 1);
  pen.restore();
}
