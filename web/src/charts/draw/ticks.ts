// Where an axis has its lines and what stands beside them. Pure.
import { grouped } from "../../model/format";
import type { Scale } from "./scale";

export interface Tick {
  at: number;
  label: string;
}

export type TickKind = "number" | "whole" | "seconds" | "time";

const STEPS = [1, 2, 2.5, 5, 10];
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

/** The least of 1, 2, 2.5, 5 times a power of ten that is no less; only whole ones for what is counted. */
function niceStep(least: number, wholeOnly: boolean): number {
  const power = 10 ** Math.floor(Math.log10(least));
  for (const step of STEPS) {
    const made = step * power;
    if (made >= least * (1 - 1e-9) && (!wholeOnly || Number.isInteger(made))) return made;
  }
  return wholeOnly ? 1 : 10 * power;
}

/** Multiples of `step` within [min, max], without the noise of adding. */
function multiples(step: number, min: number, max: number): number[] {
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  const made = [];
  for (let k = first; k <= last && made.length < 100; k += 1) made.push(Number((k * step).toPrecision(14)));
  return made;
}

/** At most about `most` ticks. */
export function ticksOf(scale: Scale, most: number, kind: TickKind): Tick[] {
  const { min, max } = scale;
  if (!(max > min) || !Number.isFinite(max - min)) return [{ at: min, label: numberLabels([min])[0] ?? "" }];
  if (kind === "time" && !scale.log) return timeTicks(min, max, most);
  if (kind === "seconds" && !scale.log) return secondTicks(min, max, most);
  if (scale.log && max / min >= 5) return logTicks(min, max, most);
  const at = multiples(niceStep((max - min) / most, kind === "whole"), min, max);
  const labels = numberLabels(at);
  return at.map((value, i) => ({ at: value, label: labels[i] ?? "" }));
}

function logTicks(min: number, max: number, most: number): Tick[] {
  const low = Math.floor(Math.log10(min));
  const high = Math.ceil(Math.log10(max));
  const decades = Math.log10(max / min);
  const within = (value: number) => value >= min * (1 - 1e-9) && value <= max * (1 + 1e-9);
  const every = Math.max(1, Math.ceil((high - low) / most));
  const parts = decades <= most / 4 ? [1, 2, 3, 5, 7] : decades <= most / 2 ? [1, 2, 5] : decades <= most / 1.5 ? [1, 3] : [1];
  const made: Tick[] = [];
  for (let power = low; power <= high; power += 1) {
    if ((power - low) % every) continue;
    for (const part of parts) {
      const value = Number(`${part}e${power}`);
      if (within(value)) made.push({ at: value, label: numberLabel(value) });
    }
  }
  return made;
}

/** A number by itself: 0.001, 25, 2.5k, 1M, 1e−6. */
export function numberLabel(value: number): string {
  return numberLabels([value])[0] ?? "";
}

const UNITS: readonly (readonly [number, string])[] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** Numbers as neighbours on an axis: as many decimals as tell them apart. */
export function numberLabels(values: readonly number[]): string[] {
  const size = Math.max(...values.map(Math.abs));
  const text = (value: number, digits: number) => value.toFixed(Math.min(digits, 20)).replace("-", "−");
  if (size !== 0 && (size < 1e-3 || size >= 1e12)) return values.map(powerLabel);
  const [unit, letter] = (size >= 10_000 ? UNITS.find(([least]) => size >= least) : undefined) ?? [1, ""];
  const digits = decimals(values, unit, size);
  // Far into a long series a unit only makes numbers harder to read.
  if (unit > 1 && digits > 2) return values.map((value) => grouped(value, decimals(values, 1, size)));
  return values.map((value) => (value === 0 ? "0" : text(value / unit, digits) + letter));
}

/** Decimals that tell values apart, counted in a unit. */
function decimals(values: readonly number[], unit: number, size: number): number {
  let digits = 0;
  while (digits < 12 && values.some((value) => Math.abs(Number((value / unit).toFixed(digits)) - value / unit) > 1e-9 * (size / unit))) digits += 1;
  return digits;
}

function powerLabel(value: number): string {
  if (value === 0) return "0";
  const [mantissa, power] = value.toExponential(6).split("e") as [string, string];
  return `${Number(mantissa)}e${power.replace("+", "")}`.replaceAll("-", "−");
}

function secondTicks(min: number, max: number, most: number): Tick[] {
  const least = (max - min) / most;
  const day = 86_400;
  const step = least < 1 ? niceStep(least, false) : (SECONDS.find((one) => one >= least) ?? niceStep(least / day, true) * day);
  return multiples(step, min, max).map((at) => ({ at, label: secondsLabel(at, step) }));
}

function secondsLabel(at: number, step: number): string {
  const size = Math.abs(at);
  const sign = at < 0 ? "−" : "";
  if (size === 0) return "0";
  if (step < 1 || size < 60) return `${sign}${Number(size.toPrecision(6))} s`;
  const two = (value: number, unit: number, large: string, small: string) => {
    const rest = Math.round((value % unit) / (unit === 86_400 ? 3600 : unit === 3600 ? 60 : 1));
    return `${sign}${Math.floor(value / unit)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
  };
  if (size < 3600) return two(size, 60, "m", "s");
  if (size < 86_400) return two(size, 3600, "h", "m");
  return two(size, 86_400, "d", "h");
}

/** Ticks in the reader's zone: at whole seconds, hours, days, months as a calendar has them. */
function timeTicks(min: number, max: number, most: number): Tick[] {
  const least = (max - min) / most;
  const at = least < SECOND ? multiples(Math.max(1, niceStep(least, true)), min, max) : calendar(min, max, least);
  const step = (at[1] ?? max) - (at[0] ?? min);
  let day = "";
  return at.map((value) => {
    const date = new Date(value);
    const today = dayLabel(date, step > 200 * DAY);
    const label = step >= 20 * HOUR ? today : today === day ? clockLabel(date, step) : `${clockLabel(date, step)}\n${today}`;
    day = today;
    return { at: value, label };
  });
}

function calendar(min: number, max: number, least: number): number[] {
  const made: number[] = [];
  const date = new Date(min);
  if (least <= 12 * HOUR) {
    const step = (SECONDS.find((one) => one * SECOND >= least) ?? 43_200) * SECOND;
    const midnight = new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
    for (let at = midnight + Math.ceil((min - midnight) / step) * step; at <= max; at += step) made.push(at);
    return made;
  }
  const days = [1, 2, 7, 14].find((one) => one * DAY >= least);
  const months = days ? 0 : ([1, 2, 3, 6, 12].find((one) => one * 30 * DAY >= least) ?? Math.ceil(least / (365 * DAY)) * 12);
  let at = months
    ? new Date(date.getFullYear(), Math.floor(date.getMonth() / months) * months, 1)
    : new Date(date.getFullYear(), date.getMonth(), date.getDate());
  while (at.getTime() <= max && made.length < 100) {
    if (at.getTime() >= min) made.push(at.getTime());
    at = new Date(at.getFullYear(), at.getMonth() + months, at.getDate() + (days ?? 0));
  }
  return made;
}

const two = (value: number): string => String(value).padStart(2, "0");

function clockLabel(date: Date, step: number): string {
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (step >= 60 * SECOND) return minutes;
  const seconds = `${minutes}:${two(date.getSeconds())}`;
  return step >= SECOND ? seconds : `${seconds}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function dayLabel(date: Date, years: boolean): string {
  return years ? String(date.getFullYear()) : `${date.getDate()} ${MONTHS[date.getMonth()] ?? ""}`;
}
