// A chart's picture: axes, bands, lines, marks. The same strokes on the screen, as PNG and as SVG; knows no data source and no pointer.
import type { Frame } from "./frame";
import { LABEL_SIZE } from "./frame";
import { odd, type Line } from "./line";
import { paintOdd, paintRestarts } from "./marks";
import { font, type Ink, type Pen } from "./pen";
import { px, type Scale } from "./scale";

/** Beyond this many px outside of the plot a coordinate is cut off: rasterisers lose precision far out. */
const FAR = 4000;
const DOT = 2;
/** Points further apart than this (px) are drawn as dots, too. */
const SPARSE = 14;
/** Buckets wider than this (px) have bands with steps: a slope between two would cut through what is between them. */
const WIDE = 2;
/** From so many lines on they are hairlines and their bands bars of one px: that is crisper, and a tenth of the work for who draws
 *  without a graphics card. */
const CROWD = 7;

export function paint(pen: Pen, frame: Frame, lines: readonly Line[], ink: Ink): void {
  paintAxes(pen, frame, ink);
  pen.save();
  pen.beginPath();
  pen.rect(frame.left, frame.top - 3, frame.right - frame.left, frame.bottom - frame.top + 6);
  pen.clip();
  // Fills may lie on each other; edges and lines stay above all of them, or a spike of one run is lost under the noise of another.
  const crowd = lines.length;
  for (const line of lines) if (line.low) (crowd < CROWD ? paintBand : paintBars)(pen, frame, line, crowd);
  for (const line of lines) if (line.raw) stroke(pen, frame, line, line.raw, 1, crowd < CROWD ? 0.32 : 0.22);
  for (const line of lines) if (!line.strong) paintLine(pen, frame, line, crowd < CROWD ? 1.5 : 1, 1);
  for (const line of lines) if (line.strong) paintLine(pen, frame, line, 2.5, 1);
  for (const line of lines) if (line.spikes.length) paintSpikes(pen, frame, line);
  pen.restore();
  for (const line of lines) if (odd(line)) paintOdd(pen, frame, line);
  for (const line of lines) if (line.restarts.length) paintRestarts(pen, frame, line, ink, crowd);
}

function paintAxes(pen: Pen, frame: Frame, ink: Ink): void {
  const { left, right, top, bottom } = frame;
  pen.font = font(LABEL_SIZE);
  pen.lineWidth = 1;
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.grid;
  pen.beginPath();
  for (const tick of frame.yTicks) {
    const y = Math.round(px(frame.y, tick.at)) + 0.5;
    pen.moveTo(left, y);
    pen.lineTo(right, y);
  }
  for (const tick of frame.xTicks) {
    const x = Math.round(px(frame.x, tick.at)) + 0.5;
    pen.moveTo(x, top);
    pen.lineTo(x, bottom);
  }
  pen.stroke();
  pen.strokeStyle = ink.axis;
  pen.beginPath();
  pen.moveTo(left, bottom + 0.5);
  pen.lineTo(right, bottom + 0.5);
  pen.stroke();
  pen.fillStyle = ink.soft;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of frame.yTicks) pen.fillText(tick.label, left - 6, px(frame.y, tick.at) + 0.5);
  paintLabels(pen, frame);
}

function paintLabels(pen: Pen, frame: Frame): void {
  pen.textBaseline = "top";
  pen.textAlign = "left";
  let end = -Infinity;
  for (const tick of frame.xTicks) {
    const rows = tick.label.split("\n");
    const wide = Math.max(...rows.map((row) => pen.measureText(row).width));
    const middle = px(frame.x, tick.at);
    const begin = Math.max(2, Math.min(middle - wide / 2, frame.width - wide - 2));
    // Labels of a logarithmic axis are as near as its ticks are: what would touch the one before is left out.
    if (begin < end + 8) continue;
    end = begin + wide;
    rows.forEach((row, i) => pen.fillText(row, begin, frame.bottom + 6 + i * 13));
  }
}

const far = (at: number): number => (at > FAR ? FAR : at < -FAR ? -FAR : at);

/** px of an element; below the plot where a logarithmic axis has no place for it. */
function placed(scale: Scale, value: number): number {
  const at = px(scale, value);
  return at === at ? far(at) : value <= 0 ? far(scale.from + 20) : NaN;
}

/** px of an end of a bucket; left of the plot where a logarithmic axis has no place for it. */
function endOf(frame: Frame, value: number): number {
  const at = px(frame.x, value);
  return at !== at && value <= 0 ? frame.left - WIDE : far(at);
}

/** The positions that are in sight, with one more at each side; all of them where x does not rise. */
export function inSight(frame: Frame, line: Line): [number, number] {
  const { x, order } = line.places;
  if (order) return [0, x.length];
  let first = 0;
  let last = x.length;
  while (first < last && (line.places.to[first] as number) < frame.x.min) first += 1;
  while (last > first && (line.places.from[last - 1] as number) > frame.x.max) last -= 1;
  return [Math.max(0, first - 1), Math.min(x.length, last + 1)];
}

/** Whether a bucket covers more than a px or two; on a logarithmic axis the first ones always do. */
function isWide(frame: Frame, { places }: Line, first: number, last: number): boolean {
  return places.from !== places.to && (frame.x.log || (frame.right - frame.left) / Math.max(1, last - first - 2) > WIDE);
}

function paintBand(pen: Pen, frame: Frame, line: Line, crowd: number): void {
  const { low, high, places } = line;
  if (!low || !high) return;
  const [first, last] = inSight(frame, line);
  const wide = isWide(frame, line, first, last);
  pen.beginPath();
  for (let begin = first; begin < last; begin += 1) {
    if (!Number.isFinite(low[begin])) continue;
    let end = begin;
    while (end < last && Number.isFinite(low[end]) && Number.isFinite(places.x[end])) end += 1;
    if (end > begin) outline(pen, frame, line, begin, end, wide);
    begin = end;
  }
  pen.fillStyle = line.color;
  pen.strokeStyle = line.color;
  pen.globalAlpha = crowd > 1 ? 0.13 : 0.2;
  pen.fill();
  pen.globalAlpha = crowd > 1 ? 0.45 : 0.6;
  pen.lineWidth = 1;
  pen.setLineDash([]);
  pen.stroke();
  pen.globalAlpha = 1;
}

/** A bar a bucket from its minimum to its maximum. */
function paintBars(pen: Pen, frame: Frame, line: Line, crowd: number): void {
  const { low, high, places } = line;
  if (!low || !high) return;
  const [first, last] = inSight(frame, line);
  const wide = isWide(frame, line, first, last);
  pen.beginPath();
  for (let i = first; i < last; i += 1) {
    const top = placed(frame.y, high[i] as number);
    const bottom = placed(frame.y, low[i] as number);
    if (!Number.isFinite(top) || !Number.isFinite(bottom)) continue;
    if (wide) {
      const from = endOf(frame, places.from[i] as number);
      pen.rect(from, top, endOf(frame, places.to[i] as number) - from, bottom - top);
      continue;
    }
    const x = far(px(frame.x, places.x[i] as number));
    pen.moveTo(x, bottom);
    pen.lineTo(x, top);
  }
  pen.fillStyle = pen.strokeStyle = line.color;
  pen.setLineDash([]);
  // Bars nearer than a px lie on each other, and so do those of many runs: together they must not become fog.
  const apart = (frame.right - frame.left) / Math.max(1, last - first);
  pen.lineWidth = Math.max(1, Math.min(WIDE, apart));
  pen.globalAlpha = Math.max(0.03, 0.24 * Math.min(1, apart) * Math.sqrt(CROWD / crowd) * (line.raw ? 0.6 : 1));
  if (wide) pen.fill();
  else pen.stroke();
  pen.globalAlpha = 1;
}

/** Along the maxima of the buckets [begin, end), back along their minima. */
function outline(pen: Pen, frame: Frame, line: Line, begin: number, end: number, wide: boolean): void {
  const { places, low, high } = line;
  const edge = (values: Float64Array, i: number, forth: boolean, start: boolean) => {
    const y = placed(frame.y, values[i] as number);
    if (!wide) {
      const x = far(px(frame.x, places.x[i] as number));
      if (start) pen.moveTo(x, y);
      else pen.lineTo(x, y);
      return;
    }
    const one = endOf(frame, (forth ? places.from : places.to)[i] as number);
    const other = endOf(frame, (forth ? places.to : places.from)[i] as number);
    if (start) pen.moveTo(one, y);
    else pen.lineTo(one, y);
    pen.lineTo(other, y);
  };
  for (let i = begin; i < end; i += 1) edge(high as Float64Array, i, true, i === begin);
  for (let i = end - 1; i >= begin; i -= 1) edge(low as Float64Array, i, false, false);
  pen.closePath();
}

/** A single point among very many, as strong as the line: the edge of a band one px wide is easily overlooked. */
function paintSpikes(pen: Pen, frame: Frame, { spikes, places, low, high, raw, y, color }: Line): void {
  const center = raw ?? y;
  pen.beginPath();
  for (const i of spikes) {
    const x = px(frame.x, places.x[i] as number);
    if (!(x >= frame.left - 1 && x <= frame.right + 1)) continue;
    // Somewhere in a bucket so wide: the band says that it is there, a stroke would say where.
    if (endOf(frame, places.to[i] as number) - endOf(frame, places.from[i] as number) > SPARSE) continue;
    const middle = center[i] as number;
    const [bottom, top] = [low?.[i] ?? middle, high?.[i] ?? middle];
    pen.moveTo(x, placed(frame.y, bottom < middle ? bottom : middle));
    pen.lineTo(x, placed(frame.y, top > middle ? top : middle));
  }
  pen.strokeStyle = color;
  pen.lineWidth = 1.5;
  pen.globalAlpha = 0.9;
  pen.setLineDash([]);
  pen.stroke();
  pen.globalAlpha = 1;
}

/** A line alone, as where it is the one that is pointed at. */
export function paintLine(pen: Pen, frame: Frame, line: Line, width: number, alpha: number): void {
  stroke(pen, frame, line, line.y, width, alpha);
  const [first, last] = inSight(frame, line);
  if (line.raw || (frame.right - frame.left) / Math.max(1, last - first) < SPARSE) paintAlone(pen, frame, line, first, last);
  else {
    pen.beginPath();
    for (let i = first; i < last; i += 1) dot(pen, frame, line, i, DOT);
    pen.fill();
  }
}

/** Dots where neither neighbour has a value: a line would not show them. */
function paintAlone(pen: Pen, frame: Frame, line: Line, first: number, last: number): void {
  const there = (i: number) => i >= 0 && i < line.y.length && Number.isFinite(line.y[i]);
  let any = false;
  for (let i = first; i < last; i += 1) {
    if (!there(i) || there(i - 1) || there(i + 1)) continue;
    if (!any) pen.beginPath();
    any = true;
    dot(pen, frame, line, i, DOT);
  }
  if (any) pen.fill();
}

function dot(pen: Pen, frame: Frame, line: Line, i: number, radius: number): void {
  const x = px(frame.x, line.places.x[i] as number);
  const y = px(frame.y, line.y[i] as number);
  if (!(x >= frame.left - 1 && x <= frame.right + 1 && y >= frame.top - 2 && y <= frame.bottom + 2)) return;
  pen.moveTo(x + radius, y);
  pen.arc(x, y, radius, 0, 2 * Math.PI);
}

function stroke(pen: Pen, frame: Frame, line: Line, values: Float64Array, width: number, alpha: number): void {
  const [first, last] = inSight(frame, line);
  const { x } = line.places;
  const { slope, shift, log } = frame.x;
  pen.beginPath();
  let drawing = false;
  for (let i = first; i < last; i += 1) {
    const at = log ? px(frame.x, x[i] as number) : slope * (x[i] as number) + shift;
    const y = placed(frame.y, values[i] as number);
    if (at !== at || y !== y) {
      drawing = false;
      continue;
    }
    if (drawing) pen.lineTo(far(at), y);
    else pen.moveTo(far(at), y);
    drawing = true;
  }
  pen.strokeStyle = line.color;
  pen.fillStyle = line.color;
  pen.lineJoin = "bevel";
  pen.lineWidth = width;
  pen.globalAlpha = alpha;
  pen.setLineDash(line.dash as number[]);
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}
