// What charts are given of a project: the same objects as long as nothing that they draw has changed, however often the table comes anew.
import { useMemo, useRef } from "react";
import type { ChartGridProps } from "../charts/ChartGrid";
import type { RunRow } from "../model/table";
import type { ProjectModel } from "./useProject";

/** The one before, where it is equal. */
function useKept<T>(next: T, equal: (a: T, b: T) => boolean): T {
  const kept = useRef(next);
  if (kept.current !== next && !equal(kept.current, next)) kept.current = next;
  return kept.current;
}

/** By what charts know of a run; its tags or the time of its last change are not of it. */
const sameRun = (a: RunRow, b: RunRow | undefined): boolean =>
  a.id === b?.id && a.name === b.name && a.createdAt === b.createdAt && a.ordinal === b.ordinal && a.attempts === b.attempts;

const sameRuns = (a: readonly RunRow[], b: readonly RunRow[]): boolean => a.length === b.length && a.every((run, i) => sameRun(run, b[i]));
const sameText = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export function useChartInput({ drawn, series, groupOf, baseline }: ProjectModel): ChartGridProps {
  const runs = useKept<readonly RunRow[]>(drawn, sameRuns);
  const names = useKept<readonly string[] | null>(groupOf && drawn.map(groupOf), sameText);
  const groups = useMemo(() => {
    if (!names) return null;
    const known = new Map(runs.map((run, i) => [run.id, names[i] ?? ""]));
    return (run: RunRow) => known.get(run.id) ?? "";
  }, [runs, names]);
  return { runs, series: useKept(series, sameText), groupOf: groups, baseline: baseline?.id ?? null };
}
