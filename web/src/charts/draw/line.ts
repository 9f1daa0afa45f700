// One drawn line: a run's, or a group's mean. What painting, hovering and exporting share. Pure.
import { hasOdd, type Sample } from "../data/sample";
import type { Places } from "../data/axis";
import { padded } from "./scale";

export interface Line {
  /** A run's id, or "group " and a group's name. */
  id: string;
  name: string;
  color: string;
  dash: readonly number[];
  places: Places;
  /** What is drawn: a mean a bucket, or the points where a bucket is one; smoothed where that is on. */
  y: Float64Array;
  /** The unsmoothed line, drawn faint behind; null where `y` is it. */
  raw: Float64Array | null;
  /** The band around it: exact extremes, or a group's spread; null where there is none. */
  low: Float64Array | null;
  high: Float64Array | null;
  /** Positions of buckets whose extremes stand far out of the rest: spikes. */
  spikes: readonly number[];
  /** What it was made from; null for a group. */
  sample: Sample | null;
  /** Drawn above the others, and wider. */
  strong: boolean;
  /** How many runs a group's line is the mean of. */
  members: number;
  /** Places on x where the run began again. */
  restarts: readonly number[];
}

export interface Extent {
  min: number;
  max: number;
}

const none = (): Extent => ({ min: Infinity, max: -Infinity });

/** The least that may be above 0 of a bucket that begins at or below it: what counts goes on at 1. */
const above = (to: number): number => (to >= 1 ? 1 : to / 2);

/** Ends of all lines on the x axis; on a logarithmic one of what is above 0. */
export function extentX(lines: readonly Pick<Line, "places">[], log: boolean): Extent {
  const extent = none();
  for (const { places } of lines) {
    const { from, to, order } = places;
    if (!order && !log) {
      if (from.length && (from[0] as number) < extent.min) extent.min = from[0] as number;
      for (const last of to.subarray(-1)) if (last > extent.max) extent.max = last;
      if (order === null && from.length) continue;
    }
    for (let i = 0; i < from.length; i += 1) {
      const low = log && !((from[i] as number) > 0) ? above(to[i] as number) : (from[i] as number);
      if (log && !(low > 0)) continue;
      if (low < extent.min) extent.min = low;
      if ((to[i] as number) > extent.max) extent.max = to[i] as number;
    }
  }
  return extent;
}

/** Whether any of it lies within [from, to] of x. */
export function anyWithin(lines: readonly Pick<Line, "places">[], from: number, to: number): boolean {
  return lines.some(({ places }) => places.to.some((end, i) => end >= from && (places.from[i] as number) <= to));
}

/** Ends on the y axis of what lies within [from, to] of x, bands included; on a logarithmic axis of what is above 0. */
export function extentY(lines: readonly Line[], from: number, to: number, log: boolean): Extent {
  const extent = none();
  const least = log ? Number.MIN_VALUE : -Infinity;
  for (const { places, y, raw, low, high } of lines) {
    const center = raw ?? y;
    const lows = low ?? center;
    const highs = high ?? center;
    for (let i = 0; i < y.length; i += 1) {
      if (!((places.to[i] as number) >= from && (places.from[i] as number) <= to)) continue;
      const bottom = lows[i] as number;
      const top = highs[i] as number;
      const middle = center[i] as number;
      if (bottom >= least && bottom < extent.min) extent.min = bottom;
      else if (middle >= least && middle < extent.min) extent.min = middle;
      if (top >= least && top > extent.max) extent.max = top;
      if (top >= least && top < extent.min) extent.min = top;
    }
  }
  return extent;
}

/** Ends on the y axis that leave out the outermost hundredth of the buckets at either end: for who wants to see past a spike. */
export function usualY(lines: readonly Line[], from: number, to: number, log: boolean): Extent {
  const values: number[] = [];
  for (const { places, y, raw } of lines) {
    const center = raw ?? y;
    for (let i = 0; i < center.length; i += 1) {
      const value = center[i] as number;
      const inside = (places.to[i] as number) >= from && (places.from[i] as number) <= to;
      if (inside && Number.isFinite(value) && (!log || value > 0)) values.push(value);
    }
  }
  if (!values.length) return none();
  values.sort((a, b) => a - b);
  const at = (share: number) => values[Math.round(share * (values.length - 1))] as number;
  const [min, max] = padded(at(0.01), at(0.99), log, 0.1);
  return { min, max };
}

/** How many buckets have what a logarithmic y axis has no place for. */
export function unplaced(lines: readonly Line[]): number {
  let found = 0;
  for (const { y, raw, low } of lines) {
    const lows = low ?? raw ?? y;
    for (let i = 0; i < lows.length; i += 1) if ((lows[i] as number) <= 0) found += 1;
  }
  return found;
}

/** A bucket is a spike where an extreme is this many times as far from its mean as extremes around it usually are. */
const FAR_OUT = 6;
const AROUND = 15;
const MOST_SPIKES = 200;

export function spikesOf(mean: Float64Array, low: Float64Array, high: Float64Array): number[] {
  const reach = mean.map((middle, i) => Math.max((high[i] as number) - middle, middle - (low[i] as number)));
  const usual = middleOf(reach);
  const found: number[] = [];
  for (let i = 0; i < reach.length && found.length < MOST_SPIKES; i += 1) {
    const far = reach[i] as number;
    // Noise grows and shrinks along a series: what stands out of the whole must stand out of its surroundings, too.
    if (far > FAR_OUT * usual && far > FAR_OUT * middleOf(reach.subarray(Math.max(0, i - AROUND), i + AROUND + 1))) found.push(i);
  }
  return found;
}

function middleOf(values: Float64Array): number {
  const sorted = values.filter(Number.isFinite).sort();
  return sorted[sorted.length >> 1] ?? 0;
}

export const odd = (line: Line): boolean => line.sample !== null && hasOdd(line.sample);
