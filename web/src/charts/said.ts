// What a place on a chart is called in words: for the tooltip, the table and the screen reader. Pure.
import { count, grouped, moment, short } from "../model/format";
import type { XAxis } from "../state/view";
import { stopOf } from "./data/sample";
import type { TickKind } from "./draw/ticks";
import type { Line } from "./draw/line";

export function tickKind(x: XAxis, lines: readonly Line[]): TickKind {
  if (x.by === "time") return "time";
  if (x.by === "relative") return "seconds";
  return x.by === "index" || lines.every(counts) ? "whole" : "number";
}

/** Whether x is a number that counts, as far as some of it tells. */
function counts({ places: { from, to } }: Line): boolean {
  return [from[0], from[from.length >> 1], to.at(-1)].every((value) => value === undefined || Number.isInteger(value));
}

export function axisName(x: XAxis): string {
  if (x.by === "field") return x.field;
  return x.by === "index" ? "index" : x.by === "time" ? "time" : "time since the start";
}

const whole = (value: number): string => (Number.isInteger(value) ? grouped(value) : short(value, 6));

export function span(seconds: number): string {
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (size < 60) return `${sign}${short(size, 4)} s`;
  const parts: string[] = [];
  let rest = Math.round(size);
  for (const [unit, letter] of [[86_400, "d"], [3600, "h"], [60, "m"], [1, "s"]] as const) {
    if (rest >= unit && parts.length < 2) parts.push(`${Math.floor(rest / unit)} ${letter}`);
    rest %= unit;
  }
  return sign + parts.join(" ");
}

/** A place on the x axis. */
export function placeText(x: XAxis, value: number): string {
  if (x.by === "time") return moment(value);
  if (x.by === "relative") return span(value);
  return whole(x.by === "index" ? Math.round(value) : value);
}

/** What a bucket covers: "index 12,300–12,399", "step 5". */
export function bucketText(x: XAxis, line: Line, at: number): string {
  const from = line.places.from[at] as number;
  const to = line.places.to[at] as number;
  const name = x.by === "index" || x.by === "field" ? `${axisName(x)} ` : "";
  const first = placeText(x, from);
  const last = placeText(x, to);
  return name + (first === last ? first : `${first} – ${x.by === "time" ? last.slice(11) : last}`);
}

/** The indices of a bucket where x is something else: "index 512". */
export function indexText(line: Line, at: number): string {
  if (!line.sample) return "";
  const first = line.sample.starts[at] as number;
  const last = stopOf(line.sample, at) - 1;
  return first === last ? `index ${whole(first)}` : `index ${whole(first)} – ${whole(last)}`;
}

/** What there is to say of one bucket beside its value. */
export function detailOf(line: Line, at: number): string[] {
  const { sample } = line;
  if (!sample) {
    const spread = ((line.high?.[at] ?? NaN) - (line.low?.[at] ?? NaN)) / 2;
    return [`mean of ${line.members} runs, ± ${short(spread)}`];
  }
  const said: string[] = [];
  if (line.raw) said.push(`not smoothed ${short(line.raw[at] as number, 5)}`);
  const one = stopOf(sample, at) - (sample.starts[at] as number) === 1;
  if (!one && Number.isFinite(sample.min[at])) {
    const where = (index: number | undefined) => (index === undefined ? "" : ` at index ${whole(index)}`);
    said.push(`max ${short(sample.max[at] as number, 5)}${where(sample.argmax?.[at])}`);
    said.push(`min ${short(sample.min[at] as number, 5)}${where(sample.argmin?.[at])}`);
  }
  for (const [counts, name] of [[sample.nan, "NaN"], [sample.posinf, "∞"], [sample.neginf, "−∞"]] as const) {
    const found = counts?.[at] ?? 0;
    if (found > 0) said.push(one ? name : `${count(found)} × ${name}`);
  }
  return said;
}

/** The value of a line at a bucket; what is not finite by its name. */
export function valueText(line: Line, at: number): string {
  const value = line.y[at] as number;
  if (Number.isFinite(value)) return short(value, 5);
  const { sample } = line;
  if (sample && (sample.nan?.[at] ?? 0) > 0) return "NaN";
  if (sample && (sample.posinf?.[at] ?? 0) > 0) return "∞";
  return sample && (sample.neginf?.[at] ?? 0) > 0 ? "−∞" : "–";
}
