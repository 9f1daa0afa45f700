// The lines of a log that match: found from a line on in both directions, in bounded steps, as far as one scrolls. Of each only its index is
// kept for good; rows far from what is in sight are fetched again when somebody goes back.
import { type Fetch, KEPT, type LogEntry, type LogPage, LogSource, PAGE, type Progress } from "./source";

/** Rows from an end at which the next ones are looked for. */
const NEAR = 200;

export class MatchingLog extends LogSource {
  /** Indices of the lines that match, rising. */
  private indices: number[] = [];
  private readonly rows = new Map<number, LogEntry>();
  /** Lines [low, high) have been looked through. */
  private low: number;
  private high: number;
  /** What the server wants to be asked next, backward; null at the beginning. */
  private back: number | null;
  private busy: "back" | "forth" | "rows" | null = null;
  private stopped = false;
  private seen: readonly [number, number] = [0, 0];

  constructor(
    fetch: Fetch,
    total: number,
    private readonly asked: { levels?: readonly string[]; search?: string },
    /** The line to begin at. */
    start: number,
    onRows?: (rows: readonly LogEntry[]) => void,
  ) {
    super(fetch, total, onRows);
    this.low = Math.max(0, Math.min(start, total));
    this.high = this.low;
    this.back = this.low > 0 ? this.low : null;
  }

  get count(): number {
    return this.indices.length;
  }

  get progress(): Progress {
    return { from: this.low, to: this.high, total: this.total, busy: this.busy === "back" || this.busy === "forth", stopped: this.stopped };
  }

  indexAt(position: number): number {
    return this.indices[position] ?? -1 - position;
  }

  rowAt(position: number): LogEntry | undefined {
    return this.rows.get(this.indexAt(position));
  }

  positionOf(index: number): number {
    let from = 0;
    let to = this.indices.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.indices[middle] ?? 0) < index) from = middle + 1;
      else to = middle;
    }
    return Math.max(0, Math.min(from, this.indices.length - 1));
  }

  want(first: number, last: number): void {
    this.seen = [first, last];
    void this.next();
  }

  grow(total: number): void {
    if (total === this.total) return;
    this.total = Math.max(total, this.high);
    this.changed();
    void this.next();
  }

  /** Stop looking, or go on. */
  halt(stopped: boolean): void {
    this.stopped = stopped;
    this.changed();
    if (!stopped) void this.next();
  }

  override retry(): void {
    super.retry();
    void this.next();
  }

  /** One step of what is missing most: rows in sight, then what comes after, then what comes before. */
  private async next(): Promise<void> {
    if (this.busy || this.error || this.stop.signal.aborted) return;
    const [first, last] = this.seen;
    const gap = this.indices.slice(first, last + 1).find((index) => !this.rows.has(index));
    const forth = this.high < this.total && last >= this.count - NEAR;
    const back = this.back !== null && first < NEAR;
    this.busy = gap !== undefined ? "rows" : this.stopped ? null : forth ? "forth" : back ? "back" : null;
    if (!this.busy) return;
    this.changed();
    try {
      if (this.busy === "rows") await this.refill(gap ?? 0);
      else if (this.busy === "forth") await this.forth();
      else await this.backward();
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy = null;
    }
    if (this.stop.signal.aborted) return;
    this.changed();
    void this.next();
  }

  private async refill(from: number): Promise<void> {
    this.take(await this.fetch({ ...this.asked, from, limit: PAGE }, this.stop.signal));
  }

  private async forth(): Promise<void> {
    const answer = await this.fetch({ ...this.asked, from: this.high, limit: PAGE }, this.stop.signal);
    const last = this.indices.at(-1) ?? -1;
    const found = this.take(answer).filter((row) => row.index > last);
    this.high = answer.next ?? Math.max(answer.total, this.high);
    this.total = Math.max(this.total, answer.total);
    for (const row of found) this.indices.push(row.index);
  }

  private async backward(): Promise<void> {
    const answer = await this.fetch({ ...this.asked, from: this.back ?? 0, limit: PAGE, backward: true }, this.stop.signal);
    const first = this.indices[0] ?? Infinity;
    const found = this.take(answer).filter((row) => row.index < first && row.index < this.high);
    this.back = answer.next;
    this.low = answer.next ?? 0;
    this.indices = [...found.map((row) => row.index), ...this.indices];
    // What was in sight has moved down by what was put before it.
    this.seen = [this.seen[0] + found.length, this.seen[1] + found.length];
  }

  /** Remember rows; those furthest away go. What is returned is in rising order. */
  private take(answer: LogPage): LogEntry[] {
    const rows = [...answer.rows].sort((a, b) => a.index - b.index);
    for (const row of rows) this.rows.set(row.index, row);
    this.came(rows);
    if (this.rows.size > KEPT) {
      const middle = this.indexAt(Math.min(this.count - 1, Math.max(0, (this.seen[0] + this.seen[1]) >> 1)));
      const far = [...this.rows.keys()].sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
      for (const index of far.slice(0, this.rows.size - KEPT + PAGE)) this.rows.delete(index);
    }
    return rows;
  }
}
