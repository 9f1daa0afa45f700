// Runs by words that their names, tags, notes, ids or parameters contain. Pure.
import { jsonText } from "../model/json";
import type { RunRow, RunTable } from "../model/table";

const texts = new WeakMap<RunTable, Map<string, string>>();

/** All that is searched of a run, in lower case; made once, when the first search needs it. */
function textOf(table: RunTable, run: RunRow): string {
  const known = texts.get(table) ?? new Map<string, string>();
  texts.set(table, known);
  let text = known.get(run.id);
  if (text === undefined) {
    const params = table.params.flatMap((name) => {
      const value = table.param(run, name);
      return value === undefined ? [] : [`${name}=${typeof value === "string" ? value : jsonText(value)}`];
    });
    text = [run.name, run.id, run.status, ...run.tags, run.notes, ...params].join("\n").toLowerCase();
    known.set(run.id, text);
  }
  return text;
}

/** Runs that hold every word of `search`, wherever. */
export function containing(table: RunTable, runs: readonly RunRow[], search: string): RunRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [...runs];
  return runs.filter((run) => {
    const text = textOf(table, run);
    return words.every((word) => text.includes(word));
  });
}

const COMPARISON = /(^|[\s(])((params|metrics|tracks)(\.|\[)|(status|name|tags|created_at|updated_at|description|folder)\s*(==?|!=|<|>| in ))/;

/** Whether a text that is searched for looks as if its writer meant an expression. */
export const looksLikeExpression = (text: string): boolean => COMPARISON.test(text);
