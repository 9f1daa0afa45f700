// A sample of one field of one series, as the server answers it: buckets of consecutive indices with exact extremes. Pure.

/** Arrays are of length n, an element a bucket. NaN where a bucket has no finite value. */
export interface Sample {
  n: number;
  /** Points of the series when this was taken. */
  total: number;
  start: number;
  /** One past the last index that is covered. */
  stop: number;
  /** Points a bucket; the first and the last may have fewer. */
  width: number;
  /** Whether every bucket is one point. */
  exact: boolean;
  starts: Float64Array;
  min: Float64Array;
  /** The same array as `min` where exact, and so is `mean`. */
  max: Float64Array;
  mean: Float64Array;
  /** Indices of the extremes; null where exact: they are `starts`. */
  argmin: Float64Array | null;
  argmax: Float64Array | null;
  /** Extremes of the x that was asked for; null where none was. */
  xMin: Float64Array | null;
  xMax: Float64Array | null;
  /** How many values were not finite; null where none was. */
  nan: Float64Array | null;
  posinf: Float64Array | null;
  neginf: Float64Array | null;
  /** Memory that it holds. */
  bytes: number;
}

export interface Head {
  n: number;
  total: number;
  start: number;
  stop: number;
  width: number;
  exact?: boolean;
  columns: readonly string[];
}

/** A sample over `data`, the columns in the order of the head. Throws where the head lacks what every sample has. */
export function sampleOf(head: Head, data: Float64Array): Sample {
  const column = (name: string): Float64Array | null => {
    const at = head.columns.indexOf(name);
    return at < 0 ? null : data.subarray(at * head.n, (at + 1) * head.n);
  };
  const starts = column("start");
  const min = column("min");
  if (!starts || !min) throw new Error("a sample came without its starts or values; reload the page.");
  const xMin = column("x_min");
  return {
    n: head.n,
    total: head.total,
    start: head.start,
    stop: head.stop,
    width: head.width,
    exact: head.exact ?? false,
    starts,
    min,
    max: column("max") ?? min,
    mean: column("mean") ?? min,
    argmin: column("argmin"),
    argmax: column("argmax"),
    xMin,
    xMax: column("x_max") ?? xMin,
    nan: column("nan"),
    posinf: column("posinf"),
    neginf: column("neginf"),
    bytes: data.byteLength,
  };
}

/** One past the last index of a bucket. */
export function stopOf(sample: Sample, at: number): number {
  return at + 1 < sample.n ? (sample.starts[at + 1] as number) : sample.stop;
}

/** How many buckets have values that are not finite. */
export function hasOdd(sample: Sample): boolean {
  return sample.nan !== null || sample.posinf !== null || sample.neginf !== null;
}

/** The last position whose element is not above `value`, of elements that never fall; -1 where all are above. */
export function lastAtMost(sorted: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Where a live sample is to be asked on from: its last bucket, which may have been cut, or its end. */
export function continuesAt(sample: Sample): number {
  return sample.exact && sample.width === 1 ? sample.stop : sample.n ? (sample.starts[sample.n - 1] as number) : sample.start;
}

/** The sample with what has come since: `more` has the same width and begins where `continuesAt` said. Null where they do not fit. */
export function extended(sample: Sample, more: Sample): Sample | null {
  const keep = lastAtMost(sample.starts, more.start - 1) + 1;
  const fits = more.start === continuesAt(sample) && (more.width === sample.width || more.n <= 1);
  if (!fits) return null;
  if (more.n === 0) return more.total === sample.total ? sample : { ...sample, total: more.total };
  const n = keep + more.n;
  let bytes = 0;
  const join = (first: Float64Array, second: Float64Array): Float64Array => {
    const joined = new Float64Array(n);
    joined.set(first.subarray(0, keep));
    joined.set(second, keep);
    bytes += joined.byteLength;
    return joined;
  };
  const maybe = (first: Float64Array | null, second: Float64Array | null): Float64Array | null =>
    first || second ? join(first ?? new Float64Array(sample.n), second ?? new Float64Array(more.n)) : null;
  const exact = sample.exact && more.exact && sample.width === 1;
  const starts = join(sample.starts, more.starts);
  const min = join(sample.min, more.min);
  const xMin = maybe(sample.xMin, more.xMin);
  return {
    n,
    total: more.total,
    start: sample.start,
    stop: more.stop,
    width: sample.width,
    exact,
    starts,
    min,
    max: exact ? min : join(sample.max, more.max),
    mean: exact ? min : join(sample.mean, more.mean),
    argmin: exact ? null : join(sample.argmin ?? sample.starts, more.argmin ?? more.starts),
    argmax: exact ? null : join(sample.argmax ?? sample.starts, more.argmax ?? more.starts),
    xMin,
    xMax: exact ? xMin : maybe(sample.xMax, more.xMax),
    nan: maybe(sample.nan, more.nan),
    posinf: maybe(sample.posinf, more.posinf),
    neginf: maybe(sample.neginf, more.neginf),
    bytes,
  };
}
