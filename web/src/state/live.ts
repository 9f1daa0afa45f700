// What the server tells while the page is looked at: how long series have become, which runs have changed. One connection a project,
// none while the page is hidden; totals are absolute, so a connection that comes back has missed nothing.
import { useEffect, useSyncExternalStore } from "react";

export type LiveState = "off" | "connecting" | "live" | "waiting";
export type Advanced = Record<string, Record<string, number>>;

/** Milliseconds before another try, doubled up to the most. */
const FIRST_WAIT = 500;
const MOST_WAIT = 15_000;
/** ms. A connection begins with the lengths of runs that somebody was in during the last ten minutes (docs/formats/protocol.md): what was
 *  connected before that has missed nothing. How long it really was, after a night asleep, nobody can tell. */
const TOLD_AGAIN = 9 * 60_000;

class Live {
  state: LiveState = "off";
  /** run → "kind/name" → points. */
  readonly totals = new Map<string, Map<string, number>>();
  private source: EventSource | null = null;
  private wanted: string | null = null;
  /** It has been connected to what is wanted before. */
  private known = false;
  private users = 0;
  private wait = FIRST_WAIT;
  private timer = 0;
  /** When it was last connected to each address: unix ms. */
  private readonly begun = new Map<string, number>();
  private readonly gapListeners = new Set<() => void>();
  private readonly stateListeners = new Set<() => void>();
  private readonly advancedListeners = new Set<(advanced: Advanced) => void>();
  private readonly runsListeners = new Set<(changed: string[], gone: string[]) => void>();

  constructor() {
    document.addEventListener("visibilitychange", () => this.connect());
    window.addEventListener("online", () => this.connect());
  }

  /** Listen to a project (both "" for all) until what is returned is called. */
  listen(namespace: string, project: string): () => void {
    const query = new URLSearchParams();
    if (namespace) query.set("namespace", namespace);
    if (project) query.set("project", project);
    const wanted = `/api/v1/live?${query}`;
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.known = false;
      this.totals.clear();
      this.close();
    }
    this.users += 1;
    this.connect();
    return () => {
      this.users -= 1;
      if (this.users === 0) this.close();
    };
  }

  onState = (listener: () => void): (() => void) => {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  };

  /** Told of what has become longer, at most some times a second. */
  onAdvanced(listener: (advanced: Advanced) => void): () => void {
    this.advancedListeners.add(listener);
    return () => this.advancedListeners.delete(listener);
  }

  /** Told of runs that are new, have changed or are gone. */
  onRuns(listener: (changed: string[], gone: string[]) => void): () => void {
    this.runsListeners.add(listener);
    return () => this.runsListeners.delete(listener);
  }

  /** Told where so long has passed since the last connection that series may have grown unheard. */
  onGap(listener: () => void): () => void {
    this.gapListeners.add(listener);
    return () => this.gapListeners.delete(listener);
  }

  private connect(): void {
    const { wanted } = this;
    if (this.users === 0 || wanted === null || document.visibilityState !== "visible") return this.close();
    if (this.source) return;
    window.clearTimeout(this.timer);
    this.say("connecting");
    const source = new EventSource(wanted);
    this.source = source;
    source.onopen = () => {
      this.wait = FIRST_WAIT;
      this.say("live");
      // Lengths are told anew; which runs came or went while nobody listened is not.
      if (this.known) for (const listener of this.runsListeners) listener([], []);
      this.known = true;
      const before = this.begun.get(wanted);
      this.begun.set(wanted, Date.now());
      if (before !== undefined && Date.now() - before > TOLD_AGAIN) for (const listener of this.gapListeners) listener();
    };
    source.addEventListener("advanced", (event) => this.advanced(JSON.parse((event as MessageEvent<string>).data) as Advanced));
    source.addEventListener("runs", (event) => {
      const { changed, gone } = JSON.parse((event as MessageEvent<string>).data) as { changed: string[]; gone: string[] };
      for (const listener of this.runsListeners) listener(changed, gone);
    });
    source.onerror = () => {
      // The browser's own way of trying again gives up on some errors for good; this one does not.
      this.close();
      this.say("waiting");
      this.timer = window.setTimeout(() => this.connect(), this.wait * (0.5 + Math.random()));
      this.wait = Math.min(this.wait * 2, MOST_WAIT);
    };
  }

  private advanced(advanced: Advanced): void {
    for (const [run, series] of Object.entries(advanced)) {
      const known = this.totals.get(run) ?? new Map<string, number>();
      this.totals.set(run, known);
      for (const [key, total] of Object.entries(series)) known.set(key, total);
    }
    for (const listener of this.advancedListeners) listener(advanced);
  }

  private close(): void {
    window.clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.say("off");
  }

  private say(state: LiveState): void {
    if (state === this.state) return;
    this.state = state;
    for (const listener of this.stateListeners) listener();
  }
}

export const live = new Live();

/** Listen to a project while the component is there. */
export function useLive(namespace: string, project: string): void {
  useEffect(() => live.listen(namespace, project), [namespace, project]);
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(live.onState, () => live.state);
}
