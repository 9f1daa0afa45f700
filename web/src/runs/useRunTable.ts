// A project's runs, fetched and kept fresh: again when runs have changed or series begin, at most every two seconds and less often where it takes long.
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import type { TableAnswer } from "../api/types";
import { keepPlaces } from "../model/places";
import { tableOf, type RunTable } from "../model/table";
import { live, type Advanced } from "../state/live";
import { tableKey, tableQuery, type Fetched } from "./fetch";

const LEAST_PAUSE = 2000;
/** The pause between two fetches is at least so many times what one takes: a large table must not keep its server busy. */
const PAUSE_BY_COST = 6;
/** ms until the table is asked for again while the server still looks at series. */
const PENDING_PAUSE = 500;

/** Whether there is word of a run or a series that the table does not have. */
function lacks(answer: TableAnswer, told: Advanced): boolean {
  const runs = new Set(answer.runs.id);
  const series = new Set(answer.series.map(({ kind, name }) => `${kind}/${name}`));
  const shown = (key: string) => key.startsWith("metrics/") || key.startsWith("tracks/");
  return Object.entries(told).some(([run, lengths]) => !runs.has(run) || Object.keys(lengths).some((key) => shown(key) && !series.has(key)));
}

export interface RunTableState {
  table: RunTable | undefined;
  fetched: Fetched | undefined;
  error: Error | null;
  loading: boolean;
  retry: () => void;
}

export function useRunTable(namespace: string, project: string, columns: readonly string[]): RunTableState {
  const queries = useQueryClient();
  const asked = useQuery({
    ...tableQuery(namespace, project, columns),
    // Other columns of the same project: its rows stay in sight until they are there.
    placeholderData: (last, lastQuery) => (lastQuery?.queryKey[1] === namespace && lastQuery.queryKey[2] === project ? keepPreviousData(last) : undefined),
    refetchInterval: ({ state }) => (state.data?.answer.pending ? Math.max(PENDING_PAUSE, state.data.took * 2) : false),
  });
  const fetched = asked.data;
  const took = fetched?.took ?? 0;

  const newest = useRef(fetched);
  newest.current = fetched;
  const greeting = useRef<Advanced | "none" | "heard">("none");
  useEffect(() => {
    greeting.current = "none";
  }, [namespace, project]);
  const hear = useRef<(told: Advanced) => void>(() => undefined);
  useEffect(() => {
    if (fetched && typeof greeting.current === "object") hear.current(greeting.current);
  }, [fetched]);

  useEffect(() => {
    let timer = 0;
    let last = 0;
    const again = () => {
      const pause = Math.max(LEAST_PAUSE, took * PAUSE_BY_COST);
      if (timer) return;
      const due = Math.max(0, last + pause - performance.now());
      timer = window.setTimeout(() => {
        timer = 0;
        last = performance.now();
        void queries.invalidateQueries({ queryKey: tableKey(namespace, project) });
      }, due);
    };
    const stopRuns = live.onRuns(again);
    // The server tells changes from its first look on. What changed between the table's request and that look is told by nobody:
    // runs that the table lacks, and those that have ended. A series' first point is no change of its run.
    hear.current = (told) => {
      const first = greeting.current !== "heard";
      const answer = newest.current?.answer;
      if (first) greeting.current = answer ? "heard" : told;
      if (answer && (lacks(answer, told) || (first && answer.runs.status.includes("RUNNING")))) again();
    };
    const stopAdvanced = live.onAdvanced((told) => hear.current(told));
    return () => {
      stopRuns();
      stopAdvanced();
      window.clearTimeout(timer);
    };
  }, [queries, namespace, project, took]);

  const table = useMemo(() => {
    if (!fetched) return undefined;
    const { id, ordinal } = fetched.answer.runs;
    return tableOf(fetched.answer, keepPlaces(`${namespace}/${project}`, id, ordinal));
  }, [fetched]);
  return { table, fetched, error: asked.error, loading: asked.isPending, retry: () => void asked.refetch() };
}

const TICK = 5000;

/** The server's clock in unix s, moved on every few seconds. */
export function useServerNow(fetched: Fetched | undefined): number {
  const [ticked, setTicked] = useState(() => performance.now());
  useEffect(() => {
    const timer = window.setInterval(() => document.visibilityState === "visible" && setTicked(performance.now()), TICK);
    return () => window.clearInterval(timer);
  }, []);
  return fetched ? fetched.answer.now + Math.max(0, ticked - fetched.at) / 1000 : Date.now() / 1000;
}
