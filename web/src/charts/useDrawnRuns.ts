// The runs as charts draw them: their colours on this page, their groups, where they began again.
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { api } from "../api/client";
import type { Run } from "../api/types";
import { colorOf, useColors } from "../model/colors";
import type { RunRow } from "../model/table";
import { useTheme } from "../state/theme";
import type { DrawnRun } from "./drawn";

/** Restarts are asked for, a run a request, of no more runs than this: among more, marks tell nothing. */
const MOST_RESTARTED = 30;
const LASTING = 5 * 60_000;

type Lengths = Readonly<Record<string, number>>;
const NONE: readonly Lengths[] = [];

const restartsOf = (run: Run): Lengths[] => run.attempts.slice(1).map((attempt) => attempt.first ?? {});

export function useDrawnRuns(runs: readonly RunRow[], groupOf: ((run: RunRow) => string) | null, baseline: string | null): readonly DrawnRun[] {
  const theme = useTheme();
  const colors = useColors();
  const restarted = useMemo(() => runs.filter((run) => run.attempts > 1).slice(0, MOST_RESTARTED), [runs]);
  const restarts = useQueries({
    queries: restarted.map((run) => ({
      queryKey: ["restarts", run.id, run.attempts],
      queryFn: async ({ signal }: { signal: AbortSignal }) => restartsOf(await api.run(run.id, signal)),
      staleTime: LASTING,
    })),
    combine: (answers) => answers.map(({ data }) => data),
  });
  return useMemo(() => {
    const marks = new Map(restarted.map((run, i) => [run.id, restarts[i] ?? NONE]));
    return runs.map((run) => {
      const { dash, [theme]: color } = colorOf(run);
      return {
        id: run.id,
        name: run.name,
        color,
        dash,
        origin: Date.parse(run.createdAt),
        group: groupOf ? groupOf(run) : null,
        restarts: marks.get(run.id) ?? NONE,
        strong: run.id === baseline,
      };
    });
    // `colors` stands for what `colorOf` reads.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [runs, theme, colors, groupOf, baseline, restarted, restarts]);
}
