// What the pointer is at: the line that is nearest, and the bucket of it. Pure.
import { nearestTo } from "../data/axis";
import type { Frame } from "./frame";
import type { Line } from "./line";
import { px, valueAt } from "./scale";

export interface Hit {
  line: Line;
  /** The position of the bucket. */
  at: number;
  /** px from the pointer. */
  distance: number;
}

/** px to either side within which a bucket catches the pointer: a spike is one px wide. */
const REACH = 5;

/** The nearest line to a place in the plot, by what is drawn: the line or its band. */
export function nearest(lines: readonly Line[], frame: Frame, x: number, y: number): Hit | null {
  let best: Hit | null = null;
  for (const line of lines) {
    const hit = nearestOf(line, frame, x, y);
    if (hit && (!best || hit.distance < best.distance)) best = hit;
  }
  return best;
}

function nearestOf(line: Line, frame: Frame, x: number, y: number): Hit | null {
  const { order } = line.places;
  const here = nearestTo(line.places, valueAt(frame.x, x));
  if (here < 0) return null;
  let best = hitOf(line, frame, here, x, y);
  const at = order ? order.indexOf(here) : here;
  const count = order ? order.length : line.y.length;
  for (const step of [-1, 1]) {
    for (let i = at + step; i >= 0 && i < count; i += step) {
      const position = order ? (order[i] as number) : i;
      if (!(Math.abs(px(frame.x, line.places.x[position] as number) - x) <= REACH)) break;
      const hit = hitOf(line, frame, position, x, y);
      if (hit && (!best || hit.distance < best.distance)) best = hit;
    }
  }
  return best;
}

/** px of what is drawn of a bucket: its line, or the mark of a value that is not finite. */
function centerOf(line: Line, frame: Frame, at: number): number {
  const value = line.y[at] as number;
  // What a logarithmic axis has no place for stands at the bottom edge.
  if (Number.isFinite(value)) return frame.y.log && value <= 0 ? frame.bottom : px(frame.y, value);
  const { sample } = line;
  if ((sample?.posinf?.[at] ?? 0) > 0) return frame.top;
  return (sample?.nan?.[at] ?? 0) > 0 || (sample?.neginf?.[at] ?? 0) > 0 ? frame.bottom : NaN;
}

function hitOf(line: Line, frame: Frame, at: number, x: number, y: number): Hit | null {
  const center = centerOf(line, frame, at);
  const within = Number.isFinite(line.y[at]);
  const top = line.high && within ? px(frame.y, line.high[at] as number) : center;
  const bottom = line.low && within ? px(frame.y, line.low[at] as number) : center;
  const vertical = y < top ? top - y : y > bottom ? y - bottom : 0;
  const sideways = Math.abs(px(frame.x, line.places.x[at] as number) - x);
  // Within a band its line decides: bands lie on each other, and one that is everywhere must not win everywhere.
  const distance = Math.hypot(vertical, sideways) + 0.02 * Math.abs(center - y);
  return Number.isFinite(distance) ? { line, at, distance } : null;
}
