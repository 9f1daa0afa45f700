// The values of some quantities for some runs: parameters from the table, results from /summaries.
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { api } from "../api/client";
import type { Json, SeriesName } from "../api/types";
import type { RunRow, RunTable } from "../model/table";
import { paramReference, readReference, seriesReference } from "../runs/references";
import { quantityOf, varies, type Quantity } from "./quantity";

const BATCH = 100;
const LASTING = 20_000;

export interface Choice {
  reference: string;
  label: string;
}

const AGGREGATES = ["last", "min", "max", "mean"] as const;

/** Everything that runs can be compared by: parameters, then results, then how long they took. */
export function choicesOf(table: RunTable): Choice[] {
  const params = table.params.map((name) => ({ reference: paramReference(name), label: name }));
  const results = table.series.filter(isResult).flatMap(({ kind, name, fields }) =>
    fields.flatMap((field) =>
      AGGREGATES.map((aggregate) => ({ reference: seriesReference(kind, name, field, aggregate), label: `${name}${field === "value" ? "" : ` ${field}`} · ${aggregate}` })),
    ),
  );
  return [...params, ...results, { reference: "duration", label: "duration" }];
}

const isResult = ({ kind, name }: SeriesName): boolean => (kind === "metrics" || kind === "tracks") && !name.startsWith("_system/");

/** The parameters in which the runs differ, numbers first. */
export function usualParams(table: RunTable, runs: readonly RunRow[]): Choice[] {
  return table.params
    .map((name) => ({ name, quantity: quantityOf("", name, runs.map((run) => table.param(run, name))) }))
    .filter(({ quantity }) => varies(quantity) && (quantity.numeric || quantity.categories.length <= 40))
    .sort((a, b) => Number(b.quantity.numeric) - Number(a.quantity.numeric))
    .map(({ name }) => ({ reference: paramReference(name), label: name }));
}

/** The result that a comparison begins with: a loss of validation or evaluation, else of anything, else the first series. */
export function usualResult(table: RunTable): Choice | null {
  const results = table.series.filter(isResult);
  const score = (name: string) => (/val|eval|test/i.test(name) ? 2 : 0) + (/loss|err/i.test(name) ? 1 : 0);
  const [best] = [...results].sort((a, b) => score(b.name) - score(a.name) || b.runs - a.runs);
  const field = best?.fields.includes("value") ? "value" : best?.fields.find((one) => one !== "step" && one !== "epoch");
  return best && field ? { reference: seriesReference(best.kind, best.name, field, "last"), label: `${best.name} · last` } : null;
}

export const isSummary = (reference: string): boolean => {
  const read = readReference(reference);
  return read !== null && (read.of === "metrics" || read.of === "tracks");
};

/** A quantity for each reference; of results those that have come. */
export function useQuantities(table: RunTable, runs: readonly RunRow[], references: readonly string[], labels: ReadonlyMap<string, string>): Quantity[] {
  const wanted = [...new Set(references.filter(isSummary))].sort();
  const ids = useMemo(() => runs.map((run) => run.id), [runs]);
  const batches = useMemo(() => Array.from({ length: Math.ceil(ids.length / BATCH) }, (_, i) => ids.slice(i * BATCH, (i + 1) * BATCH)), [ids]);
  const answers = useQueries({
    queries: wanted.flatMap((reference) =>
      batches.map((batch) => ({
        queryKey: ["comparison", reference, batch],
        queryFn: async ({ signal }: { signal: AbortSignal }) => (await api.summaries(batch, [reference], signal))[reference] ?? [],
        staleTime: LASTING,
      })),
    ),
    combine: (all) => all.map(({ data, isPending }) => ({ data, isPending })),
  });
  const key = references.join("\n");
  return useMemo(
    () =>
      references.map((reference) => {
        const label = labels.get(reference) ?? reference;
        const at = wanted.indexOf(reference);
        if (at < 0) return quantityOf(reference, label, runs.map((run) => plainValue(table, run, reference)));
        const parts = answers.slice(at * batches.length, (at + 1) * batches.length);
        const values = parts.flatMap(({ data }, i): (Json | undefined)[] => data ?? (batches[i] ?? []).map(() => undefined));
        return quantityOf(reference, label, values, parts.some(({ isPending }) => isPending));
      }),
    // `key` stands for `references` and what follows from them.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [key, answers, runs, table, labels],
  );
}

function plainValue(table: RunTable, run: RunRow, reference: string): Json | undefined {
  if (reference === "duration") {
    const end = run.endedAt ? Date.parse(run.endedAt) / 1000 : table.now;
    const seconds = end - Date.parse(run.createdAt) / 1000;
    return Number.isFinite(seconds) ? seconds : undefined;
  }
  const read = readReference(reference);
  return read?.of === "param" ? table.param(run, read.name) : undefined;
}
