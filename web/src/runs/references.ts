// References of the filter language: what a column, a sort or a group is called, read and written. Pure.

export const AGGREGATES = ["min", "max", "mean", "first", "last", "count"] as const;
export type Aggregate = (typeof AGGREGATES)[number];

export type Reference =
  | { of: "run"; name: string }
  | { of: "param"; name: string }
  | { of: "metrics" | "tracks"; name: string; field: string; aggregate: Aggregate | null };

/** What a run has besides parameters and series, as the filter language and the table call it. */
export const RUN_FIELDS = [
  "name", "status", "created_at", "updated_at", "ended_at", "duration", "tags", "description", "attempts", "kind", "archived", "id",
] as const;

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Words that may not follow a dot, because the language is a piece of Python's. */
const KEYWORDS: ReadonlySet<string> = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally for from global if import in is " +
    "lambda nonlocal not or pass raise return try while with yield").split(" "),
);

const plain = (part: string): boolean => IDENTIFIER.test(part) && !KEYWORDS.has(part);

/** A text as the language quotes it. */
export const quoted = (text: string): string => JSON.stringify(text);

/** `.name`, or `["name"]` where that cannot be. */
export const step = (part: string): string => (plain(part) ? `.${part}` : `[${quoted(part)}]`);

export function paramReference(name: string): string {
  return `params${name.split(".").every(plain) ? `.${name}` : `[${quoted(name)}]`}`;
}

export function seriesReference(kind: string, name: string, field: string, aggregate: Aggregate | null = null): string {
  const fields = field.split(".").every(plain) ? `.${field}` : `[${quoted(field)}]`;
  return `${kind}${step(name)}${field && fields}${aggregate ? `.${aggregate}` : ""}`;
}

export function writeReference(reference: Reference): string {
  if (reference.of === "run") return reference.name;
  if (reference.of === "param") return paramReference(reference.name);
  return seriesReference(reference.of, reference.name, reference.field, reference.aggregate);
}

const PART = /^(?:\.([A-Za-z_][A-Za-z0-9_]*)|\[("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\])/;

function unquoted(text: string): string | null {
  try {
    return JSON.parse(text.startsWith("'") ? `"${text.slice(1, -1).replace(/\\'/g, "'").replace(/"/g, '\\"')}"` : text) as string;
  } catch {
    return null;
  }
}

/** The root and the parts after it; null where `text` is no reference. */
export function partsOf(text: string): { root: string; parts: string[] } | null {
  const root = /^[A-Za-z_][A-Za-z0-9_]*/.exec(text)?.[0];
  if (!root) return null;
  const parts: string[] = [];
  let rest = text.slice(root.length);
  while (rest) {
    const found = PART.exec(rest);
    if (!found) return null;
    const part = found[1] ?? unquoted(found[2] ?? "");
    if (part === null) return null;
    parts.push(part);
    rest = rest.slice(found[0].length);
  }
  return { root, parts };
}

const isAggregate = (text: string | undefined): text is Aggregate => (AGGREGATES as readonly (string | undefined)[]).includes(text);

export function readReference(text: string): Reference | null {
  const read = partsOf(text);
  if (!read) return null;
  const { root, parts } = read;
  if (root === "params") return parts.length ? { of: "param", name: parts.join(".") } : null;
  if (root !== "metrics" && root !== "tracks") {
    return parts.length === 0 && (RUN_FIELDS as readonly string[]).includes(root) ? { of: "run", name: root } : null;
  }
  const [name, ...fields] = parts;
  if (name === undefined) return null;
  const last = fields.at(-1);
  const aggregate = fields.length > 1 && isAggregate(last) ? last : null;
  return { of: root, name, field: (aggregate ? fields.slice(0, -1) : fields).join("."), aggregate };
}

/** What a series' column is computed from: a last value comes with the table, an aggregate by /summaries. */
export function needs(text: string): "table" | "summary" | null {
  const read = readReference(text);
  if (!read || read.of === "run" || read.of === "param") return null;
  return read.aggregate ? "summary" : "table";
}
