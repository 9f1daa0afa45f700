// Samples and lines for tests.
import { sampleOf, type Sample } from "../../src/charts/data/sample";
import { placesOf } from "../../src/charts/data/axis";
import type { Line } from "../../src/charts/draw/line";

/** A sample of `values`, `width` points a bucket, as the server makes it; `xs` are the values of its x field. */
export function sampled(values: readonly number[], width = 1, { start = 0, xs }: { start?: number; xs?: readonly number[] } = {}): Sample {
  const starts: number[] = [];
  for (let at = start; at < start + values.length; at = (Math.floor(at / width) + 1) * width) starts.push(at);
  const stop = start + values.length;
  const buckets = starts.map((from, i) => ({ from, to: starts[i + 1] ?? stop }));
  const part = (list: readonly number[], { from, to }: { from: number; to: number }) => list.slice(from - start, to - start);
  const finite = buckets.map((bucket) => part(values, bucket).filter(Number.isFinite));
  const columns: Record<string, number[]> = { start: starts };
  if (xs) {
    columns["x_min"] = buckets.map((bucket) => Math.min(...part(xs, bucket)));
    if (width > 1) columns["x_max"] = buckets.map((bucket) => Math.max(...part(xs, bucket)));
  }
  const least = finite.map((list) => (list.length ? Math.min(...list) : NaN));
  columns["min"] = least;
  if (width > 1) {
    const most = finite.map((list) => (list.length ? Math.max(...list) : NaN));
    columns["max"] = most;
    columns["mean"] = finite.map((list) => list.reduce((a, b) => a + b, 0) / list.length);
    columns["argmin"] = least.map((value, i) => values.indexOf(value, (starts[i] as number) - start) + start);
    columns["argmax"] = most.map((value, i) => values.indexOf(value, (starts[i] as number) - start) + start);
  }
  const nan = buckets.map((bucket) => part(values, bucket).filter(Number.isNaN).length);
  if (nan.some(Boolean)) columns["nan"] = nan;
  const head = { n: starts.length, total: stop, start, stop, width, exact: width === 1, columns: Object.keys(columns) };
  return sampleOf(head, Float64Array.from(Object.values(columns).flat()));
}

export function lineOf(sample: Sample, over: Partial<Line> = {}): Line {
  return {
    id: "a", name: "a", color: "#123456", dash: [], places: placesOf(sample, { by: "index" }, 0), y: sample.mean, raw: null,
    low: sample.exact ? null : sample.min, high: sample.exact ? null : sample.max, spikes: [], sample, strong: false, members: 1, restarts: [], ...over,
  };
}
