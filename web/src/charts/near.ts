// The buckets of all lines at one place of x. Pure.
import { nearestTo } from "./data/axis";
import type { Frame } from "./draw/frame";
import type { Line } from "./draw/line";
import type { Hit } from "./draw/nearest";
import { px } from "./draw/scale";

/** px by which a line may have ended, or not begun, and still have a value here. */
const REACH = 6;

export interface Near {
  line: Line;
  at: number;
}

export function placesNear(lines: readonly Line[], frame: Frame, place: number, hit: Hit | null): Near[] {
  const here = px(frame.x, place);
  const found: Near[] = [];
  for (const line of lines) {
    const at = hit?.line === line ? hit.at : nearestTo(line.places, place);
    if (at < 0) continue;
    const { from, to, order } = line.places;
    const first = order ? (order[0] as number) : 0;
    const last = order ? (order[order.length - 1] as number) : from.length - 1;
    if (px(frame.x, from[first] as number) - REACH > here || px(frame.x, to[last] as number) + REACH < here) continue;
    found.push({ line, at });
  }
  return found;
}
