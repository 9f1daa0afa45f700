// From values to px and back: linear or logarithmic. Pure.

export interface Scale {
  log: boolean;
  min: number;
  max: number;
  /** px of `min` and of `max`. */
  from: number;
  to: number;
  /** px = slope × value + shift, the value's log10 where `log`. */
  slope: number;
  shift: number;
}

export function scaleOf(log: boolean, min: number, max: number, from: number, to: number): Scale {
  const low = log ? Math.log10(min) : min;
  const high = log ? Math.log10(max) : max;
  const slope = high === low ? 0 : (to - from) / (high - low);
  return { log, min, max, from, to, slope, shift: high === low ? (from + to) / 2 : from - slope * low };
}

/** px of a value; NaN for what a logarithmic axis has no place for. */
export function px(scale: Scale, value: number): number {
  if (!scale.log) return scale.slope * value + scale.shift;
  return value > 0 ? scale.slope * Math.log10(value) + scale.shift : NaN;
}

export function valueAt(scale: Scale, at: number): number {
  const value = scale.slope === 0 ? (scale.log ? Math.log10(scale.min) : scale.min) : (at - scale.shift) / scale.slope;
  return scale.log ? 10 ** value : value;
}

/** Whether two axes show the same. */
export function sameScale(a: Scale, b: Scale): boolean {
  return a.log === b.log && a.slope === b.slope && a.shift === b.shift;
}

/** [min, max] with some air; a single value gets room around it. */
export function padded(min: number, max: number, log: boolean, share = 0.05): [number, number] {
  if (!(min <= max)) return log ? [0.1, 10] : [0, 1];
  if (log) {
    if (min === max) return [min / 2, max * 2];
    // By logarithms: the quotient of two that are far apart may be infinite.
    const air = 10 ** (share * (Math.log10(max) - Math.log10(min)));
    return [Math.max(min / air, Number.MIN_VALUE), Math.min(max * air, Number.MAX_VALUE)];
  }
  if (min === max) {
    const air = Math.abs(min) * 0.1 || 1;
    return [min - air, max + air];
  }
  const air = (max - min) * share;
  // Halves first: the difference of two huge numbers may be infinite.
  if (!Number.isFinite(air)) return [min, max];
  return [min - air, max + air];
}
