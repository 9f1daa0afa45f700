// Aggregates of series (min, max, …), asked for the runs in sight, a hundred at a time, and kept until their run advances.
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { api } from "../api/client";
import type { Json } from "../api/types";
import { live } from "../state/live";
import { needs, readReference, writeReference } from "./references";

const BATCH = 100;
/** ms in which wishes are gathered, and between two looks at runs that advance. */
const GATHER = 20;
const AGAIN = 2000;

/** The column that /summaries knows for a reference: a last value is the aggregate "last". */
function askedColumn(reference: string): string {
  const read = readReference(reference);
  return read && (read.of === "metrics" || read.of === "tracks") && !read.aggregate ? writeReference({ ...read, aggregate: "last" }) : reference;
}

export class Summaries {
  /** Rises whenever values have come. */
  version = 0;
  /** reference → run → value; null where the run has none. */
  private readonly values = new Map<string, Map<string, Json>>();
  private readonly wanted = new Map<string, Set<string>>();
  private readonly asked = new Set<string>();
  private readonly listeners = new Set<() => void>();
  private timer = 0;
  private advanced = new Set<string>();
  private refreshing = 0;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  get = (run: string, reference: string): Json | undefined => this.values.get(reference)?.get(run) ?? undefined;

  /** Whether the value has come, be it none. */
  knows = (run: string, reference: string): boolean => this.values.get(reference)?.has(run) ?? false;

  /** Have all of these now: for a file that is to be whole. Rejects where the server does not answer. */
  async have(runs: readonly string[], references: readonly string[]): Promise<void> {
    const missing = runs.filter((run) => references.some((reference) => !this.knows(run, reference)));
    for (let at = 0; at < missing.length; at += BATCH) await this.fetch(missing.slice(at, at + BATCH), references);
  }

  /** Have these columns of these runs, soon; what is known or under way is not asked for again. */
  want(runs: readonly string[], references: readonly string[]): void {
    for (const reference of references) {
      for (const run of runs) {
        const key = `${run} ${reference}`;
        if (this.asked.has(key)) continue;
        this.asked.add(key);
        const columns = this.wanted.get(run) ?? new Set<string>();
        columns.add(reference);
        this.wanted.set(run, columns);
      }
    }
    if (this.wanted.size && !this.timer) this.timer = window.setTimeout(() => void this.flush(), GATHER);
  }

  /** The run has become longer: what is known of it is shown until what is new has come. */
  advance(runs: Iterable<string>): void {
    for (const run of runs) this.advanced.add(run);
    if (!this.refreshing) {
      this.refreshing = window.setTimeout(() => {
        this.refreshing = 0;
        const those = this.advanced;
        this.advanced = new Set();
        for (const key of this.asked) if (those.has(key.slice(0, key.indexOf(" ")))) this.asked.delete(key);
        this.tell();
      }, AGAIN);
    }
  }

  /** The table has come anew: its last values are newer than those asked for beside it. */
  forgetLast(): void {
    for (const reference of this.values.keys()) if (needs(reference) === "table") this.values.delete(reference);
    for (const key of this.asked) if (needs(key.slice(key.indexOf(" ") + 1)) === "table") this.asked.delete(key);
  }

  private async flush(): Promise<void> {
    this.timer = 0;
    const wanted = [...this.wanted];
    this.wanted.clear();
    const bySet = new Map<string, { columns: string[]; runs: string[] }>();
    for (const [run, columns] of wanted) {
      const key = [...columns].sort().join("\n");
      const batch = bySet.get(key) ?? { columns: [...columns], runs: [] };
      batch.runs.push(run);
      bySet.set(key, batch);
    }
    for (const { columns, runs } of bySet.values()) {
      for (let at = 0; at < runs.length; at += BATCH) {
        const batch = runs.slice(at, at + BATCH);
        try {
          await this.fetch(batch, columns);
        } catch {
          // Empty cells are asked for again when they next come into sight; the table itself tells what is wrong with the server.
          for (const run of batch) for (const column of columns) this.asked.delete(`${run} ${column}`);
        }
      }
    }
  }

  private async fetch(runs: readonly string[], references: readonly string[]): Promise<void> {
    const columns = references.map(askedColumn);
    const told = await api.summaries(runs, columns);
    references.forEach((reference, c) => {
      const column = this.values.get(reference) ?? new Map<string, Json>();
      this.values.set(reference, column);
      const values = told[columns[c] as string] ?? [];
      runs.forEach((run, i) => column.set(run, values[i] ?? null));
    });
    this.tell();
  }

  private tell(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}

/** The aggregates of a project; `version` changes when values have come. */
export function useSummaries(namespace: string, project: string): { summaries: Summaries; version: number; advanced: Set<string> } {
  const summaries = useMemo(() => new Summaries(), [namespace, project]);
  const advanced = useRef(new Set<string>());
  useEffect(() => {
    const those = advanced.current;
    those.clear();
    return live.onAdvanced((told) => {
      for (const run of Object.keys(told)) those.add(run);
      summaries.advance(Object.keys(told));
    });
  }, [summaries]);
  const version = useSyncExternalStore(summaries.subscribe, () => summaries.version);
  return { summaries, version, advanced: advanced.current };
}
