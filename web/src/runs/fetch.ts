// The request for a project's table, by itself: so that it can be on its way before the code that draws its answer.
import type { QueryClient } from "@tanstack/react-query";
import { api } from "../api/client";
import type { TableAnswer } from "../api/types";
import type { View } from "../state/view";
import { needs } from "./references";

export interface Fetched {
  answer: TableAnswer;
  /** `performance.now()` when it came, and how long it took: ms. */
  at: number;
  took: number;
}

export const tableKey = (namespace: string, project: string) => ["table", namespace, project] as const;

export function tableQuery(namespace: string, project: string, columns: readonly string[]) {
  return {
    queryKey: [...tableKey(namespace, project), columns],
    queryFn: async ({ signal }: { signal: AbortSignal }): Promise<Fetched> => {
      const began = performance.now();
      const answer = await api.table(namespace, project, columns, signal);
      return { answer, at: performance.now(), took: performance.now() - began };
    },
    // Comparing a megabyte with its successor costs more than drawing the rows in sight.
    structuralSharing: false as const,
  };
}

/** Series columns that the table must bring: those that are in sight, and what is sorted or grouped by. */
export function tableColumns(view: View, usual: readonly string[]): string[] {
  const shown = view.tab === "table" ? (view.columns ?? usual) : [];
  const named = [...shown, view.sort.replace(/^-/, ""), view.group];
  return [...new Set(named.filter((one) => needs(one) === "table"))].sort();
}

/** Ask for the table that the project's page is going to show first. Settles when it has come, or has not. */
export function fetchAhead(queries: QueryClient, view: View, project: string): Promise<void> {
  return queries.prefetchQuery({ ...tableQuery(view.namespace, project, tableColumns(view, [])), retry: false });
}
