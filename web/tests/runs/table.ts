// A small table of runs for tests.
import type { Json, TableAnswer } from "../../src/api/types";
import { tableOf } from "../../src/model/table";

/** One run a row of parameters; names r0, r1, … newest first. */
export function tableWith(params: Record<string, Json>[], more: Partial<TableAnswer["runs"]> = {}, series: TableAnswer["series"] = []) {
  const all = params.map((_, i) => i);
  const names = [...new Set(params.flatMap(Object.keys))];
  const each = <T>(value: (i: number) => T): T[] => all.map(value);
  return tableOf({
    now: 1_000_000,
    runs: {
      id: each((i) => `id${i}`), name: each((i) => `r${i}`), kind: each(() => "experiment"), status: each(() => "COMPLETED" as const),
      created_at: each((i) => `2026-01-0${(i % 9) + 1}T00:00:00Z`), updated_at: each(() => "2026-01-10T00:00:00Z"),
      ended_at: each(() => null), tags: each(() => []), notes: each(() => null), archived: each(() => false),
      write_protected: each(() => false), attempts: each(() => 1), ordinal: each((i) => i), ...more,
    },
    params: Object.fromEntries(
      names.map((name) => {
        const rows = all.filter((i) => Object.hasOwn(params[i] ?? {}, name));
        return [name, { rows, values: rows.map((i) => params[i]?.[name] ?? null) }];
      }),
    ),
    series,
    columns: {},
  });
}
