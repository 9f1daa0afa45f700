// What one chart is asked to draw. Types only.
import type { SeriesKey } from "./panels";
import type { XAxis } from "../state/view";
import type { Ink } from "./draw/pen";
import type { Smoothing } from "./draw/smooth";

export interface DrawnRun {
  id: string;
  name: string;
  color: string;
  dash: readonly number[];
  /** Unix ms of its beginning. */
  origin: number;
  /** The name of its group; null where runs are drawn singly. */
  group: string | null;
  /** Lengths of series ("kind/name") when it was taken up again, an element a restart. */
  restarts: readonly Readonly<Record<string, number>>[];
  /** It is what the others are compared with: drawn above them, and wider. */
  strong: boolean;
}

export interface Drawn {
  panel: SeriesKey;
  /** Points of the longest run, as far as the table tells. */
  points: number;
  runs: readonly DrawnRun[];
  x: XAxis;
  zoom: readonly [number, number] | null;
  logX: boolean;
  logY: boolean;
  /** Leave the outermost hundredth of values out of sight. */
  usual: boolean;
  smoothing: Smoothing;
  width: number;
  height: number;
  /** Buckets a px. */
  aPixel: number;
  ink: Ink;
}

/** What there is to say of a chart beside its picture. */
export interface ChartStatus {
  state: "loading" | "trouble" | "empty" | "ready";
  trouble: unknown;
  /** Of the longest run: buckets that are drawn of how many points. */
  buckets: number;
  points: number;
  /** Of its points those that the buckets cover. */
  here: number;
  exact: boolean;
  /** Whether any of them is in sight. */
  seen: boolean;
  lines: number;
  /** How many of the runs have it. */
  runs: number;
  waiting: boolean;
  /** Whether any value is finite. */
  finite: boolean;
  /** Buckets that a logarithmic axis has no place for. */
  unplaced: number;
  /** Buckets that a logarithmic x axis has no place for: index 0 first of all. */
  leftOut: number;
}

export const LOADING: ChartStatus = {
  state: "loading", trouble: null, buckets: 0, points: 0, here: 0, exact: false, seen: true, lines: 0, runs: 0, waiting: true, finite: false, unplaced: 0, leftOut: 0,
};
