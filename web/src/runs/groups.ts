// Runs in groups by a column's value, as lines of a list: a heading, then its runs where it is open. Pure.
import type { Json } from "../api/types";
import { jsonText } from "../model/json";
import { numberOf } from "../model/table";
import type { RunRow } from "../model/table";
import { compareValues } from "./order";

export interface RunGroup {
  /** What its runs have in common, as text: also what it is called. */
  name: string;
  runs: RunRow[];
}

export type Line = { group: RunGroup; open: boolean } | { run: RunRow };

export const NO_VALUE = "(none)";

export function groupName(value: Json | undefined): string {
  if (value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0)) return NO_VALUE;
  if (Array.isArray(value)) return value.map((one) => (typeof one === "string" ? one : jsonText(one))).join(", ");
  return typeof value === "string" ? value : jsonText(value);
}

/** Groups in the order of their values, nothing last; runs in theirs as they come. */
export function groupsOf(runs: readonly RunRow[], value: (run: RunRow) => Json | undefined): RunGroup[] {
  const found = new Map<string, { value: Json | undefined; group: RunGroup }>();
  for (const run of runs) {
    const own = value(run);
    const name = groupName(own);
    const known = found.get(name);
    if (known) known.group.runs.push(run);
    else found.set(name, { value: name === NO_VALUE ? undefined : Array.isArray(own) ? name : own, group: { name, runs: [run] } });
  }
  return [...found.values()].sort((a, b) => compareValues(a.value, b.value)).map(({ group }) => group);
}

export function linesOf(groups: readonly RunGroup[], closed: ReadonlySet<string>): Line[] {
  const lines: Line[] = [];
  for (const group of groups) {
    const open = !closed.has(group.name);
    lines.push({ group, open });
    if (open) for (const run of group.runs) lines.push({ run });
  }
  return lines;
}

/** The mean of the finite numbers among some values; undefined where there is none. */
export function mean(values: Iterable<Json | undefined>): number | undefined {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    const number = numberOf(value);
    if (number === undefined || !Number.isFinite(number)) continue;
    sum += number;
    count += 1;
  }
  return count ? sum / count : undefined;
}
