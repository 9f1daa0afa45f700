// What runs are compared by: a parameter, a result, a duration. A value a run, and the axis that these make. Pure.
import type { Json } from "../api/types";
import { count, duration, short } from "../model/format";
import { jsonText } from "../model/json";
import { natural } from "../model/natural";
import { numberOf } from "../model/table";
import { padded, px, scaleOf, type Scale } from "../charts/draw/scale";
import { numberLabel, ticksOf, type Tick } from "../charts/draw/ticks";

export interface Quantity {
  reference: string;
  label: string;
  /** A value a run, in the order of the runs; undefined where a run has none. */
  values: readonly (Json | undefined)[];
  /** Every value that there is is a number. */
  numeric: boolean;
  /** How many runs have one. */
  known: number;
  /** Distinct values, as texts, in the order of the axis; empty for numbers. */
  categories: readonly string[];
  /** Where each of them stands there. */
  places: ReadonlyMap<string, number>;
  /** Its values have not come yet. */
  waiting: boolean;
}

/** More categories than this stand without a label each. */
const MOST_LABELS = 24;

export const textOf = (value: Json | undefined): string => (value === undefined ? "" : typeof value === "string" ? value : jsonText(value));

export function quantityOf(reference: string, label: string, told: readonly (Json | undefined)[], waiting = false): Quantity {
  const values = told.map((value) => (value === null ? undefined : value));
  const there = values.filter((value) => value !== undefined);
  const numeric = there.length > 0 && there.every((value) => numberOf(value) !== undefined);
  const categories = numeric ? [] : [...new Set(there.map(textOf))].sort(natural);
  const places = new Map(categories.map((text, at) => [text, at]));
  return { reference, label, values, numeric, known: there.length, categories, places, waiting };
}

/** Whether runs differ in it. */
export function varies({ values }: Quantity): boolean {
  const [first, ...others] = values.map(textOf);
  return others.some((other) => other !== first);
}

export interface Axis {
  quantity: Quantity;
  log: boolean;
  min: number;
  max: number;
}

/** The place of a run's value on an axis, in the axis' units; NaN where it has none there. */
export function placeOf(axis: Axis, run: number): number {
  const value = axis.quantity.values[run];
  if (value === undefined) return NaN;
  if (!axis.quantity.numeric) return axis.quantity.places.get(textOf(value)) ?? -1;
  const number = numberOf(value) ?? NaN;
  return Number.isFinite(number) && (!axis.log || number > 0) ? number : NaN;
}

/** Values that span less are read as well one way as the other. */
const WIDE = 10;

/** Whether an axis is logarithmic: where that puts the middle value nearer to the middle, unless its reader has `turned` it. */
export function isLog(quantity: Quantity, turned: boolean): boolean {
  if (!quantity.numeric) return false;
  const numbers = (quantity.values.map(numberOf).filter((value) => value !== undefined && Number.isFinite(value)) as number[]).sort((a, b) => a - b);
  const [min = 0, max = 0] = [numbers[0], numbers.at(-1)];
  const middle = numbers[numbers.length >> 1] ?? 0;
  if (!(min > 0) || max / min < WIDE) return turned;
  const off = (share: number) => Math.abs(share - 0.5);
  return off(Math.log(middle / min) / Math.log(max / min)) < off((middle - min) / (max - min)) !== turned;
}

export function axisOf(quantity: Quantity, log: boolean): Axis {
  if (!quantity.numeric) return { quantity, log: false, min: -0.5, max: Math.max(0.5, quantity.categories.length - 0.5) };
  const numbers = quantity.values.map(numberOf).filter((value) => value !== undefined && Number.isFinite(value) && (!log || value > 0)) as number[];
  const [min, max] = padded(numbers.reduce((a, b) => Math.min(a, b), Infinity), numbers.reduce((a, b) => Math.max(a, b), -Infinity), log, 0.03);
  return { quantity, log, min, max };
}

export const axisScale = (axis: Axis, from: number, to: number): Scale => scaleOf(axis.log, axis.min, axis.max, from, to);

/** Few enough to have a tick each. */
const FEW = 8;
/** px between two ticks at least. */
const APART = 13;

function ownTicks({ quantity, log }: Axis, scale: Scale): Tick[] | null {
  const there = quantity.values.map(numberOf).filter((value) => value !== undefined && Number.isFinite(value) && (!log || value > 0)) as number[];
  const distinct = [...new Set(there)].sort((a, b) => a - b);
  if (distinct.length > FEW || distinct.length === 0) return null;
  const places = distinct.map((at) => px(scale, at));
  const apart = places.every((place, i) => i === 0 || Math.abs(place - (places[i - 1] as number)) >= APART);
  return apart ? distinct.map((at) => ({ at, label: short(at) })) : null;
}

export function axisTicks(axis: Axis, scale: Scale, most: number): Tick[] {
  const { categories, numeric } = axis.quantity;
  if (numeric) return ownTicks(axis, scale) ?? ticksOf(scale, most, "number");
  const every = Math.ceil(categories.length / Math.min(MOST_LABELS, Math.max(2, most * 2)));
  return categories.flatMap((label, at) => (at % every ? [] : [{ at, label: label.length > 18 ? `${label.slice(0, 17)}…` : label }]));
}

/** 0 … 1 along the axis: for colours; NaN where there is no value. */
export function shareOf(axis: Axis, run: number): number {
  return px(scaleOf(axis.log, axis.min, axis.max, 0, 1), placeOf(axis, run));
}

export function valueText(quantity: Quantity, run: number): string {
  const value = quantity.values[run];
  if (value === undefined) return "–";
  const number = quantity.numeric ? numberOf(value) : undefined;
  if (number === undefined) return textOf(value);
  return quantity.reference === "duration" ? duration(number) : short(number, 5);
}

export const endText = (axis: Axis, value: number): string =>
  axis.quantity.numeric ? numberLabel(Number(value.toPrecision(4))) : (axis.quantity.categories[Math.round(value)] ?? "");

export const knownText = (quantity: Quantity, runs: number): string => (quantity.known < runs ? `${count(runs - quantity.known)} of ${count(runs)} runs have no ${quantity.label}` : "");
