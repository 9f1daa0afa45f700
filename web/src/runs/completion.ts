// What may come next in an expression of the filter language, by what stands before the caret. Pure: it proposes, the server decides.
import { AGGREGATES, paramReference, partsOf, quoted, readReference, step } from "./references";

export interface Vocabulary {
  params: readonly string[];
  series: readonly { kind: string; name: string; fields: readonly string[] }[];
  /** Values of a reference that runs have, commonest first, as the language writes them. */
  values: (reference: string) => readonly string[];
}

export interface Proposal {
  /** What is put in the place of [from, to). */
  text: string;
  label: string;
  /** What it is: "parameter", "metric", "field" … */
  kind: string;
}

export interface Completion {
  from: number;
  to: number;
  proposals: Proposal[];
}

const AT_MOST = 50;
const ROOTS: readonly Proposal[] = [
  { text: "params.", label: "params.", kind: "parameters" },
  { text: "metrics.", label: "metrics.", kind: "results" },
  { text: "status ", label: "status", kind: "run" },
  { text: "name ", label: "name", kind: "run" },
  { text: "created_at ", label: "created_at", kind: "run" },
  { text: "updated_at ", label: "updated_at", kind: "run" },
  { text: "duration ", label: "duration", kind: "run, in seconds" },
  { text: "ended_at ", label: "ended_at", kind: "run" },
  { text: "attempts ", label: "attempts", kind: "run" },
  { text: "archived ", label: "archived", kind: "run" },
  { text: "description ", label: "description", kind: "run" },
  { text: "not ", label: "not", kind: "word" },
];
const OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "in", "not in"];
/** The reference, whole or begun, that ends at the caret: also an open bracket. */
const OPEN_REFERENCE = /[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*|\["(?:[^"\\]|\\.)*"\]|\['(?:[^'\\]|\\.)*'\])*(?:\.|\[["']?[^"'\]]*)?$/;
/** A reference, a comparison and the beginning of a value. */
const OPEN_VALUE = /(\S+?)\s*(?:==?|!=|<=?|>=?|\bnot\s+in\b|\bin\b)\s*(\[?\s*(?:"[^"]*|'[^']*|[^\s"'()]*))$/;
const CLOSED = /(?:"[^"]*"|'[^']*'|\]|\)|[\w.])\s+$/;

function fitting(proposals: readonly Proposal[], typed: string): Proposal[] {
  const wanted = typed.toLowerCase().replace(/^["'[]+/, "");
  const starts: Proposal[] = [];
  const holds: Proposal[] = [];
  for (const one of proposals) {
    const label = one.label.toLowerCase().replace(/^["'[]+/, "");
    if (label.startsWith(wanted)) starts.push(one);
    else if (wanted && label.includes(wanted)) holds.push(one);
  }
  return [...starts, ...holds].slice(0, AT_MOST);
}

const nothing = (caret: number): Completion => ({ from: caret, to: caret, proposals: [] });

function quoteOpen(text: string): boolean {
  let open = "";
  for (let i = 0; i < text.length; i += 1) {
    const sign = text[i] as string;
    if (open && sign === "\\") i += 1;
    else if (open) open = sign === open ? "" : open;
    else if (sign === '"' || sign === "'") open = sign;
  }
  return open !== "";
}

function inSeries(text: string, from: number, caret: number, kind: string, words: Vocabulary): Completion {
  const cut = /(?:\.|\[["']?)([^."'[\]]*)$/.exec(text);
  const typed = cut?.[1] ?? "";
  const before = text.slice(0, text.length - (cut?.[0].length ?? 0));
  const parts = partsOf(before)?.parts ?? [];
  const at = from + before.length;
  const made = (proposals: readonly Proposal[]): Completion => ({ from: at, to: caret, proposals: fitting(proposals, typed) });
  if (parts.length === 0) {
    return made(words.series.filter((one) => one.kind === kind).map((one) => ({ text: step(one.name), label: one.name, kind: "series" })));
  }
  const series = words.series.find((one) => one.kind === kind && one.name === parts[0]);
  const fields = (series?.fields ?? []).map((field) => ({ text: step(field), label: field, kind: "field" }));
  const aggregates = AGGREGATES.map((one) => ({ text: `.${one} `, label: one, kind: "of all its points" }));
  return made(parts.length === 1 ? fields : aggregates);
}

function reference(text: string, from: number, caret: number, words: Vocabulary): Completion {
  const root = /^[A-Za-z_]\w*/.exec(text)?.[0] ?? "";
  if (root === "params" && text.length > root.length) {
    const typed = text.slice(root.length).replace(/^(\.|\[["']?)/, "");
    const known = words.params.map((name) => ({ text: `${paramReference(name)} `, label: name, kind: "parameter" }));
    return { from, to: caret, proposals: fitting(known, typed) };
  }
  if ((root === "metrics" || root === "tracks") && text.length > root.length) return inSeries(text, from, caret, root, words);
  const beyond = [
    ...words.params.map((name) => ({ text: `${paramReference(name)} `, label: `params.${name}`, kind: "parameter" })),
    ...words.series.map((one) => ({ text: `${one.kind}${step(one.name)}`, label: `${one.kind}.${one.name}`, kind: "series" })),
  ];
  const tags = words.values("tags").map((tag) => ({ text: `${tag} in tags `, label: `${tag} in tags`, kind: "tag" }));
  return { from, to: caret, proposals: fitting(text ? [...ROOTS, ...tags, ...beyond] : [...ROOTS, ...tags.slice(0, 5)], text) };
}

/** Proposals for what is being written at `caret`. */
export function complete(text: string, caret: number, words: Vocabulary): Completion {
  const before = text.slice(0, caret);
  const value = OPEN_VALUE.exec(before);
  const subject = value?.[1]?.replace(/^\(+/, "") ?? "";
  if (value && readReference(subject)) {
    const begun = value[2] ?? "";
    const from = caret - begun.length;
    const listed = /\bin\s*\[?[^[]*$/.test(before) && !/\bin\s*$/.test(subject);
    const bracket = begun.startsWith("[") ? 1 : 0;
    const known = words.values(subject).map((one) => ({ text: `${one}${listed ? "" : " "}`, label: one, kind: "value" }));
    return { from: from + bracket, to: caret, proposals: fitting(known, begun.slice(bracket).trimStart()) };
  }
  if (quoteOpen(before) && !/\[["'][^"'\]]*$/.test(before)) return nothing(caret);
  const open = OPEN_REFERENCE.exec(before)?.[0] ?? "";
  if (!open && CLOSED.test(before)) {
    const last = before.trimEnd().split(/[\s()]+/).at(-1) ?? "";
    if (/^(and|or|not|in)$/.test(last)) return { from: caret, to: caret, proposals: [...ROOTS] };
    const refers = readReference(last) !== null;
    const next = refers ? OPERATORS : ["and", "or"];
    return { from: caret, to: caret, proposals: next.map((one) => ({ text: `${one} `, label: one, kind: refers ? "comparison" : "word" })) };
  }
  if (/[\d"')\]]$/.test(before) && !open) return nothing(caret);
  const begin = caret - open.length;
  const word = before.slice(0, begin).trimEnd().split(/[\s()]+/).at(-1) ?? "";
  if (!open.includes(".") && !open.includes("[") && word && !/^(and|or|not)$/.test(word)) {
    const next = readReference(word) ? OPERATORS : ["and", "or"];
    return { from: begin, to: caret, proposals: fitting(next.map((one) => ({ text: `${one} `, label: one, kind: "word" })), open) };
  }
  return reference(open, begin, caret, words);
}

const BARE = /(?:^|\(|\b(?:and|or|not)\s)\s*[A-Za-z_]\w*(?:\.\w+|\["[^"]*"\]|\['[^']*'\])*\s*$/;

/** Whether a reference stands at the end that is compared with nothing: true of some runs, but mostly not yet what its writer means. */
export const endsBare = (text: string): boolean => BARE.test(text);

/** A value as the language writes it; null for what it cannot compare with. */
export function literal(value: unknown): string | null {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : null;
  if (typeof value === "bigint") return String(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  return null;
}
