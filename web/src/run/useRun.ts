// One run as the page shows it: its record, its series, its place among its project's runs; all kept fresh by what the server tells.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { api } from "../api/client";
import type { FileRecord, Run, SeriesInfo, SeriesName, Status } from "../api/types";
import { numberOf, type RunRow } from "../model/table";
import { useRunTable, useServerNow } from "../runs/useRunTable";
import { live, useLive } from "../state/live";

/** ms between two looks at the same thing, while it changes. */
const PAUSE = 2000;
/** Seconds without a heartbeat after which a run that says RUNNING is lost: as the server counts. */
const LOST_AFTER = 60;

/** What the server leaves out is nothing. */
function whole(run: Run): Run {
  return {
    ...run,
    description: run.description ?? null,
    folder: run.folder ?? null,
    metadata: run.metadata ?? null,
    tags: run.tags ?? [],
    bindrs: run.bindrs ?? [],
    params: run.params ?? {},
    attempts: run.attempts ?? [],
    heartbeat_at: run.heartbeat_at ?? null,
  };
}

export function useRun(id: string) {
  return useQuery({ queryKey: ["run", id], queryFn: async ({ signal }) => whole(await api.run(id, signal)) });
}

export function useSeries(id: string) {
  return useQuery({ queryKey: ["series", id], queryFn: ({ signal }) => api.series(id, signal) });
}

/** ms between two looks at the files of a run that goes on: one that comes through the server is told of, one that another process adds to
 *  the folder is not. Of many files it takes longer to tell. */
const FILES_PAUSE = 5000;
const PAUSE_PER_FILE = 5;

/** `growing`: while somebody is in the run. */
export function useFiles(id: string, growing: boolean) {
  return useQuery({
    queryKey: ["files", id],
    queryFn: async ({ signal }): Promise<FileRecord[]> =>
      (await api.files(id, signal)).map((file) => ({ ...file, description: file.description ?? null, metadata: file.metadata ?? null, tags: file.tags ?? [] })),
    staleTime: 5000,
    refetchInterval: (query) => growing && Math.max(FILES_PAUSE, (query.state.data?.length ?? 0) * PAUSE_PER_FILE),
  });
}

/** `work` now, and again at most every `PAUSE` ms however often what is returned is called. */
function seldom(work: () => void): { call: () => void; stop: () => void } {
  let timer = 0;
  let last = -Infinity;
  return {
    call() {
      if (timer) return;
      timer = window.setTimeout(() => {
        timer = 0;
        last = performance.now();
        work();
      }, Math.max(0, last + PAUSE - performance.now()));
    },
    stop: () => window.clearTimeout(timer),
  };
}

/** Listen to the run's project; ask again for what has changed. True where the run is gone. */
export function useFreshRun(id: string, namespace: string, project: string): boolean {
  const queries = useQueryClient();
  const [gone, setGone] = useState(false);
  useLive(namespace, project);
  useEffect(() => {
    setGone(false);
    const again = (...names: string[]) => names.forEach((name) => void queries.invalidateQueries({ queryKey: [name, id] }));
    const series = seldom(() => again("series"));
    const record = seldom(() => again("run", "files"));
    // Once when it begins to be told, for what happened between the page's first look and that.
    const stopFirst = live.onAdvanced(() => {
      stopFirst();
      record.call();
    });
    const stops = [
      stopFirst,
      live.onAdvanced((advanced) => Object.hasOwn(advanced, id) && Object.keys(advanced[id] ?? {}).some((key) => !key.startsWith("logs/")) && series.call()),
      live.onRuns((changed, left) => {
        if (changed.includes(id)) record.call();
        if (left.includes(id)) setGone(true);
      }),
      series.stop,
      record.stop,
    ];
    return () => stops.forEach((stop) => stop());
  }, [queries, id]);
  return gone;
}

export interface Among {
  row: RunRow;
  status: Status;
  /** Unix s by the server's clock. */
  now: number;
  /** In the order of the list, newest first, without archived ones; null at an end. */
  newer: RunRow | null;
  older: RunRow | null;
  tags: string[];
  byId: ReadonlyMap<string, RunRow>;
  runs: readonly RunRow[];
  /** The series of all of them. */
  series: readonly SeriesName[];
}

const NONE: readonly string[] = [];

/** The run among its project's. Where the list has not come, or leaves it out, what its own record tells. */
export function useAmong(run: Run): Among {
  const [namespace, project] = run.key;
  const { table, fetched } = useRunTable(namespace, project, NONE);
  const now = useServerNow(fetched);
  return useMemo(() => {
    const listed = table?.byId.get(run.id);
    const row = listed ?? alone(run);
    const runs = (table?.runs ?? []).filter((one) => !one.archived || one.id === run.id);
    const at = runs.findIndex((one) => one.id === run.id);
    return {
      row,
      status: statusOf(run, now),
      now,
      newer: at > 0 ? (runs[at - 1] ?? null) : null,
      older: at >= 0 ? (runs[at + 1] ?? null) : null,
      tags: [...new Set((table?.runs ?? []).flatMap((one) => one.tags))].sort(),
      byId: table?.byId ?? new Map<string, RunRow>(),
      runs,
      series: table?.series ?? [],
    };
  }, [table, run, now]);
}

function statusOf(run: Run, now: number): Status {
  if (run.status !== "RUNNING") return run.status;
  return now - (run.heartbeat_at ?? 0) > LOST_AFTER ? "LOST" : "RUNNING";
}

function alone(run: Run): RunRow {
  return {
    id: run.id, name: run.key[2], kind: run.kind, status: run.status, createdAt: run.created_at, updatedAt: run.updated_at,
    endedAt: null, tags: run.tags, notes: run.description ?? "", archived: run.archived, writeProtected: run.write_protected,
    attempts: run.attempts.length, ordinal: 0, at: 0,
  };
}

/** Seconds that were worked on the run, pauses between its attempts left out; attempts that overlap count once. */
export function worked(run: Run, now: number): number {
  const spans = run.attempts
    .map((one): [number, number] => {
      const end = one.ended_at ? Date.parse(one.ended_at) / 1000 : run.status === "RUNNING" ? (statusOf(run, now) === "LOST" ? (run.heartbeat_at ?? 0) : now) : Date.parse(one.started_at) / 1000;
      return [Date.parse(one.started_at) / 1000, end];
    })
    .sort((a, b) => a[0] - b[0]);
  let sum = 0;
  let until = -Infinity;
  for (const [from, to] of spans) {
    sum += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return sum;
}

export const numericFields = (series: SeriesInfo): string[] =>
  Object.entries(series.last ?? {}).flatMap(([field, value]) => (numberOf(value) === undefined ? [] : [field]));

/** `known` are the series of the project: a field of theirs may be in rows before the last one, too. */
export function seriesNames(series: readonly SeriesInfo[], known: readonly SeriesName[]): SeriesName[] {
  const fields = new Map(known.map((one) => [`${one.kind}/${one.name}`, one.fields]));
  return series.map((one) => ({
    kind: one.kind, name: one.name, runs: 1, points: one.count,
    fields: [...new Set([...numericFields(one), ...(fields.get(`${one.kind}/${one.name}`) ?? [])])],
  }));
}
