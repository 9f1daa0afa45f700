// Levels of log lines, and how many of each have been seen. Counting is by line, so that a line that is fetched twice counts once.
import type { LogEntry } from "./source";

export const LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;
export type Level = (typeof LEVELS)[number];

const BLOCK = 4096;

export class LevelCounts {
  readonly counts = new Map<string, number>();
  /** Bit sets of the lines that have been counted, `BLOCK` lines each. */
  private readonly counted = new Map<number, Uint8Array>();

  add(rows: readonly LogEntry[]): void {
    for (const row of rows) {
      const block = Math.floor(row.index / BLOCK);
      const bits = this.counted.get(block) ?? new Uint8Array(BLOCK / 8);
      this.counted.set(block, bits);
      const at = row.index % BLOCK;
      const byte = bits[at >> 3] ?? 0;
      if (byte & (1 << (at & 7))) continue;
      bits[at >> 3] = byte | (1 << (at & 7));
      this.counts.set(row.level, (this.counts.get(row.level) ?? 0) + 1);
    }
  }
}
