// The page's samples: what is in sight is asked for first, many in a request, at most two requests at a time; what has left the sight
// is asked for no more. Bounded in bytes. Live series are continued, not fetched again.
import { ApiError } from "../../api/client";
import { live } from "../../state/live";
import { askSamples, type Asked } from "./asking";
import type { Frame } from "./decode";
import { continuesAt, extended } from "./sample";
import { grows, keyOf, seriesOf, type Held, type Want } from "./wants";

/** Bytes of samples that nobody looks at are let go above this. */
const MEMORY = 40 << 20;
/** Above so many, those that never came and that nobody waits for any more are forgotten: each zoom that was passed over leaves some. */
const MOST_HELD = 30_000;
const MOST_REQUESTS = 2;
const MOST_SERIES = 200;
/** ms between two requests for what has been appended. */
const LIVE_PAUSE = 450;
/** A sample that has grown to this many times the buckets that were asked for is made anew, with wider ones. */
const TOO_FINE = 2;
const FIRST_WAIT = 1000;
const MOST_WAIT = 15_000;

export interface Client {
  readonly wants: ReadonlyMap<string, Want>;
  inSight: boolean;
  /** Something that it wants has come. */
  arrived(): void;
}

interface Flight {
  waiting: Map<number, Held>;
  control: AbortController;
}

class SampleStore {
  private readonly held = new Map<string, Held>();
  private readonly clients = new Set<Client>();
  private readonly flights = new Set<Flight>();
  private bytes = 0;
  private pumping = 0;
  private liveTimer = 0;
  private liveAt = 0;
  private wait = FIRST_WAIT;
  private retryTimer = 0;

  constructor() {
    live.onAdvanced((advanced) => this.grown((held) => held.want.run in advanced));
    // A run that has ended while nobody listened is not among those that advance any more.
    live.onRuns((changed) => this.doubted(new Set(changed)));
    live.onState(() => {
      if (live.state === "live") this.doubted(live.totals);
    });
    live.onGap(() => this.doubted(null));
  }

  add(client: Client): void {
    this.clients.add(client);
    this.soon();
  }

  drop(client: Client): void {
    this.clients.delete(client);
    this.soon();
  }

  get(want: Want): Held {
    const key = keyOf(want);
    const found = this.held.get(key);
    if (found) return found;
    const made: Held = { key, want, sample: null, missing: false, trouble: null, busy: false, stale: false, anew: false };
    this.held.set(key, made);
    return made;
  }

  /** Look, in the next frame, what there is to ask for: clients want something else, or are in sight now. */
  soon(): void {
    if (!this.pumping) this.pumping = requestAnimationFrame(() => this.pump());
  }

  /** Ask again for what failed. */
  retry(): void {
    for (const held of this.held.values()) held.trouble = null;
    this.soon();
  }

  private pump(): void {
    this.pumping = 0;
    this.abandon();
    while (this.flights.size < MOST_REQUESTS) {
      const batch = this.batch();
      const [first] = batch;
      if (!first) break;
      void this.fly(batch, first.want.x);
    }
    this.evict();
  }

  /** The next to ask for: of one x, what is in sight before what is near, first looks before continuations. */
  private batch(): Held[] {
    const batch: Held[] = [];
    const mayContinue = performance.now() - this.liveAt >= LIVE_PAUSE;
    let waits = false;
    for (const near of [false, true]) {
      for (const client of this.clients) {
        if (client.inSight === near) continue;
        for (const want of client.wants.values()) {
          const held = this.get(want);
          if (held.busy || held.trouble) continue;
          const first = !held.sample && !held.missing;
          if (!first && !(held.stale && client.inSight)) continue;
          if (!first && !mayContinue) waits = true;
          else if (!batch[0] || batch[0].want.x === want.x) batch.push(held);
          if (batch.length >= MOST_SERIES) return batch;
        }
      }
      if (batch.length) break;
    }
    if (waits && !this.liveTimer) {
      this.liveTimer = window.setTimeout(() => {
        this.liveTimer = 0;
        this.soon();
      }, LIVE_PAUSE - (performance.now() - this.liveAt));
    }
    return batch;
  }

  private async fly(batch: readonly Held[], x: string | null): Promise<void> {
    const flight: Flight = { waiting: new Map(batch.entries()), control: new AbortController() };
    this.flights.add(flight);
    if (batch.some((held) => held.stale)) this.liveAt = performance.now();
    const asked = batch.map((held) => {
      held.busy = true;
      held.stale = false;
      return askedOf(held);
    });
    try {
      await askSamples(asked, x, (frame) => this.take(flight, frame, asked), flight.control.signal);
      this.wait = FIRST_WAIT;
    } catch (error) {
      if (!flight.control.signal.aborted) this.failed(flight, error);
    } finally {
      this.flights.delete(flight);
      for (const held of flight.waiting.values()) held.busy = false;
      this.soon();
    }
  }

  private take(flight: Flight, frame: Frame, asked: readonly Asked[]): void {
    const held = flight.waiting.get(frame.at);
    if (!held) return;
    flight.waiting.delete(frame.at);
    held.busy = false;
    const before = held.sample?.bytes ?? 0;
    if (frame.error) {
      held.missing = frame.error.name === "NotFound" || frame.error.name === "SeriesNotFound";
      if (held.missing) held.sample = null;
      // More has come than a continuation may be long: all of it is asked for.
      else if (asked[frame.at]?.width !== undefined) held.anew = held.stale = true;
      else held.trouble = new ApiError("invalid", frame.error.message);
    } else if (frame.sample) {
      held.missing = false;
      const goesOn = asked[frame.at]?.width !== undefined && held.sample;
      const whole = goesOn && held.sample ? extended(held.sample, frame.sample) : frame.sample;
      held.anew = held.stale = whole === null;
      if (whole) held.sample = whole;
    }
    this.bytes += (held.sample?.bytes ?? 0) - before;
    // While this was on its way the series may have grown on.
    held.stale ||= isBehind(held);
    for (const client of this.clients) if (client.wants.has(held.key)) client.arrived();
  }

  private failed(flight: Flight, error: unknown): void {
    const passes = !(error instanceof ApiError) || error.trouble === "offline" || error.trouble === "busy" || error.trouble === "server";
    for (const held of flight.waiting.values()) {
      // What was there stays; its continuation is asked for later, unless it would be refused as this one was.
      if (!held.sample) held.trouble = error;
      else if (passes) held.stale = true;
      for (const client of this.clients) if (client.wants.has(held.key)) client.arrived();
    }
    if (!passes || this.retryTimer) return;
    this.liveAt = performance.now() + this.wait;
    this.retryTimer = window.setTimeout(() => {
      this.retryTimer = 0;
      this.retry();
    }, this.wait);
    this.wait = Math.min(this.wait * 2, MOST_WAIT);
  }

  /** End requests of which nothing is wanted any more. */
  private abandon(): void {
    for (const flight of this.flights) {
      const wanted = [...flight.waiting.values()].some((held) => [...this.clients].some((client) => client.wants.has(held.key)));
      if (wanted || !flight.waiting.size) continue;
      for (const held of flight.waiting.values()) held.busy = false;
      flight.waiting.clear();
      flight.control.abort();
      this.flights.delete(flight);
    }
  }

  private grown(concerns: (held: Held) => boolean): void {
    let any = false;
    for (const held of this.held.values()) {
      if (!held.stale && concerns(held) && isBehind(held)) any = held.stale = true;
    }
    if (any) this.soon();
  }

  /** Look again whether series of these runs, null of any, have grown. */
  private doubted(runs: { has: (run: string) => boolean } | null): void {
    let any = false;
    for (const held of this.held.values()) {
      if ((held.sample || held.missing) && (runs?.has(held.want.run) ?? true) && grows(held)) any = held.stale = true;
    }
    if (any) this.soon();
  }

  /** Let go of what nobody looks at, the oldest first. */
  private evict(): void {
    if (this.bytes <= MEMORY && this.held.size <= MOST_HELD) return;
    const wanted = new Set([...this.clients].flatMap((client) => [...client.wants.keys()]));
    for (const [key, held] of this.held) {
      if (held.busy || wanted.has(key) || (this.bytes <= MEMORY && (held.sample || held.missing))) continue;
      this.bytes -= held.sample?.bytes ?? 0;
      this.held.delete(key);
    }
  }
}

function isBehind(held: Held): boolean {
  const total = live.totals.get(held.want.run)?.get(seriesOf(held.want));
  if (total === undefined) return false;
  return held.sample ? total > held.sample.total && grows(held) : held.missing;
}

function askedOf({ want, sample, anew }: Held): Asked {
  const { run, kind, name, field, start, stop, points } = want;
  const whole: Asked = { run, kind, name, field, start, stop, max_points: points };
  if (!sample || sample.n === 0 || anew) return whole;
  const total = live.totals.get(run)?.get(`${kind}/${name}`) ?? sample.total;
  const from = continuesAt(sample);
  if (sample.n + (total - from) / sample.width > TOO_FINE * points) return whole;
  return { ...whole, start: from, width: sample.width };
}

export const samples = new SampleStore();
