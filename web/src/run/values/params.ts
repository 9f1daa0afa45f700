// Parameters as people copy and compare them. Pure. The store keeps them flat, with dots in their names.
import type { Json } from "../../api/types";
import { jsonText } from "../../model/json";
import { isGroup } from "./valueRows";

export type Params = Readonly<Record<string, Json>>;
type Mapping = { [key: string]: Json };

const put = (into: Mapping, name: string, value: Json): void => {
  // "__proto__" is a name like any other.
  Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true });
};

/** {"a.b": 1} → {a: {b: 1}}. Where `a` is a value beside `a.b`, the dotted name stays as it is. */
export function nested(flat: Params): Mapping {
  const made: Mapping = {};
  const names = Object.keys(flat).sort((a, b) => a.split(".").length - b.split(".").length);
  const groups = new WeakSet<object>([made]);
  for (const name of names) {
    const steps = name.split(".");
    const last = steps.pop() ?? "";
    let place: Mapping | null = made;
    for (const step of steps) {
      if (!Object.hasOwn(place, step)) {
        const group: Mapping = {};
        groups.add(group);
        put(place, step, group);
      }
      const next: Json | undefined = place[step];
      place = next && typeof next === "object" && !Array.isArray(next) && groups.has(next) ? next : null;
      if (!place) break;
    }
    if (place && !Object.hasOwn(place, last)) put(place, last, flat[name] as Json);
    else put(made, name, flat[name] as Json);
  }
  return made;
}

export type Difference = "same" | "changed" | "added" | "missing";

export interface ParamRow {
  name: string;
  /** Undefined where only the baseline has it. */
  value: Json | undefined;
  base: Json | undefined;
  difference: Difference;
}

/** By name. With a baseline, those too that only it has. */
export function compared(params: Params, base: Params | null): ParamRow[] {
  const names = new Set([...Object.keys(params), ...Object.keys(base ?? {})]);
  const of = (all: Params | null, name: string) => (all && Object.hasOwn(all, name) ? all[name] : undefined);
  return [...names].sort(byName).map((name) => {
    const value = of(params, name);
    const other = of(base, name);
    const difference: Difference =
      !base || same(value, other) ? "same" : value === undefined ? "missing" : other === undefined ? "added" : "changed";
    return { name, value, base: other, difference };
  });
}

const byName = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });
const same = (a: Json | undefined, b: Json | undefined): boolean => (a === undefined) === (b === undefined) && jsonText(a) === jsonText(b);

export const asJson = (value: Json): string => jsonText(value, 2);

/** A Python literal. The server's spelling of numbers that are not finite stays a text, as it may be one. */
export function asPython(value: Json, indent = 0): string {
  const inner = " ".repeat(indent + 4);
  const outer = " ".repeat(indent);
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return pythonText(value);
  if (Array.isArray(value)) return `[${value.map((one) => asPython(one, indent)).join(", ")}]`;
  const fields = Object.entries(value).map(([name, one]) => `${inner}${pythonText(name)}: ${asPython(one, indent + 4)},\n`);
  return fields.length ? `{\n${fields.join("")}${outer}}` : "{}";
}

export function pythonText(text: string): string {
  const body = JSON.stringify(text).slice(1, -1);
  const escaped = body.replace(/[\u007f-\u009f\u2028\u2029\ud800-\udfff\ufeff\u202a-\u202e\u2066-\u2069]/g, (c) =>
    /[\ud800-\udfff]/.test(c) ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}

/** YAML that any reader of it takes: plain words where they are safe, JSON's spelling elsewhere. */
export function asYaml(value: Json, indent = 0): string {
  const space = " ".repeat(indent);
  if (!isGroup(value)) return `${space}${yamlScalar(value)}\n`;
  if (Array.isArray(value)) {
    if (value.every((one) => !isGroup(one))) return `${space}[${value.map(yamlScalar).join(", ")}]\n`;
    return value.map((one) => (isGroup(one) ? `${space}-\n${asYaml(one, indent + 2)}` : `${space}- ${yamlScalar(one)}\n`)).join("");
  }
  const fields = Object.entries(value);
  if (!fields.length) return `${space}{}\n`;
  return fields
    .map(([name, one]) => {
      const head = `${space}${yamlScalar(name)}:`;
      const small = !isGroup(one) || Object.keys(one).length === 0 || (Array.isArray(one) && one.every((part) => !isGroup(part)));
      return small ? `${head} ${asYaml(one).trim()}\n` : `${head}\n${asYaml(one, indent + 2)}`;
    })
    .join("");
}

const PLAIN_YAML = /^[A-Za-z_/][\w./ -]*[\w./-]$|^[A-Za-z_]$/;
const YAML_WORDS = /^(y|n|yes|no|on|off|true|false|null|nan|inf|infinity)$/i;

function yamlScalar(value: Json): string {
  if (typeof value !== "string") return jsonText(value);
  return PLAIN_YAML.test(value) && !YAML_WORDS.test(value) ? value : JSON.stringify(value);
}
