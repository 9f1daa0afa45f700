// What the comparison shows, as words of the address.
import { useMemo } from "react";
import { setQuery, usePlace, type Words } from "../state/url";

export type Way = "parallel" | "scatter" | "differences";

export interface Brush {
  reference: string;
  /** In px-independent units: values, or positions of categories. */
  from: number;
  to: number;
}

export interface CompareView {
  way: Way;
  /** References of the axes; "" and empty are the usual ones. */
  x: string;
  y: string;
  /** What colours go by; "" are the runs' own. */
  color: string;
  axes: string[];
  /** References whose axes are logarithmic. */
  logs: string[];
  brushes: Brush[];
  /** Show also parameters that all runs share. */
  every: boolean;
}

function brushOf(text: string): Brush | null {
  const [from, to, ...rest] = text.split("~");
  const brush = { from: Number(from), to: Number(to), reference: rest.join("~") };
  return Number.isFinite(brush.from) && Number.isFinite(brush.to) && brush.reference ? brush : null;
}

export function readCompare(query: URLSearchParams): CompareView {
  const way = query.get("cmp");
  return {
    way: way === "scatter" || way === "differences" ? way : "parallel",
    x: query.get("cx") ?? "",
    y: query.get("cy") ?? "",
    color: query.get("cc") ?? "",
    axes: query.getAll("axis"),
    logs: query.getAll("axislog"),
    brushes: query.getAll("brush").map(brushOf).filter((brush) => brush !== null),
    every: query.get("every") === "1",
  };
}

export function setCompare(view: Partial<CompareView>, options: { replace?: boolean } = {}): void {
  const words: Words = {};
  if (view.way !== undefined) words["cmp"] = view.way === "parallel" ? null : view.way;
  if (view.x !== undefined) words["cx"] = view.x || null;
  if (view.y !== undefined) words["cy"] = view.y || null;
  if (view.color !== undefined) words["cc"] = view.color || null;
  if (view.axes !== undefined) words["axis"] = view.axes;
  if (view.logs !== undefined) words["axislog"] = view.logs;
  if (view.brushes !== undefined) words["brush"] = view.brushes.map(({ from, to, reference }) => `${brief(from)}~${brief(to)}~${reference}`);
  if (view.every !== undefined) words["every"] = view.every ? "1" : null;
  setQuery(words, options);
}

const brief = (value: number): string => String(Number(value.toPrecision(6)));

export function useCompare(): CompareView {
  const { query } = usePlace();
  return useMemo(() => readCompare(query), [query]);
}

export const turned = (list: readonly string[], one: string): string[] => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);
