// What a panel wants of the server, and what the page holds of it. Pure.
import type { Kind } from "../../api/types";
import type { Sample } from "./sample";

export interface Want {
  run: string;
  kind: Kind;
  name: string;
  field: string;
  /** What the answer's x is: null is the index. */
  x: string | null;
  start: number;
  /** null is the end, however far it moves. */
  stop: number | null;
  points: number;
}

export interface Held {
  readonly key: string;
  readonly want: Want;
  sample: Sample | null;
  /** Whether the server has no such series: nothing to draw, and nothing wrong. */
  missing: boolean;
  trouble: unknown;
  /** A request for it is on its way. */
  busy: boolean;
  /** The series has grown since. */
  stale: boolean;
  /** What came since does not fit to it: all of it is asked for again. */
  anew: boolean;
}

export function keyOf(want: Want): string {
  const { run, kind, name, field, x, start, stop, points } = want;
  return `${run}\n${kind}\n${name}\n${field}\n${x ?? ""}\n${start}\n${stop ?? ""}\n${points}`;
}

/** As `live.totals` names series. */
export const seriesOf = (want: Want): string => `${want.kind}/${want.name}`;

/** Whether what is appended to the series belongs to what was asked for. */
export function grows({ want, sample }: Held): boolean {
  return want.stop === null || !sample || sample.stop < want.stop;
}

const DENSEST = 60_000;
const LEAST = 50;
/** Series of so many points are asked for whole: buckets of two would show less and save nothing. */
const WHOLE = 1000;

/** Buckets to ask for, a run: one a px, in steps, so that a window drawn a little wider asks for nothing; fewer where very many
 *  runs lie on each other anyway. `total` is how long the longest is. */
export function pointsFor(width: number, runs: number, total: number, aPixel = 1): number {
  let points = Math.max(100, Math.ceil((width * aPixel) / 100) * 100);
  if (total <= WHOLE) points = Math.max(points, WHOLE);
  while (points > LEAST && points * runs > DENSEST * aPixel) points = Math.max(LEAST, Math.floor(points / 2));
  return points;
}
