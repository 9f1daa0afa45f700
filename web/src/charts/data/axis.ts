// What x is: the buckets' places on the axis that was chosen, and which indices a part of that axis covers. Pure.
import type { XAxis } from "../../state/view";
import { lastAtMost, stopOf, type Sample } from "./sample";

/** What `POST /samples` is asked for as x. */
export function wireX(x: XAxis): string | null {
  return x.by === "index" ? null : x.by === "field" ? x.field : "time";
}

export interface Places {
  /** The middle of each bucket; NaN where its rows have no x. */
  x: Float64Array;
  /** Its ends. */
  from: Float64Array;
  to: Float64Array;
  /** Positions with a place, from left to right; null where that is all of them in their order. */
  order: Uint32Array | null;
}

const known = new WeakMap<Sample, Map<string, Places>>();

/** Where relative time is 0 (unix ms), by a run's overview: the run's beginning, or its first point where clocks or an import put that
 *  before it. A closer sample begins later and must not tell. */
export function beginOf(overview: Sample, { by }: XAxis, origin: number): number {
  const first = by === "relative" ? overview.xMin?.[0] : undefined;
  return first !== undefined && first < origin ? first : origin;
}

/** `zero` is where relative time is 0: `beginOf`. */
export function placesOf(sample: Sample, x: XAxis, zero: number): Places {
  const key = x.by === "relative" ? `relative ${zero}` : x.by;
  const map = known.get(sample) ?? new Map<string, Places>();
  known.set(sample, map);
  const found = map.get(key) ?? made(sample, x, zero);
  map.set(key, found);
  return found;
}

function made(sample: Sample, x: XAxis, zero: number): Places {
  const { n } = sample;
  if (x.by === "index") {
    if (sample.exact) return { x: sample.starts, from: sample.starts, to: sample.starts, order: null };
    const to = new Float64Array(n);
    for (let i = 0; i < n; i += 1) to[i] = stopOf(sample, i) - 1;
    return placed(sample.starts, to);
  }
  const { xMin, xMax } = sample;
  if (!xMin || !xMax) return placed(new Float64Array(n).fill(NaN), new Float64Array(n).fill(NaN));
  if (x.by !== "relative") return placed(xMin, xMax);
  const since = (ms: number) => (ms - zero) / 1000;
  return placed(xMin.map(since), xMin === xMax ? null : xMax.map(since));
}

function placed(from: Float64Array, last: Float64Array | null): Places {
  const to = last ?? from;
  const n = from.length;
  const x = to === from ? from : new Float64Array(n);
  let rising = true;
  let before = -Infinity;
  for (let i = 0; i < n; i += 1) {
    const middle = ((from[i] as number) + (to[i] as number)) / 2;
    if (x !== from) x[i] = middle;
    // False for NaN, too.
    rising &&= middle >= before;
    before = middle;
  }
  if (rising) return { x, from, to, order: null };
  const order = [];
  for (let i = 0; i < n; i += 1) if (Number.isFinite(x[i])) order.push(i);
  order.sort((a, b) => (x[a] as number) - (x[b] as number));
  return { x, from, to, order: Uint32Array.from(order) };
}

/** The indices [start, stop) that hold every point with an x within [low, high], as far as this sample can tell; null where there are none. */
export function indicesOf(sample: Sample, places: Places, low: number, high: number): [number, number] | null {
  let first = -1;
  let last = -1;
  for (let i = 0; i < sample.n; i += 1) {
    if ((places.to[i] as number) >= low && (places.from[i] as number) <= high) {
      if (first < 0) first = i;
      last = i;
    }
  }
  if (first < 0) {
    // Between two points: the line from the one to the other crosses the view.
    for (let i = 0; i + 1 < sample.n; i += 1) {
      if ((places.to[i] as number) < low && (places.from[i + 1] as number) > high) first = last = i;
    }
    if (first < 0) return null;
    last += 1;
  }
  const from = sample.starts[Math.max(0, first - 1)] as number;
  return [from, last + 1 < sample.n ? stopOf(sample, last + 1) : stopOf(sample, last)];
}

/** The position nearest to `value`; -1 where there is none. */
export function nearestTo(places: Places, value: number): number {
  const { x, order } = places;
  const at = (i: number): number => (order ? (order[i] as number) : i);
  const count = order ? order.length : x.length;
  if (!count) return -1;
  let left = order ? lastOf(order, x, value) : lastAtMost(x, value);
  if (left < 0) left = 0;
  const right = Math.min(left + 1, count - 1);
  const toLeft = Math.abs((x[at(left)] as number) - value);
  return Math.abs((x[at(right)] as number) - value) < toLeft ? at(right) : at(left);
}

function lastOf(order: Uint32Array, x: Float64Array, value: number): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((x[order[middle] as number] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The x of an index: for marks; NaN where the sample does not reach it. */
export function placeOfIndex(sample: Sample, places: Places, index: number): number {
  if (index < sample.start || index >= sample.stop) return NaN;
  const at = lastAtMost(sample.starts, index);
  if (at < 0) return NaN;
  const from = places.from[at] as number;
  const to = places.to[at] as number;
  const span = stopOf(sample, at) - (sample.starts[at] as number) - 1;
  return span > 0 ? from + ((to - from) * (index - (sample.starts[at] as number))) / span : from;
}
