// The samples of one panel: an overview of each run, and where the reader has zoomed in, closer ones of just that range.
import type { Kind } from "../../api/types";
import type { XAxis } from "../../state/view";
import { beginOf, indicesOf, placesOf, wireX } from "./axis";
import type { Sample } from "./sample";
import { samples, type Client } from "./store";
import { keyOf, type Want } from "./wants";

export interface PanelAsks {
  kind: Kind;
  name: string;
  field: string;
  /** Each with the unix ms of its beginning. */
  runs: readonly { id: string; origin: number }[];
  x: XAxis;
  zoom: readonly [number, number] | null;
  points: number;
}

export interface RunData {
  /** The closest sample that covers what is looked at. */
  sample: Sample | null;
  overview: Sample | null;
  missing: boolean;
  trouble: unknown;
  /** Whether something better is on its way. */
  waiting: boolean;
}

/** A closer sample is asked for where the one that is there shows less than this part of the buckets asked for. */
const COARSE = 0.6;
const MOST_STEPS = 5;

export class PanelData implements Client {
  wants = new Map<string, Want>();
  private asks: PanelAsks | null = null;
  private sight = false;
  private found = new Map<string, RunData>();
  /** The last overview of each run, which stands until another one of the same has come: a wider window must not make charts blink. */
  private last = new Map<string, Sample>();
  private lastOf = "";

  constructor(readonly arrived: () => void) {
    samples.add(this);
  }

  get inSight(): boolean {
    return this.sight;
  }

  set inSight(sight: boolean) {
    if (sight === this.sight) return;
    this.sight = sight;
    samples.soon();
  }

  set(asks: PanelAsks): void {
    this.asks = asks;
    const same = `${asks.kind}\n${asks.name}\n${asks.field}\n${wireX(asks.x) ?? ""}`;
    if (same !== this.lastOf) this.last.clear();
    this.lastOf = same;
  }

  /** What there is now, by run; what is missing is asked for. */
  look(): ReadonlyMap<string, RunData> {
    const { asks } = this;
    if (!asks) return this.found;
    const before = this.wants;
    this.wants = new Map();
    this.found = new Map(asks.runs.map((run) => [run.id, this.run(asks, run.id, run.origin)]));
    let same = before.size === this.wants.size;
    for (const key of this.wants.keys()) same &&= before.has(key);
    if (!same) samples.soon();
    return this.found;
  }

  close(): void {
    this.wants = new Map();
    samples.drop(this);
  }

  private want(asks: PanelAsks, run: string, start: number, stop: number | null) {
    const { kind, name, field, points } = asks;
    const want: Want = { run, kind, name, field, x: wireX(asks.x), start, stop, points };
    this.wants.set(keyOf(want), want);
    return samples.get(want);
  }

  private run(asks: PanelAsks, run: string, origin: number): RunData {
    const { zoom, x } = asks;
    // What is looked at is asked for before the whole around it.
    let close = zoom && x.by === "index" ? this.closeByIndex(asks, run, zoom) : null;
    const overview = this.want(asks, run, 0, null);
    const whole = overview.sample ?? (overview.missing ? null : (this.last.get(run) ?? null));
    if (overview.sample) this.last.set(run, overview.sample);
    if (zoom && x.by !== "index" && overview.sample) close = this.closer(asks, run, origin, zoom, overview.sample);
    return {
      sample: close?.sample ?? whole,
      overview: whole,
      missing: overview.missing,
      trouble: overview.trouble ?? close?.trouble ?? null,
      waiting: !overview.missing && !overview.trouble && (close?.waiting ?? !overview.sample),
    };
  }

  private closeByIndex(asks: PanelAsks, run: string, [low, high]: readonly [number, number]) {
    const whole = samples.get({ ...wantOf(asks, run), start: 0, stop: null });
    if (whole.missing || whole.sample?.exact) return null;
    const start = Math.max(0, Math.floor(low) - 1);
    const stop = Math.max(start + 1, Math.ceil(high) + 2);
    if (whole.sample && start >= whole.sample.total) return null;
    const held = this.want(asks, run, start, stop);
    return { sample: held.sample, trouble: held.trouble, waiting: !held.sample && !held.missing };
  }

  /** Down from the overview, each step by what the one before tells of where x is. */
  private closer(asks: PanelAsks, run: string, origin: number, zoom: readonly [number, number], overview: Sample) {
    let sample = overview;
    let trouble: unknown = null;
    const zero = beginOf(overview, asks.x, origin);
    for (let step = 0; step < MOST_STEPS && !sample.exact; step += 1) {
      const range = indicesOf(sample, placesOf(sample, asks.x, zero), zoom[0], zoom[1]);
      if (!range) break;
      const [start, end] = range;
      if ((end - start) / (sample.stop - sample.start) > COARSE) break;
      const held = this.want(asks, run, start, end >= overview.total ? null : end);
      trouble = held.trouble;
      if (!held.sample || held.sample.n === 0) return { sample, trouble, waiting: !held.sample && !held.missing };
      sample = held.sample;
    }
    return { sample, trouble, waiting: false };
  }
}

function wantOf(asks: PanelAsks, run: string): Want {
  const { kind, name, field, points } = asks;
  return { run, kind, name, field, x: wireX(asks.x), start: 0, stop: null, points };
}
