// What can be a column of the table: facts of a run, its parameters, its results. Pure.
import type { Json } from "../api/types";
import { duration } from "../model/format";
import { jsonText } from "../model/json";
import { numberOf, type RunRow, type RunTable } from "../model/table";
import { paramReference, readReference, seriesReference, type Aggregate } from "./references";

export interface TableColumn {
  /** Its reference in the filter language: also its name in the address. */
  id: string;
  label: string;
  /** Which value of a series it is, beside the label: "min". */
  note: string;
  part: "run" | "parameters" | "results";
  /** px, where its reader has set none. */
  width: number;
  numeric: boolean;
  value: (run: RunRow) => Json | undefined;
}

/** Where values come from: the table, what was asked for beside it, and the server's clock (unix s). */
export interface Source {
  table: RunTable;
  summary: (run: RunRow, reference: string) => Json | undefined;
  now: number;
}

const RUN_COLUMNS: Record<string, { label: string; width: number; numeric?: boolean }> = {
  status: { label: "Status", width: 118 },
  created_at: { label: "Created", width: 108 },
  duration: { label: "Duration", width: 100, numeric: true },
  tags: { label: "Tags", width: 150 },
  description: { label: "Notes", width: 200 },
  updated_at: { label: "Updated", width: 108 },
  ended_at: { label: "Ended", width: 108 },
  attempts: { label: "Attempts", width: 112, numeric: true },
  kind: { label: "Kind", width: 100 },
  id: { label: "Id", width: 150 },
};
export const RUN_COLUMN_IDS: readonly string[] = Object.keys(RUN_COLUMNS);
/** The first column: it is always there. */
export const NAME = "name";

/** Seconds from its creation to its end, or to now while it runs; undefined where the end is not known. */
export function durationOf(run: RunRow, now: number): number | undefined {
  const end = run.endedAt ? Date.parse(run.endedAt) : run.status === "RUNNING" ? now * 1000 : Date.parse(run.updatedAt);
  const seconds = (end - Date.parse(run.createdAt)) / 1000;
  return seconds >= 0 ? seconds : undefined;
}

function fact(name: string, source: Source): (run: RunRow) => Json | undefined {
  if (name === NAME) return (run) => run.name;
  if (name === "status") return (run) => run.status;
  if (name === "created_at") return (run) => run.createdAt;
  if (name === "updated_at") return (run) => run.updatedAt;
  if (name === "ended_at") return (run) => run.endedAt;
  if (name === "duration") return (run) => durationOf(run, source.now);
  if (name === "tags") return (run) => (run.tags.length ? run.tags : undefined);
  if (name === "description") return (run) => run.notes || undefined;
  if (name === "attempts") return (run) => run.attempts;
  if (name === "kind") return (run) => run.kind;
  if (name === "archived") return (run) => run.archived;
  return (run) => run.id;
}

const SAMPLE = 60;

function mostlyNumbers(runs: readonly RunRow[], value: (run: RunRow) => Json | undefined): boolean {
  let numbers = 0;
  let others = 0;
  for (const run of runs) {
    const one = value(run);
    if (one === undefined || one === null) continue;
    if (numberOf(one) === undefined) others += 1;
    else numbers += 1;
    if (numbers + others >= SAMPLE) break;
  }
  return numbers > others;
}

/** Width of a heading's text in px, roughly: enough for a column that nobody has resized. */
const widthOf = (label: string, note: string): number => Math.min(220, Math.max(112, 56 + 7.3 * (label.length + (note ? note.length + 3 : 0))));

/** The column that a reference names; null where it names none. */
export function columnOf(id: string, source: Source): TableColumn | null {
  const reference = readReference(id);
  if (!reference) return null;
  if (reference.of === "run") {
    const { label, width, numeric } = RUN_COLUMNS[id] ?? { label: id === NAME ? "Run" : id, width: 120 };
    return { id, label, note: "", part: "run", width, numeric: numeric ?? false, value: fact(id, source) };
  }
  if (reference.of === "param") {
    const value = (run: RunRow) => source.table.param(run, reference.name);
    const numeric = mostlyNumbers(source.table.runs, value);
    return { id, label: reference.name, note: "", part: "parameters", width: widthOf(reference.name, ""), numeric, value };
  }
  const { name, field, aggregate } = reference;
  const label = field && field !== "value" ? `${name} · ${field}` : name;
  const value = (run: RunRow) => source.summary(run, id) ?? source.table.value(run, id);
  return { id, label, note: aggregate ?? "", part: "results", width: widthOf(label, aggregate ?? ""), numeric: true, value };
}

const same = (a: Json | undefined, b: Json | undefined): boolean =>
  a === b || (typeof a === "object" && typeof b === "object" && jsonText(a) === jsonText(b));

/** Parameters in which some of these runs differ; a run that lacks one differs too. */
export function varying(table: RunTable, runs: readonly RunRow[]): Set<string> {
  const [first, ...rest] = runs;
  const names = new Set<string>();
  if (!first) return names;
  for (const name of table.params) {
    const value = table.param(first, name);
    if (rest.some((run) => !same(table.param(run, name), value))) names.add(name);
  }
  return names;
}

const USUAL_PARAMS = 8;
const USUAL_RESULTS = 8;
/** Names by which people judge runs; others come after them. */
const RESULT = /loss|acc|error|reward|return|score|f1|auc|perplexity|bleu/i;
const AXES: ReadonlySet<string> = new Set(["step", "epoch", "time", "timestamp"]);

/** The field that a series is mainly about: "value", else the first that is no axis. */
export const mainField = (fields: readonly string[]): string =>
  fields.includes("value") ? "value" : (fields.find((field) => !AXES.has(field)) ?? fields[0] ?? "");

/** The columns of a table whose reader has chosen none: what differs between the runs first. */
export function usualColumns(table: RunTable): string[] {
  const facts = ["status", "created_at", "duration", ...(table.runs.some((run) => run.tags.length) ? ["tags"] : [])];
  const differing = varying(table, table.runs);
  const params = [...table.params].sort((a, b) => Number(differing.has(b)) - Number(differing.has(a)));
  const results = table.series
    .filter((series) => series.kind === "metrics" && !series.name.startsWith("_system/"))
    .sort((a, b) => Number(RESULT.test(b.name)) - Number(RESULT.test(a.name)) || b.runs - a.runs || a.name.localeCompare(b.name, "en", { numeric: true }));
  return [
    ...facts,
    ...params.slice(0, USUAL_PARAMS).map(paramReference),
    ...results.slice(0, USUAL_RESULTS).map((series) => seriesReference(series.kind, series.name, mainField(series.fields))),
  ];
}

export interface Choice {
  id: string;
  label: string;
  part: TableColumn["part"];
  note: string;
}

const OFFERED: readonly (Aggregate | null)[] = [null, "min", "max"];

/** All columns that a table can have, in the order of the picker. */
export function allColumns(table: RunTable): Choice[] {
  const facts = RUN_COLUMN_IDS.map((id): Choice => ({ id, label: RUN_COLUMNS[id]?.label ?? id, part: "run", note: "" }));
  const params = table.params.map((name): Choice => ({ id: paramReference(name), label: name, part: "parameters", note: "" }));
  const results = table.series
    .filter((series) => series.kind === "metrics" || series.kind === "tracks")
    .flatMap((series) =>
      series.fields.flatMap((field) =>
        OFFERED.map(
          (aggregate): Choice => ({
            id: seriesReference(series.kind, series.name, field, aggregate),
            label: field === "value" ? series.name : `${series.name} · ${field}`,
            part: "results",
            note: aggregate ?? "last",
          }),
        ),
      ),
    );
  return [...facts, ...params, ...results];
}

/** A value of a column as text for people; numbers are formatted by who shows them. */
export function factText(id: string, value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (id === "duration") return typeof value === "number" ? duration(value) : "";
  if (Array.isArray(value)) return value.map((one) => (typeof one === "string" ? one : jsonText(one))).join(", ");
  return typeof value === "object" ? jsonText(value) : String(value);
}
