// JSON as rows of a tree: those that are open, in order. Long lists are cut into groups, so that no level has more rows than one can
// scroll by. Pure.
import type { Json } from "../../api/types";
import { count } from "../../model/format";

export interface ValueRow {
  /** Where it is: steps joined by a character that no step has; what is opened and closed. */
  key: string;
  depth: number;
  name: string;
  /** The position in a list, not the name of a field. */
  item: boolean;
  value: Json;
  /** Null where there is nothing to open. */
  open: boolean | null;
  /** For a group of a list's elements: [first, stop). */
  range: readonly [number, number] | null;
}

export const GROUP = 200;
const STEP = "\u0000";

export const isGroup = (value: Json): value is Json[] | { [key: string]: Json } => typeof value === "object" && value !== null;
const sizeOf = (value: Json): number => (Array.isArray(value) ? value.length : isGroup(value) ? Object.keys(value).length : 0);

type Entry = readonly [name: string, value: Json];

function entriesOf(value: Json, [from, to]: readonly [number, number]): Entry[] {
  if (Array.isArray(value)) return value.slice(from, to).map((one, i) => [String(from + i), one]);
  return isGroup(value) ? Object.entries(value).slice(from, to) : [];
}

/** The rows of what is open. `opened` has keys that are not as they begin: those above depth `usual` begin open. */
export function rowsOf(root: Json, opened: ReadonlySet<string>, usual = 1): ValueRow[] {
  const rows: ValueRow[] = [];
  const walk = (value: Json, key: string, depth: number, range: readonly [number, number]) => {
    const most = range[1] - range[0];
    if (most > GROUP) {
      let width = GROUP;
      while (most / width > GROUP) width *= GROUP;
      for (let from = range[0]; from < range[1]; from += width) {
        const part = [from, Math.min(range[1], from + width)] as const;
        const own = `${key}${STEP}${part[0]}…${part[1]}`;
        const open = opened.has(own);
        rows.push({ key: own, depth, name: `${part[0]} … ${part[1] - 1}`, item: true, value, open, range: part });
        if (open) walk(value, own, depth + 1, part);
      }
      return;
    }
    const list = Array.isArray(value);
    for (const [name, one] of entriesOf(value, range)) {
      const own = key + STEP + name;
      const size = sizeOf(one);
      const open = size === 0 ? null : opened.has(own) !== depth < usual;
      rows.push({ key: own, depth, name, item: list, value: one, open, range: null });
      if (open) walk(one, own, depth + 1, [0, size]);
    }
  };
  if (isGroup(root)) walk(root, "", 0, [0, sizeOf(root)]);
  else rows.push({ key: "", depth: 0, name: "", item: false, value: root, open: null, range: null });
  return rows;
}

/** Only fields whose name or value holds the text, and the way to them. Null where there is none. */
export function pruned(value: Json, search: string): Json | null {
  const wanted = search.toLowerCase();
  const holds = (text: string) => text.toLowerCase().includes(wanted);
  const prune = (one: Json): Json | undefined => {
    if (Array.isArray(one)) {
      const kept = one.map(prune).filter((part) => part !== undefined);
      return kept.length ? kept : undefined;
    }
    if (!isGroup(one)) return holds(oneLine(one)) ? one : undefined;
    const kept = Object.entries(one).flatMap(([name, part]): [string, Json][] => {
      if (holds(name)) return [[name, part]];
      const left = prune(part);
      return left === undefined ? [] : [[name, left]];
    });
    return kept.length ? Object.fromEntries(kept) : undefined;
  };
  return prune(value) ?? null;
}

/** Every key that can be opened, down to `most` of them. */
export function allKeys(root: Json, most = 5000): Set<string> {
  const keys = new Set<string>();
  const walk = (value: Json, key: string) => {
    if (sizeOf(value) > GROUP) return;
    for (const [name, one] of entriesOf(value, [0, GROUP])) {
      if (keys.size >= most) return;
      if (sizeOf(one) === 0) continue;
      keys.add(key + STEP + name);
      walk(one, key + STEP + name);
    }
  };
  walk(root, "");
  return keys;
}

/** A value in a line; of a list or mapping how many it has. */
export function oneLine(value: Json): string {
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[${count(value.length)}]`;
  if (isGroup(value)) return sizeOf(value) === 0 ? "{}" : `{${count(sizeOf(value))}}`;
  return typeof value === "string" ? value : String(value);
}

export type ValueKind = "text" | "number" | "boolean" | "null" | "group";

export function kindOf(value: Json): ValueKind {
  if (value === null) return "null";
  if (typeof value === "object") return "group";
  return typeof value === "string" ? "text" : typeof value === "boolean" ? "boolean" : "number";
}
