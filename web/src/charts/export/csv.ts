// A chart as rows: a line a bucket that is in sight. What the table shows and the CSV holds. Pure.
import { whole } from "../../model/format";
import { stopOf } from "../data/sample";
import type { Line } from "../draw/line";

export const COLUMNS = [
  "run", "run_id", "first_index", "last_index", "x_from", "x_to", "mean", "min", "max", "index_of_min", "index_of_max", "nan", "inf", "neg_inf", "drawn",
] as const;

export type Row = readonly (string | number)[];

/** Rows of the buckets within [from, to] of x. */
export function* rowsOf(lines: readonly Line[], from: number, to: number): Generator<Row> {
  for (const line of lines) {
    const { sample, places, y } = line;
    for (let i = 0; i < y.length; i += 1) {
      const left = places.from[i] as number;
      const right = places.to[i] as number;
      if (!(right >= from && left <= to)) continue;
      if (!sample) {
        yield [line.name, "", "", "", left, right, y[i] as number, line.low?.[i] ?? NaN, line.high?.[i] ?? NaN, "", "", "", "", "", y[i] as number];
        continue;
      }
      const first = sample.starts[i] as number;
      const one = stopOf(sample, i) - first === 1;
      yield [
        line.name, line.id, first, stopOf(sample, i) - 1, left, right, sample.mean[i] as number, sample.min[i] as number, sample.max[i] as number,
        sample.argmin?.[i] ?? (one ? first : ""), sample.argmax?.[i] ?? (one ? first : ""),
        sample.nan?.[i] ?? 0, sample.posinf?.[i] ?? 0, sample.neginf?.[i] ?? 0, y[i] as number,
      ];
    }
  }
}

/** A cell. What a spreadsheet would take for a formula is told to be text. */
function cell(value: string | number): string {
  if (typeof value === "number") return Number.isNaN(value) ? "" : whole(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** `wall`: x is wall time, in ms, which its columns then say. */
export function csvOf(rows: Iterable<Row>, wall = false): string {
  const lines = [COLUMNS.map((name) => (wall && name.startsWith("x_") ? `${name}_ms` : name)).join(",")];
  for (const row of rows) lines.push(row.map(cell).join(","));
  return `${lines.join("\r\n")}\r\n`;
}
