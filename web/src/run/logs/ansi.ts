// Terminal escapes in a text: colours become spans that are styled by class, everything else a terminal would do is left out. Pure.

/** Hues, not a terminal's own colours: each is drawn so that it can be read on a light and on a dark page. */
export type Hue = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "grey";

export interface Span {
  text: string;
  hue: Hue | null;
  bold: boolean;
  italic: boolean;
  underline: boolean;
}

const HUES: readonly (Hue | null)[] = ["grey", "red", "green", "yellow", "blue", "magenta", "cyan", null];
/** CSI sequences (their final byte in group 2), OSC strings up to BEL or ST, and any other escape. */
const ESCAPE = /\u001b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])?/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

type Style = Omit<Span, "text">;
const PLAIN: Style = { hue: null, bold: false, italic: false, underline: false };

function hueOfRgb(red: number, green: number, blue: number): Hue | null {
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  if (most - least < 40) return most > 170 ? null : "grey";
  const spread = most - least;
  const turn = most === red ? ((green - blue) / spread + 6) % 6 : most === green ? (blue - red) / spread + 2 : (red - green) / spread + 4;
  return (["red", "yellow", "green", "cyan", "blue", "magenta"] as const)[Math.round(turn) % 6] ?? null;
}

function hueOf256(code: number): Hue | null {
  if (code < 16) return HUES[code % 8] ?? null;
  if (code >= 232) return code < 250 ? "grey" : null;
  const part = (value: number) => (value ? 55 + 40 * value : 0);
  const at = code - 16;
  return hueOfRgb(part(Math.floor(at / 36)), part(Math.floor(at / 6) % 6), part(at % 6));
}

function styled(style: Style, codes: string): Style {
  let next = { ...style };
  const numbers = codes.split(/[;:]/).map(Number);
  for (let i = 0; i < numbers.length; i += 1) {
    const code = numbers[i] ?? 0;
    if (code === 0) next = { ...PLAIN };
    else if (code === 1) next.bold = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 2) next.hue = "grey";
    else if (code === 22) next.bold = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code >= 30 && code <= 37) next.hue = HUES[code - 30] ?? null;
    else if (code >= 90 && code <= 97) next.hue = HUES[code - 90] ?? null;
    else if (code === 39) next.hue = null;
    else if (code === 38 || code === 48) {
      const five = numbers[i + 1] === 5;
      const hue = five ? hueOf256(numbers[i + 2] ?? 0) : hueOfRgb(numbers[i + 2] ?? 0, numbers[i + 3] ?? 0, numbers[i + 4] ?? 0);
      if (code === 38) next.hue = hue;
      i += five ? 2 : 4;
    }
  }
  return next;
}

/** What a terminal shows of lines that were drawn over by carriage returns: progress bars, mostly. */
export function overwritten(text: string): string {
  if (!text.includes("\r")) return text;
  return text
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => {
      const shown = line.replace(/\r+$/, "");
      return shown.slice(shown.lastIndexOf("\r") + 1);
    })
    .join("\n");
}

/** The text in spans of one style each, without escapes and control characters. */
export function spansOf(text: string): Span[] {
  const spans: Span[] = [];
  let style = PLAIN;
  let from = 0;
  const add = (part: string) => {
    const clean = part.replace(CONTROL, "");
    if (clean) spans.push({ text: clean, ...style });
  };
  for (const escape of text.matchAll(ESCAPE)) {
    add(text.slice(from, escape.index));
    from = escape.index + escape[0].length;
    if (escape[2] === "m" && !/[?<=>]/.test(escape[1] ?? "")) style = styled(style, escape[1] ?? "");
  }
  add(text.slice(from));
  return spans;
}

export const plainOf = (text: string): string => spansOf(overwritten(text)).map((span) => span.text).join("");

export interface MarkedSpan extends Span {
  found: boolean;
}

/** Spans, cut where `search` is found (in any case), also across a change of style. */
export function marked(spans: readonly Span[], search: string): MarkedSpan[] {
  if (!search) return spans.map((span) => ({ ...span, found: false }));
  const whole = spans.map((span) => span.text).join("");
  const hits = [...whole.matchAll(new RegExp(escaped(search), "giu"))].map((hit) => [hit.index, hit.index + hit[0].length] as const);
  const made: MarkedSpan[] = [];
  let at = 0;
  let next = 0;
  for (const span of spans) {
    const end = at + span.text.length;
    let from = at;
    while (from < end) {
      while (next < hits.length && (hits[next]?.[1] ?? 0) <= from) next += 1;
      const [begin, stop] = hits[next] ?? [Infinity, Infinity];
      const to = Math.min(end, begin > from ? begin : stop);
      made.push({ ...span, text: whole.slice(from, to), found: begin <= from });
      from = to;
    }
    at = end;
  }
  return made;
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
