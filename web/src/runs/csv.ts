// The table as a file: CSV for spreadsheets, JSON for programs. Pure.
import type { Json } from "../api/types";
import { jsonText } from "../model/json";
import { numberOf } from "../model/table";

export interface Sheet {
  columns: string[];
  rows: (Json | undefined)[][];
}

/** A spreadsheet runs text that begins like this as a formula, so that it gets an apostrophe before it; JSON keeps it as it is. */
const FORMULA = /^[=+\-@\t\r]/;

export function cellText(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return numberOf(value) === undefined && FORMULA.test(value) ? `'${value}` : value;
  return typeof value === "boolean" ? String(value) : jsonText(value);
}

const field = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);

export function csvOf(sheet: Sheet): string {
  const lines = [sheet.columns.map(cellText), ...sheet.rows.map((row) => row.map(cellText))];
  return lines.map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
}

/** A list of objects; what a run lacks is left out. */
export function jsonOf(sheet: Sheet): string {
  const rows = sheet.rows.map((row) =>
    Object.fromEntries(sheet.columns.flatMap((name, i) => (row[i] === undefined ? [] : [[name, row[i]]]))),
  );
  return jsonText(rows, 1) + "\n";
}

export function offerFile(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
