// The box that tells the values at the cursor: in its own panel, at the side away from the pointer, so that it covers no other chart.
// Its elements are kept and only their text changes: it is filled on every move.
import { placesNear } from "./near";
import type { Frame } from "./draw/frame";
import type { Line } from "./draw/line";
import type { Hit } from "./draw/nearest";
import { px } from "./draw/scale";
import { bucketText, detailOf, indexText, valueText } from "./said";
import type { XAxis } from "../state/view";

const MOST_ROWS = 15;
const ROW = 17;
/** px of the box that are no rows of its list. */
const AROUND = 42;
const EDGE = 8;
/** px above the plot that are still the panel's own: its head. */
const HEAD = 46;

interface Row {
  box: HTMLDivElement;
  dot: HTMLSpanElement;
  name: HTMLSpanElement;
  value: HTMLSpanElement;
  color: string;
}

function element<K extends keyof HTMLElementTagNameMap>(name: K, className: string, parent: Element): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

const say = (target: HTMLElement, text: string): void => {
  if (target.textContent !== text) target.textContent = text;
};

export class Tooltip {
  private readonly box: HTMLDivElement;
  private readonly title: HTMLDivElement;
  private readonly list: HTMLDivElement;
  private readonly more: HTMLDivElement;
  private readonly detail: HTMLDivElement;
  private readonly rows: Row[] = [];
  /** As it was last laid out: to ask in every frame would have the page laid out twice in each. */
  private width = 200;
  private placed: { frame: Frame; x: number; rows: number } | null = null;
  private readonly sized = new ResizeObserver(([entry]) => {
    const width = entry?.borderBoxSize[0]?.inlineSize || this.width;
    if (width === this.width) return;
    this.width = width;
    this.place();
  });

  constructor(parent: Element) {
    this.box = element("div", "chart-tip", parent);
    this.box.hidden = true;
    this.box.setAttribute("aria-hidden", "true");
    this.title = element("div", "chart-tip-title", this.box);
    this.list = element("div", "chart-tip-rows", this.box);
    this.more = element("div", "chart-tip-more", this.box);
    this.detail = element("div", "chart-tip-detail", this.box);
    this.sized.observe(this.box);
  }

  close(): void {
    this.sized.disconnect();
  }

  hide(): void {
    if (!this.box.hidden) this.box.hidden = true;
  }

  /** The values of all lines at the bucket that was hit; `row` is what else is known of that very point. */
  show(lines: readonly Line[], frame: Frame, hit: Hit, x: XAxis, row: string): void {
    const place = hit.line.places.x[hit.at] as number;
    say(this.title, bucketText(x, hit.line, hit.at));
    const found = placesNear(lines, frame, place, hit).sort((a, b) => order(b) - order(a));
    const details = detailOf(hit.line, hit.at);
    if (x.by !== "index" && hit.line.sample) details.unshift(indexText(hit.line, hit.at));
    if (row) details.push(row);
    const room = Math.max(3, Math.min(MOST_ROWS, Math.floor((frame.height + HEAD - AROUND) / ROW) - details.length));
    // Where there are more than fit: those around the one that is pointed at.
    const chosen = found.findIndex(({ line }) => line === hit.line);
    const first = Math.max(0, Math.min(chosen - Math.floor(room / 2), found.length - room));
    const shown = found.slice(first, first + room);
    shown.forEach(({ line, at }, i) => {
      const made = this.row(i);
      if (made.box.hidden) made.box.hidden = false;
      made.box.classList.toggle("here", line === hit.line);
      if (made.color !== line.color) made.dot.style.background = made.color = line.color;
      say(made.name, line.name);
      say(made.value, valueText(line, at));
    });
    for (const spare of this.rows.slice(shown.length)) if (!spare.box.hidden) spare.box.hidden = true;
    const after = found.length - first - shown.length;
    say(this.more, [first > 0 && `${first} above`, after > 0 && `${after} below`].filter(Boolean).join(", "));
    say(this.detail, details.join("\n"));
    if (this.box.hidden) this.box.hidden = false;
    this.placed = { frame, x: px(frame.x, place), rows: shown.length + details.length + Number(found.length > shown.length) };
    this.place();
  }

  private place(): void {
    const { width, placed } = this;
    if (!placed) return;
    const { frame, x, rows } = placed;
    const middle = (frame.left + frame.right) / 2;
    const left = x <= middle ? frame.width - width - EDGE : frame.left + EDGE;
    // A narrow panel has no side that is far enough away: what is pointed at stays free.
    const beside = x <= middle ? Math.max(left, x + 14) : Math.min(left, x - 14 - width);
    const fits = beside >= -20 && beside + width <= frame.width + 20;
    const top = Math.max(-HEAD, Math.min(EDGE, frame.height - AROUND - rows * ROW));
    this.box.style.transform = `translate(${Math.round(fits ? beside : left)}px, ${Math.round(top)}px)`;
  }

  private row(i: number): Row {
    const known = this.rows[i];
    if (known) return known;
    const box = element("div", "chart-tip-row", this.list);
    const made = {
      box,
      dot: element("span", "chart-tip-dot", box),
      name: element("span", "chart-tip-name", box),
      value: element("span", "chart-tip-value", box),
      color: "",
    };
    this.rows.push(made);
    return made;
  }
}

function order({ line, at }: { line: Line; at: number }): number {
  const value = line.y[at] as number;
  if (!Number.isNaN(value)) return value;
  return valueText(line, at) === "∞" ? Infinity : -Infinity;
}
