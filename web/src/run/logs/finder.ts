// The next line that holds a text: asked of the server step by step, with its progress told, around the end once.
import type { Fetch } from "./source";

export interface Found {
  /** Null where no line holds it. */
  index: number | null;
  /** It was found past the log's end, from its other end on. */
  around: boolean;
}

export interface Hunt {
  search: string;
  levels: readonly string[];
  /** The line to go from; it is looked at last. */
  from: number;
  backward: boolean;
  total: number;
}

/** Raises what `fetch` raises, also where `signal` is aborted. `onScanned` is told how many lines have been looked at. */
export async function hunt(fetch: Fetch, asked: Hunt, onScanned: (lines: number) => void, signal: AbortSignal): Promise<Found> {
  const { search, levels, backward } = asked;
  let scanned = 0;
  for (const around of [false, true]) {
    let from: number | null = around ? (backward ? asked.total : 0) : backward ? asked.from : asked.from + 1;
    if (backward && !around && asked.from <= 0) from = null;
    while (from !== null && (backward || from < asked.total)) {
      const ask = { from, limit: 1, search, ...(levels.length ? { levels } : {}), ...(backward ? { backward } : {}) };
      const answer = await fetch(ask, signal);
      signal.throwIfAborted();
      scanned += answer.scanned;
      onScanned(Math.min(scanned, asked.total));
      // The line that one goes from may be in the answer, by either reading of where "backward" begins.
      const row = answer.rows.find((one) => around || one.index !== asked.from);
      if (row) return { index: row.index, around };
      from = answer.next;
      if (around && from !== null && (backward ? from < asked.from : from > asked.from + 1)) break;
    }
  }
  return { index: null, around: true };
}
