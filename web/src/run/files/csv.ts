// Tables of text: RFC 4180, and what people write in its place. Pure.

export interface CsvTable {
  header: string[];
  rows: string[][];
  separator: string;
}

const SEPARATORS = [",", "\t", ";", "|"] as const;

/** The separator that the first lines have most, outside quotes. */
export function separatorOf(text: string): string {
  const head = text.slice(0, 20_000).replace(/"(?:[^"]|"")*"/g, "").split("\n").slice(0, 10).join("\n");
  const counts = SEPARATORS.map((one) => head.split(one).length);
  return SEPARATORS[counts.indexOf(Math.max(...counts))] ?? ",";
}

/** The first row is the header. Of a text that is not all there, the last row is left out, since it may be cut. */
export function parseCsv(text: string, whole = true, separator = separatorOf(text)): CsvTable {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let complete = true;
  const end = () => {
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  while (at < text.length) {
    let cell: string;
    if (text[at] === '"') {
      const parts: string[] = [];
      at += 1;
      for (;;) {
        const quote = text.indexOf('"', at);
        complete = quote >= 0;
        parts.push(text.slice(at, complete ? quote : undefined));
        at = complete ? quote + 1 : text.length;
        if (!complete || text[at] !== '"') break;
        parts.push('"');
        at += 1;
      }
      cell = parts.join("");
      while (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") cell += text[at++];
    } else {
      const from = at;
      while (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") at += 1;
      cell = text.slice(from, at);
    }
    row.push(cell);
    if (at >= text.length) {
      complete = false;
      break;
    }
    const mark = text[at];
    at += mark === "\r" && text[at + 1] === "\n" ? 2 : 1;
    if (mark === separator) {
      if (at >= text.length) {
        row.push("");
        complete = false;
      }
    } else end();
  }
  if (row.length && (whole || complete)) end();
  return { header: rows[0] ?? [], rows: rows.slice(1), separator };
}

/** Widths in characters, by the first rows; each between `least` and `most`. */
export function widthsOf({ header, rows }: CsvTable, least = 5, most = 36): number[] {
  const sample = [header, ...rows.slice(0, 200)];
  const columns = Math.max(...sample.map((row) => row.length), 1);
  return Array.from({ length: columns }, (_, i) =>
    Math.min(most, Math.max(least, ...sample.map((row) => (row[i] ?? "").length + 2))),
  );
}

/** Columns that hold numbers, which stand at the right. */
export function numericOf({ rows }: CsvTable, columns: number): boolean[] {
  const sample = rows.slice(0, 100);
  return Array.from({ length: columns }, (_, i) => {
    const cells = sample.map((row) => (row[i] ?? "").trim()).filter((cell) => cell !== "");
    return cells.length > 0 && cells.every((cell) => /^[-+]?(nan|inf(inity)?)$/i.test(cell) || !Number.isNaN(Number(cell)));
  });
}
