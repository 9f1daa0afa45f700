// A pen that writes SVG: what is painted on the screen, as shapes that a paper can scale. Texts are escaped.
import type { Pen } from "../draw/pen";

interface State {
  strokeStyle: string;
  fillStyle: string;
  lineWidth: number;
  globalAlpha: number;
  font: string;
  textAlign: CanvasTextAlign;
  textBaseline: CanvasTextBaseline;
  dash: readonly number[];
  clip: number | null;
}

const escaped = (text: string): string =>
  // Characters that XML has no place for, in any spelling.
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd").replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
const number = (value: number): string => String(Math.round(value * 100) / 100);
/** A canvas passes over what has no place; a path of SVG ends there. */
const drawable = (...numbers: number[]): boolean => numbers.every(Number.isFinite);
const ANCHORS: Partial<Record<CanvasTextAlign, string>> = { right: "end", center: "middle" };
/** Share of the font's size from the given line to the baseline. */
const BASELINES: Partial<Record<CanvasTextBaseline, number>> = { middle: 0.35, top: 0.8 };

export class SvgPen implements Pen {
  lineJoin: CanvasLineJoin = "round";
  private state: State = {
    strokeStyle: "#000", fillStyle: "#000", lineWidth: 1, globalAlpha: 1, font: "11px sans-serif", textAlign: "left", textBaseline: "top", dash: [], clip: null,
  };
  private readonly stack: State[] = [];
  private path = "";
  private clips = 0;
  private readonly made: string[] = [];

  constructor(private readonly width: number, private readonly height: number, private readonly measure: Pen) {}

  get strokeStyle() { return this.state.strokeStyle; }
  set strokeStyle(value: Pen["strokeStyle"]) { this.state.strokeStyle = String(value); }
  get fillStyle() { return this.state.fillStyle; }
  set fillStyle(value: Pen["fillStyle"]) { this.state.fillStyle = String(value); }
  get lineWidth() { return this.state.lineWidth; }
  set lineWidth(value: number) { this.state.lineWidth = value; }
  get globalAlpha() { return this.state.globalAlpha; }
  set globalAlpha(value: number) { this.state.globalAlpha = value; }
  get font() { return this.state.font; }
  set font(value: string) { this.state.font = value; }
  get textAlign() { return this.state.textAlign; }
  set textAlign(value: CanvasTextAlign) { this.state.textAlign = value; }
  get textBaseline() { return this.state.textBaseline; }
  set textBaseline(value: CanvasTextBaseline) { this.state.textBaseline = value; }

  save(): void { this.stack.push({ ...this.state }); }
  restore(): void { this.state = this.stack.pop() ?? this.state; }
  beginPath(): void { this.path = ""; }
  closePath(): void { if (this.path) this.path += "Z"; }
  moveTo(x: number, y: number): void { if (drawable(x, y)) this.path += `M${number(x)} ${number(y)}`; }
  /** As on a canvas the first of a path only begins it. */
  lineTo(x: number, y: number): void { if (drawable(x, y)) this.path += `${this.path ? "L" : "M"}${number(x)} ${number(y)}`; }
  setLineDash(dash: number[]): void { this.state.dash = dash; }

  rect(x: number, y: number, width: number, height: number): void {
    if (!drawable(x, y, width, height)) return;
    this.path += `M${number(x)} ${number(y)}h${number(width)}v${number(height)}h${number(-width)}Z`;
  }

  /** Whole circles only: charts have no other arcs. */
  arc(x: number, y: number, radius: number): void {
    const r = number(radius);
    this.path += `M${number(x - radius)} ${number(y)}a${r} ${r} 0 1 0 ${number(2 * radius)} 0a${r} ${r} 0 1 0 ${number(-2 * radius)} 0`;
  }

  fill(): void { this.shape(`fill="${escaped(this.state.fillStyle)}"`); }

  stroke(): void {
    const { strokeStyle, lineWidth, dash } = this.state;
    const dashed = dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
    this.shape(`fill="none" stroke="${escaped(strokeStyle)}" stroke-width="${lineWidth}" stroke-linejoin="round"${dashed}`);
  }

  clip(): void {
    this.clips += 1;
    this.made.push(`<clipPath id="plot${this.clips}"><path d="${this.path}"/></clipPath>`);
    this.state.clip = this.clips;
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    this.beginPath();
    this.rect(x, y, width, height);
    this.fill();
  }

  fillText(text: string, x: number, y: number): void {
    const { font, textAlign, textBaseline, fillStyle } = this.state;
    const [, weight = "400", size = "11"] = /^(\d+) ([\d.]+)px/.exec(font) ?? [];
    const lower = y + Number(size) * (BASELINES[textBaseline] ?? 0);
    const family = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, sans-serif";
    this.made.push(
      `<text x="${number(x)}" y="${number(lower)}" font-family="${family}" font-size="${size}" font-weight="${weight}" text-anchor="${ANCHORS[textAlign] ?? "start"}" fill="${escaped(fillStyle)}">${escaped(text)}</text>`,
    );
  }

  measureText(text: string): { width: number } {
    this.measure.font = this.state.font;
    return this.measure.measureText(text);
  }

  /** Draw from another origin. */
  moved(x: number, y: number, draw: () => void): void {
    this.made.push(`<g transform="translate(${number(x)} ${number(y)})">`);
    this.save();
    draw();
    this.restore();
    this.made.push("</g>");
  }

  toString(): string {
    const { width, height } = this;
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n${this.made.join("\n")}\n</svg>\n`;
  }

  private shape(look: string): void {
    if (!this.path) return;
    const alpha = this.state.globalAlpha < 1 ? ` opacity="${number(this.state.globalAlpha)}"` : "";
    const clip = this.state.clip === null ? "" : ` clip-path="url(#plot${this.state.clip})"`;
    this.made.push(`<path d="${this.path}" ${look}${alpha}${clip}/>`);
  }
}
