// JSON read and written without loss. Whole numbers beyond 2^53 come as `bigint`: as numbers, they would lose digits (a seed of 64 bits is
// no seed any more). By hand, as not every browser hands a reviver the text it has read. Pure.
import type { Json } from "../api/types";

/** Long digits that stand where a value does: only then is the text looked at closer. Texts may look so too, which costs time only. */
const MAYBE_LONG = /[[:,\s]-?\d{16,}(?=[\s,\]}])|^\s*-?\d{16,}\s*$/;
const LONG = /(?<![\d.eE+-])-?[1-9]\d{15,}(?![\d.eE])/g;
/** No text that comes from elsewhere begins like this. */
const MARK = `whole number ${Math.random()} `;

export function parseJson(text: string): unknown {
  if (!MAYBE_LONG.test(text)) return JSON.parse(text);
  return JSON.parse(marked(text), (_, value: unknown) => (typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value));
}

const beyond = (digits: string): string => (Number.isSafeInteger(Number(digits)) ? digits : `"${MARK}${digits}"`);

/** The text with its long numbers as marked texts; what is in quotes already stays. */
function marked(text: string): string {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf('"', at);
    parts.push(text.slice(at, open < 0 ? text.length : open).replace(LONG, beyond));
    if (open < 0) return parts.join("");
    at = closing(text, open) + 1;
    parts.push(text.slice(open, at));
  }
}

/** Where the quote that opens at `open` closes; the end of the text where it does not. */
function closing(text: string, open: number): number {
  for (let at = text.indexOf('"', open + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return text.length;
}

const MARKED = new RegExp(`"${MARK.replace(".", "\\.")}(-?\\d+)"`, "g");

/** What `JSON.stringify` writes, with whole numbers of any size. */
export function jsonText(value: Json | readonly Json[] | Readonly<Record<string, Json | undefined>> | undefined, indent = 0): string {
  if (value === undefined) return "";
  let any = false;
  const text = JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? ((any = true), MARK + String(one)) : one), indent);
  return any ? text.replace(MARKED, "$1") : text;
}
