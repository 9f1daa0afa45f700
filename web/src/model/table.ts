// A project's runs as rows, made from the table's columns. Pure.
import type { Json, SeriesName, Status, TableAnswer } from "../api/types";

export interface RunRow {
  id: string;
  name: string;
  kind: string;
  status: Status;
  createdAt: string;
  updatedAt: string;
  endedAt: string | null;
  tags: string[];
  notes: string;
  archived: boolean;
  writeProtected: boolean;
  attempts: number;
  /** Its place by creation in the project, from 0: what its colour is chosen by. */
  ordinal: number;
  /** Its position in the answer, by which columns are looked up. */
  at: number;
}

export interface RunTable {
  runs: RunRow[];
  byId: Map<string, RunRow>;
  params: string[];
  series: SeriesName[];
  now: number;
  /** The value of a parameter; undefined where the run has none. */
  param(run: RunRow, name: string): Json | undefined;
  /** The value of a column that was asked for. */
  value(run: RunRow, reference: string): Json | undefined;
}

type Lookup = (at: number) => Json | undefined;

function lookup(rows: number[] | undefined, values: Json[]): Lookup {
  if (!rows) return (at) => values[at];
  const known = new Map<number, Json>();
  rows.forEach((row, i) => known.set(row, values[i] as Json));
  return (at) => known.get(at);
}

/** Number that the server sent, in the spelling of numbers that are not finite; undefined where it is none. */
export function numberOf(value: Json | undefined): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (value === "NaN") return NaN;
  if (value === "Infinity") return Infinity;
  return value === "-Infinity" ? -Infinity : undefined;
}

/** `places` are the runs' places by creation, where they are other than those that are told. */
export function tableOf(answer: TableAnswer, places: readonly number[] = answer.runs.ordinal): RunTable {
  const { runs: told } = answer;
  const runs = told.id.map(
    (id, at): RunRow => ({
      id,
      at,
      name: told.name[at] ?? "",
      kind: told.kind[at] ?? "experiment",
      status: told.status[at] ?? "COMPLETED",
      createdAt: told.created_at[at] ?? "",
      updatedAt: told.updated_at[at] ?? "",
      endedAt: told.ended_at[at] ?? null,
      tags: told.tags[at] ?? [],
      notes: told.notes[at] ?? "",
      archived: told.archived[at] ?? false,
      writeProtected: told.write_protected[at] ?? false,
      attempts: told.attempts[at] ?? 0,
      ordinal: places[at] ?? at,
    }),
  );
  const lookups = new Map<string, Lookup>();
  const found = (kind: "params" | "columns", name: string): Lookup => {
    const key = `${kind} ${name}`;
    const column = Object.hasOwn(answer[kind], name) ? answer[kind][name] : undefined;
    const known = lookups.get(key) ?? (column ? lookup(column.rows ?? undefined, column.values) : () => undefined);
    lookups.set(key, known);
    return known;
  };
  return {
    runs,
    byId: new Map(runs.map((run) => [run.id, run])),
    params: Object.keys(answer.params).sort(),
    series: answer.series,
    now: answer.now,
    param: (run, name) => found("params", name)(run.at),
    value: (run, reference) => found("columns", reference)(run.at),
  };
}
