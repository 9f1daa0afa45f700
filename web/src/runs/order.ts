// The order of rows by a column, as the server's own sort has it: numbers, text, the rest; what is missing and NaN last either way. Pure.
import type { Json } from "../api/types";
import { jsonText } from "../model/json";
import { natural } from "../model/natural";
import { numberOf } from "../model/table";

const NUMBER = 0;
const TEXT = 1;
const REST = 2;
const NOTHING = 3;

interface Key {
  rank: number;
  number: number;
  text: string;
}

function keyOf(value: Json | undefined): Key {
  const number = numberOf(value);
  if (number !== undefined) return { rank: Number.isNaN(number) ? NOTHING : NUMBER, number, text: "" };
  if (value === null || value === undefined || value === "") return { rank: NOTHING, number: 0, text: "" };
  if (typeof value === "string") return { rank: TEXT, number: 0, text: value };
  if (typeof value === "boolean") return { rank: REST, number: Number(value), text: "" };
  return { rank: REST, number: 2, text: jsonText(value) };
}

function compareKeys(a: Key, b: Key): number {
  return a.rank - b.rank || a.number - b.number || (a.text === b.text ? 0 : natural(a.text, b.text));
}

export function compareValues(a: Json | undefined, b: Json | undefined): number {
  return compareKeys(keyOf(a), keyOf(b));
}

/** `rows` in the order of `value`; equal ones stay as they were. */
export function sorted<T>(rows: readonly T[], value: (row: T) => Json | undefined, descending: boolean): T[] {
  const keyed = rows.map((row, at) => ({ row, at, key: keyOf(value(row)) }));
  const sign = descending ? -1 : 1;
  keyed.sort((a, b) => {
    const nothing = Number(a.key.rank === NOTHING) - Number(b.key.rank === NOTHING);
    return nothing || sign * compareKeys(a.key, b.key) || a.at - b.at;
  });
  return keyed.map(({ row }) => row);
}
