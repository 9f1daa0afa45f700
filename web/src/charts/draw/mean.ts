// Groups of runs as one line each: the mean and the standard deviation of the runs that have values there. Pure.
import type { Line } from "./line";

/** Even places where lines have very many between them. */
const COLUMNS = 600;
/** Up to so many places are taken as they are: a spike of one point is between even ones. */
const MOST_PLACES = 2000;

/** The mean of some lines over even places of x, each line straight between its buckets; null where none has values. */
export function meanOf(lines: readonly Line[], from: number, to: number, as: Pick<Line, "id" | "name" | "color" | "dash">): Line | null {
  const x = grid(lines, from, to);
  const n = x.length;
  if (!n) return null;
  const count = new Float64Array(n);
  const sum = new Float64Array(n);
  const squares = new Float64Array(n);
  for (const line of lines) {
    const values = onGrid(line, x);
    for (let i = 0; i < n; i += 1) {
      const value = values[i] as number;
      if (!Number.isFinite(value)) continue;
      // Welford's: the difference of two large sums would lose a small spread.
      const k = (count[i] = (count[i] as number) + 1);
      const off = value - (sum[i] as number);
      sum[i] = (sum[i] as number) + off / k;
      squares[i] = (squares[i] as number) + off * (value - (sum[i] as number));
    }
  }
  const y = sum.map((value, i) => (count[i] ? value : NaN));
  const spread = squares.map((value, i) => ((count[i] as number) > 1 ? Math.sqrt(value / ((count[i] as number) - 1)) : 0));
  return {
    ...as,
    places: { x, from: x, to: x, order: null },
    y,
    raw: null,
    low: y.map((value, i) => value - (spread[i] as number)),
    high: y.map((value, i) => value + (spread[i] as number)),
    spikes: [],
    sample: null,
    strong: false,
    members: lines.length,
    restarts: [],
  };
}

/** Places that all lines have, where they are the same; else every place that any has, or even ones. */
function grid(lines: readonly Line[], from: number, to: number): Float64Array {
  const [first] = lines;
  if (!first || !(to >= from)) return new Float64Array(0);
  const same = lines.every(({ places }) => !places.order && places.x.length === first.places.x.length && places.x.every((at, i) => at === first.places.x[i]));
  if (same) return first.places.x;
  const places = placesOf(lines, from, to);
  if (places) return places;
  const made = new Float64Array(COLUMNS);
  for (let i = 0; i < COLUMNS; i += 1) made[i] = from + ((to - from) * i) / (COLUMNS - 1);
  return made;
}

/** Every place of any line within [from, to], and the ends; null where they are too many. */
function placesOf(lines: readonly Line[], from: number, to: number): Float64Array | null {
  const found = new Set([from, to]);
  for (const { places } of lines) {
    for (const at of places.x) if (at >= from && at <= to) found.add(at);
    if (found.size > MOST_PLACES) return null;
  }
  return Float64Array.from(found).sort();
}

/** A line's values at rising places; NaN before its first and after its last. */
function onGrid(line: Line, grid: Float64Array): Float64Array {
  const { x, order } = line.places;
  const values = new Float64Array(grid.length).fill(NaN);
  const positions: number[] = [];
  const count = order ? order.length : x.length;
  for (let i = 0; i < count; i += 1) {
    const at = order ? (order[i] as number) : i;
    if (Number.isFinite(line.y[at])) positions.push(at);
  }
  let k = 0;
  for (let i = 0; i < grid.length; i += 1) {
    const at = grid[i] as number;
    while (k + 1 < positions.length && (x[positions[k + 1] as number] as number) <= at) k += 1;
    const left = positions[k];
    if (left === undefined || (x[left] as number) > at) continue;
    const right = positions[k + 1];
    const low = x[left] as number;
    if (right === undefined) {
      if (low === at) values[i] = line.y[left] as number;
      continue;
    }
    const share = (at - low) / ((x[right] as number) - low);
    values[i] = (line.y[left] as number) * (1 - share) + (line.y[right] as number) * share;
  }
  return values;
}
