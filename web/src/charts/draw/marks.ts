// Marks on a chart: values that are not finite, and where a run began again.
import type { Frame } from "./frame";
import type { Line } from "./line";
import type { Ink, Pen } from "./pen";
import { px } from "./scale";

/** At the edges of the plot: NaN a cross at the bottom, infinities triangles that point out at the top and the bottom. */
export function paintOdd(pen: Pen, frame: Frame, line: Line): void {
  const { sample, places } = line;
  if (!sample) return;
  pen.fillStyle = line.color;
  pen.strokeStyle = line.color;
  pen.lineWidth = 1.5;
  const each = (counts: Float64Array | null, mark: (x: number) => void) => {
    if (!counts) return;
    let before = -Infinity;
    for (let i = 0; i < sample.n; i += 1) {
      const x = px(frame.x, places.x[i] as number);
      if (!((counts[i] as number) > 0) || !(x >= frame.left && x <= frame.right) || Math.abs(x - before) < 3) continue;
      before = x;
      mark(x);
    }
  };
  pen.beginPath();
  each(sample.posinf, (x) => triangle(pen, x, frame.top - 4, 5));
  each(sample.neginf, (x) => triangle(pen, x, frame.bottom + 4, -5));
  pen.fill();
  pen.beginPath();
  each(sample.nan, (x) => {
    const y = frame.bottom - 4;
    pen.moveTo(x - 2.5, y - 2.5);
    pen.lineTo(x + 2.5, y + 2.5);
    pen.moveTo(x + 2.5, y - 2.5);
    pen.lineTo(x - 2.5, y + 2.5);
  });
  pen.stroke();
}

function triangle(pen: Pen, x: number, y: number, height: number): void {
  pen.moveTo(x, y);
  pen.lineTo(x - 4, y + height * 1.4);
  pen.lineTo(x + 4, y + height * 1.4);
  pen.closePath();
}

/** Where a run began again: a notch on the axis, and where there is one run a faint line up. */
export function paintRestarts(pen: Pen, frame: Frame, line: Line, ink: Ink, crowd: number): void {
  for (const at of line.restarts) {
    const x = Math.round(px(frame.x, at)) + 0.5;
    if (!(x >= frame.left && x <= frame.right)) continue;
    pen.fillStyle = crowd === 1 ? ink.soft : line.color;
    pen.beginPath();
    triangle(pen, x, frame.bottom - 6, 5);
    pen.fill();
    if (crowd > 1) continue;
    pen.strokeStyle = ink.soft;
    pen.globalAlpha = 0.6;
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(x, frame.top);
    pen.lineTo(x, frame.bottom);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }
}
