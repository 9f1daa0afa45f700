// Parallel coordinates on a canvas.
import { px, type Scale } from "../charts/draw/scale";
import { font, type Ink, type Pen } from "../charts/draw/pen";
import { axisTicks, endText, shareOf } from "./quantity";
import type { Plan } from "./parallel";
import { viridis } from "./viridis";
import type { Brush } from "./words";

function trace(pen: Pen, { ys, at }: Plan, run: number): void {
  const count = at.length;
  for (let i = 0; i < count; i += 1) {
    const y = ys[run * count + i] as number;
    if (i === 0) pen.moveTo(at[i] as number, y);
    else pen.lineTo(at[i] as number, y);
  }
}

/** Runs that the brushes leave out first and faint, then the others, coloured by the last axis. */
export function paintRuns(pen: Pen, plan: Plan, chosen: Uint8Array, ink: Ink): void {
  const last = plan.axes.at(-1);
  const runs = chosen.length;
  let left = 0;
  pen.lineWidth = 1;
  pen.strokeStyle = ink.axis;
  pen.globalAlpha = 0.35;
  pen.beginPath();
  for (let run = 0; run < runs; run += 1) {
    if (chosen[run]) left += 1;
    else trace(pen, plan, run);
  }
  if (left < runs) pen.stroke();
  pen.lineWidth = left > 300 ? 1 : 1.5;
  pen.globalAlpha = left > 300 ? 0.55 : left > 60 ? 0.75 : 0.95;
  for (let run = 0; run < runs; run += 1) {
    if (!chosen[run]) continue;
    pen.strokeStyle = viridis(last ? shareOf(last, run) : NaN, ink.dark, ink.soft);
    pen.beginPath();
    trace(pen, plan, run);
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

export function paintAxes(pen: Pen, plan: Plan, brushes: readonly Brush[], ink: Ink, accent: string): void {
  const { axes, scales, at, top, bottom } = plan;
  pen.font = font(11);
  pen.setLineDash([]);
  const room = at.length > 1 ? (at[1] as number) - (at[0] as number) : 400;
  axes.forEach((axis, i) => {
    const x = Math.round(at[i] as number) + 0.5;
    const scale = scales[i] as Scale;
    const rightmost = i === axes.length - 1 && i > 0;
    pen.strokeStyle = ink.text;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, top);
    pen.lineTo(x, bottom);
    pen.stroke();
    pen.textAlign = rightmost ? "left" : "right";
    pen.textBaseline = "middle";
    for (const tick of axisTicks(axis, scale, Math.max(2, Math.floor((bottom - top) / 44)))) {
      const y = px(scale, tick.at);
      const label = fitted(pen, tick.label, Math.min(room - 16, 64));
      boxed(pen, label, x + (rightmost ? 8 : -8), y, rightmost, ink);
      pen.strokeStyle = ink.text;
      pen.beginPath();
      pen.moveTo(x - 3, y);
      pen.lineTo(x + 3, y);
      pen.stroke();
    }
    if (plan.none.some((cell, k) => cell && k % axes.length === i)) {
      boxed(pen, "none", x + (rightmost ? 8 : -8), bottom + 16, rightmost, ink);
    }
    const brush = brushes.find(({ reference }) => reference === axis.quantity.reference);
    if (brush) paintBrush(pen, scale, x, brush, axis, ink, accent);
  });
}

function paintBrush(pen: Pen, scale: Scale, x: number, brush: Brush, axis: Plan["axes"][number], ink: Ink, accent: string): void {
  const clamp = (value: number) => Math.max(Math.min(scale.from, scale.to), Math.min(Math.max(scale.from, scale.to), value));
  const low = clamp(px(scale, Math.min(brush.from, brush.to)));
  const high = clamp(px(scale, Math.max(brush.from, brush.to)));
  pen.fillStyle = accent;
  pen.globalAlpha = 0.25;
  pen.fillRect(x - 8, high, 16, low - high);
  pen.globalAlpha = 1;
  pen.strokeStyle = accent;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.rect(x - 8, high, 16, low - high);
  pen.stroke();
  if (!axis.quantity.numeric) return;
  boxed(pen, endText(axis, Math.max(brush.from, brush.to)), x + 12, high, true, ink);
  boxed(pen, endText(axis, Math.min(brush.from, brush.to)), x + 12, low, true, ink);
}

/** Text on a ground of its own: lines pass below it. */
function boxed(pen: Pen, text: string, x: number, y: number, left: boolean, ink: Ink): void {
  const wide = pen.measureText(text).width;
  pen.textAlign = left ? "left" : "right";
  pen.textBaseline = "middle";
  pen.fillStyle = ink.background;
  pen.globalAlpha = 0.8;
  pen.fillRect(left ? x - 2 : x - wide - 2, y - 7, wide + 4, 14);
  pen.globalAlpha = 1;
  pen.fillStyle = ink.text;
  pen.fillText(text, x, y);
}

function fitted(pen: Pen, text: string, most: number): string {
  if (pen.measureText(text).width <= most) return text;
  let end = text.length - 1;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > most) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** One run above all others. */
export function paintRun(pen: Pen, plan: Plan, run: number, color: string, ink: Ink): void {
  for (const [style, width] of [[ink.background, 6], [color, 3]] as const) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.beginPath();
    trace(pen, plan, run);
    pen.stroke();
  }
}
