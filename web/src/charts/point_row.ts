// The row behind a single point that the pointer rests on: its other fields and its time, asked for once the pointer has stopped.
import { query, request } from "../api/client";
import type { Json } from "../api/types";
import { moment, short } from "../model/format";
import { stopOf } from "./data/sample";
import type { Hit } from "./draw/nearest";
import type { SeriesKey } from "./panels";

/** ms that the pointer must rest. */
const REST = 70;
const MOST_KEPT = 500;
const MOST_FIELDS = 6;

export class PointRow {
  private readonly known = new Map<string, string>();
  private wanted = "";
  private timer = 0;
  private control: AbortController | null = null;

  constructor(private readonly told: () => void) {}

  /** What is known of the point beside the field that is `shown` anyway; "" for a bucket of many, or before it is known. */
  of(series: SeriesKey, hit: Hit, shown: string | null): string {
    const { sample } = hit.line;
    const index = sample?.starts[hit.at];
    if (!sample || index === undefined || stopOf(sample, hit.at) - index !== 1) return this.want("", null);
    const key = `${hit.line.id} ${series.kind} ${series.name} ${series.field} ${index} ${shown ?? ""}`;
    return this.want(key, () => rowText(hit.line.id, series, shown, index, (this.control = new AbortController()).signal));
  }

  close(): void {
    window.clearTimeout(this.timer);
    this.control?.abort();
  }

  private want(key: string, ask: (() => Promise<string>) | null): string {
    const found = this.known.get(key);
    if (key === this.wanted || found !== undefined) {
      if (found !== undefined) this.wanted = key;
      return found ?? "";
    }
    this.close();
    this.wanted = key;
    if (ask) this.timer = window.setTimeout(() => void this.fetch(key, ask), REST);
    return "";
  }

  private async fetch(key: string, ask: () => Promise<string>): Promise<void> {
    const text = await ask().catch(() => "");
    if (this.known.size > MOST_KEPT) this.known.clear();
    if (text) this.known.set(key, text);
    if (this.wanted === key) this.told();
  }
}

/** A page of rows is a line with its head, then one a row (docs/formats/protocol.md). */
async function rowText(run: string, { kind, name, field }: SeriesKey, shown: string | null, index: number, signal: AbortSignal): Promise<string> {
  const path = `/runs/${encodeURIComponent(run)}/rows${query({ kind, name, start: index, limit: 1 })}`;
  const answer = await request(path, { signal });
  const [head, row] = (await answer.text()).split("\n");
  if (!head || !row) return "";
  const { ticks } = JSON.parse(head) as { ticks?: [number, number][] };
  const { data } = JSON.parse(row) as { data: Record<string, Json> };
  const others = Object.entries(data).filter(([other, value]) => other !== field && other !== shown && typeof value === "number").slice(0, MOST_FIELDS);
  const said = others.map(([other, value]) => `${other} ${short(value as number, 6)}`);
  const tick = ticks?.filter(([at]) => at <= index).at(-1);
  if (tick) said.push(moment(tick[1]));
  return said.join(" · ");
}
