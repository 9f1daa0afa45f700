// Smoothing: exponential with its beginning corrected, so that the first values are not drawn towards zero. Pure.
import { stopOf, type Sample } from "../data/sample";
import type { Places } from "../data/axis";

/** A series of more points than this is smoothed over the same share of itself, however near one looks. */
const STEPS = 1000;

export interface Smoothing {
  /** 0 is none; up to 1. */
  strength: number;
  /** By points, or by what lies between them on the x axis. */
  by: "exponential" | "time";
}

/** What smoothing has gathered up to an index: where a closer view goes on from. */
export interface Gathered {
  sum: number;
  weight: number;
  /** The x of the last value; NaN before there is one. */
  x: number;
}

const nothing = (): Gathered => ({ sum: 0, weight: 0, x: NaN });

/** How much of what was gathered is left, going from one bucket to the next. */
function keeper(sample: Sample, places: Places, how: Smoothing, span: number): (i: number, before: number) => number {
  const log = Math.log(how.strength);
  if (how.by === "time") {
    const unit = span / STEPS || 1;
    return (i, before) => Math.exp((log * Math.abs((places.x[i] as number) - before)) / unit);
  }
  const unit = Math.max(1, sample.total / STEPS);
  return (i) => Math.exp((log * (stopOf(sample, i) - (sample.starts[i] as number))) / unit);
}

/** The smoothed means. `span` is the x axis' whole length; `from` what was gathered before the first bucket. */
export function smoothed(
  sample: Sample, places: Places, how: Smoothing, span: number, from: Gathered = nothing(), until = Infinity,
): { values: Float64Array; gathered: Gathered } {
  const values = new Float64Array(sample.n);
  const keep = keeper(sample, places, how, span);
  let { sum, weight, x } = from;
  for (let i = 0; i < sample.n; i += 1) {
    if (stopOf(sample, i) > until) break;
    const value = sample.mean[i] as number;
    const at = places.x[i] as number;
    if (!Number.isFinite(value) || !Number.isFinite(at)) {
      values[i] = NaN;
      continue;
    }
    const left = weight === 0 ? 0 : keep(i, x);
    sum = left * sum + (1 - left) * value;
    weight = left * weight + (1 - left);
    if (weight === 0) [sum, weight] = [value, 1];
    x = at;
    values[i] = sum / weight;
  }
  return { values, gathered: { sum, weight, x } };
}
