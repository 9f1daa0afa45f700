// The whole log: a position is a line's index. Pages of it are fetched where they are looked at; the last one grows.
import { KEPT, type LogEntry, LogSource, PAGE, type Progress } from "./source";

export class WholeLog extends LogSource {
  private readonly pages = new Map<number, LogEntry[]>();
  private readonly busy = new Set<number>();
  private seen: readonly [number, number] = [0, 0];
  readonly progress: Progress | null = null;

  get count(): number {
    return this.total;
  }

  indexAt(position: number): number {
    return position;
  }

  rowAt(position: number): LogEntry | undefined {
    return this.pages.get(Math.floor(position / PAGE))?.[position % PAGE];
  }

  positionOf(index: number): number {
    return Math.max(0, Math.min(index, this.total - 1));
  }

  want(first: number, last: number): void {
    this.seen = [first, last];
    if (this.error) return;
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) void this.load(page);
  }

  grow(total: number): void {
    if (total === this.total) return;
    // A run that was made anew under the same id does not happen; a shorter log does, where somebody repaired it.
    if (total < this.total) this.pages.clear();
    this.total = total;
    this.changed();
  }

  private async load(page: number): Promise<void> {
    const begin = page * PAGE;
    const wanted = Math.min(PAGE, this.total - begin);
    const known = this.pages.get(page) ?? [];
    if (this.busy.has(page) || known.length >= wanted) return;
    this.busy.add(page);
    try {
      const rows = [...known];
      while (rows.length < wanted) {
        const answer = await this.fetch({ from: begin + rows.length, limit: PAGE - rows.length }, this.stop.signal);
        if (this.stop.signal.aborted) return;
        if (!answer.rows.length) break;
        rows.push(...answer.rows);
        this.came(answer.rows);
        if (answer.total > this.total) this.total = answer.total;
      }
      this.pages.set(page, rows);
      this.forget();
      this.changed();
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy.delete(page);
    }
  }

  private forget(): void {
    const most = Math.ceil(KEPT / PAGE);
    if (this.pages.size <= most) return;
    const middle = (this.seen[0] + this.seen[1]) / 2 / PAGE;
    const far = [...this.pages.keys()].sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
    for (const page of far.slice(0, this.pages.size - most)) this.pages.delete(page);
  }
}
