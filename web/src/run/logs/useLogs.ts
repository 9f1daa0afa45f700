// The log's source for what is asked for: made anew when the filter changes, told when the log grows, let go when nobody looks.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { api } from "../../api/client";
import type { Run } from "../../api/types";
import { live } from "../../state/live";
import { LevelCounts } from "./levels";
import { MatchingLog } from "./matchingLog";
import type { Fetch, LogSource } from "./source";
import { WholeLog } from "./wholeLog";

export const fetchOf =
  (run: string): Fetch =>
  async (ask, signal) => {
    const answer = await api.logs(run, ask, signal);
    const rows = answer.rows.map((row) => ({ ...row, timestamp: row.timestamp ?? "", level: row.level ?? "", message: row.message ?? "" }));
    return { ...answer, rows };
  };

/** The log's length and beginning, asked once; it grows by what the live stream tells. */
export function useLogHead(run: Run) {
  return useQuery({
    queryKey: ["log-head", run.id],
    queryFn: async ({ signal }) => {
      const answer = await api.logs(run.id, { from: 0, limit: 1 }, signal);
      return { total: answer.total, begin: Date.parse(answer.rows[0]?.timestamp ?? run.created_at) };
    },
    staleTime: 0,
  });
}

export function useLogTotal(run: string, known: number): number {
  const told = useSyncExternalStore(
    (listener) => live.onAdvanced((advanced) => Object.hasOwn(advanced, run) && listener()),
    () => live.totals.get(run)?.get("logs/") ?? 0,
  );
  return Math.max(told, known);
}

export interface Asked {
  levels: readonly string[];
  /** Only lines that hold it, "" for all. */
  search: string;
  /** The line to begin at; null is the end. */
  start: number | null;
}

export interface Logs {
  source: LogSource;
  counts: LevelCounts;
}

/** `total` is null while it is not known; so is what is returned. */
export function useLogs(run: string, total: number | null, asked: Asked): Logs | null {
  const [logs, setLogs] = useState<Logs | null>(null);
  const [counts] = useState(() => new Map<string, LevelCounts>());
  const known = total !== null;
  const levels = asked.levels.join(",");

  useEffect(() => {
    if (!known) return undefined;
    const seen = counts.get(run) ?? new LevelCounts();
    counts.set(run, seen);
    const words = { ...(levels ? { levels: levels.split(",") } : {}), ...(asked.search ? { search: asked.search } : {}) };
    const count = seen.add.bind(seen);
    const source: LogSource = Object.keys(words).length
      ? new MatchingLog(fetchOf(run), total, words, asked.start === null ? total : asked.start + 1, count)
      : new WholeLog(fetchOf(run), total, count);
    setLogs({ source, counts: seen });
    return () => source.dispose();
    // A source lives as long as what it was asked for: neither more lines nor another chosen line make a new one.
  }, [run, known, levels, asked.search]);

  useEffect(() => {
    if (total !== null) logs?.source.grow(total);
  }, [total, logs]);

  useSyncExternalStore(
    logs ? logs.source.subscribe : () => () => undefined,
    () => logs?.source.revision ?? 0,
  );
  return logs;
}
