// Parallel coordinates as geometry: where each run's line crosses each axis, which runs all brushes let through. Pure.
import { px, type Scale } from "../charts/draw/scale";
import { axisScale, placeOf, type Axis } from "./quantity";
import type { Brush } from "./words";

export interface Plan {
  axes: readonly Axis[];
  scales: readonly Scale[];
  /** px of each axis from the left. */
  at: readonly number[];
  top: number;
  bottom: number;
  /** px of run r at axis a: ys[r * axes + a]; what has no value lies below the axis. */
  ys: Float64Array;
  /** Whether it has none. */
  none: Uint8Array;
}

export const TOP = 62;
export const BELOW = 30;
const SIDE = 70;

export function planOf(axes: readonly Axis[], runs: number, width: number, height: number): Plan {
  const top = TOP;
  const bottom = height - BELOW;
  const scales = axes.map((axis) => axisScale(axis, bottom, top));
  const gap = axes.length > 1 ? (width - 2 * SIDE) / (axes.length - 1) : 0;
  const at = axes.map((_, i) => (axes.length > 1 ? SIDE + i * gap : width / 2));
  const ys = new Float64Array(runs * axes.length);
  const none = new Uint8Array(runs * axes.length);
  for (let run = 0; run < runs; run += 1) {
    axes.forEach((axis, i) => {
      const y = px(scales[i] as Scale, placeOf(axis, run));
      const cell = run * axes.length + i;
      none[cell] = Number.isFinite(y) ? 0 : 1;
      ys[cell] = Number.isFinite(y) ? y : bottom + 16;
    });
  }
  return { axes, scales, at, top, bottom, ys, none };
}

/** Runs that lie within every brush; all where there is none. */
export function within(axes: readonly Axis[], brushes: readonly Brush[], runs: number): Uint8Array {
  const chosen = new Uint8Array(runs).fill(1);
  for (const { reference, from, to } of brushes) {
    const axis = axes.find(({ quantity }) => quantity.reference === reference);
    if (!axis) continue;
    const low = Math.min(from, to);
    const high = Math.max(from, to);
    for (let run = 0; run < runs; run += 1) {
      const place = placeOf(axis, run);
      if (!(place >= low && place <= high)) chosen[run] = 0;
    }
  }
  return chosen;
}

/** The run whose line passes nearest to a place, at most `reach` px away; -1 where none does. */
export function runAt({ ys, at, axes }: Plan, chosen: Uint8Array, x: number, y: number, reach: number): number {
  const count = axes.length;
  let left = 0;
  while (left < count - 2 && (at[left + 1] as number) < x) left += 1;
  const from = at[left] as number;
  const to = at[left + 1] ?? from;
  const share = to > from ? Math.max(0, Math.min(1, (x - from) / (to - from))) : 0;
  let best = -1;
  let least = reach;
  for (let run = 0; run < chosen.length; run += 1) {
    if (!chosen[run]) continue;
    const a = ys[run * count + left] as number;
    const b = ys[run * count + Math.min(left + 1, count - 1)] as number;
    const slope = to > from ? (b - a) / (to - from) : 0;
    const distance = Math.abs(a + (b - a) * share - y) / Math.hypot(1, slope);
    if (distance < least) [best, least] = [run, distance];
  }
  return best;
}

/** The axis that is at most 14 px away; -1 where none is. */
export function axisAt({ at, top, bottom }: Plan, x: number, y: number): number {
  if (y < top - 12 || y > bottom + 12) return -1;
  return at.findIndex((place) => Math.abs(place - x) <= 14);
}
