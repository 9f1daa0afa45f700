// What the list of log lines draws from: positions, and the rows that have been fetched for some of them.
import type { Json } from "../../api/types";

/** A line as it is drawn: what a log that somebody else wrote may leave out is empty. */
export interface LogEntry {
  index: number;
  timestamp: string;
  level: string;
  message: string;
  metadata?: Record<string, Json> | null;
}

export interface LogPage {
  rows: LogEntry[];
  next: number | null;
  total: number;
  scanned: number;
}

export interface Ask {
  from: number;
  limit: number;
  levels?: readonly string[];
  search?: string;
  backward?: boolean;
}

export type Fetch = (ask: Ask, signal: AbortSignal) => Promise<LogPage>;

/** Rows that are asked for at a time. */
export const PAGE = 500;
/** Rows that are kept; those furthest from what is in sight go first. */
export const KEPT = 12_000;

/** How much of the log has been looked through for lines that match. */
export interface Progress {
  /** Lines [from, to) are known. */
  from: number;
  to: number;
  total: number;
  busy: boolean;
  /** The reader said stop. */
  stopped: boolean;
}

export abstract class LogSource {
  /** Changes with every change; for `useSyncExternalStore`. */
  revision = 0;
  error: unknown = null;
  protected readonly stop = new AbortController();
  private readonly listeners = new Set<() => void>();

  constructor(
    protected readonly fetch: Fetch,
    /** Lines of the whole log, as far as is known. */
    public total: number,
    private readonly onRows: (rows: readonly LogEntry[]) => void = () => undefined,
  ) {}

  /** Positions there are. */
  abstract readonly count: number;
  /** The line's index at a position. */
  abstract indexAt(position: number): number;
  /** The row at a position; undefined while it is fetched. */
  abstract rowAt(position: number): LogEntry | undefined;
  /** The position of a line, or of the nearest one after it. */
  abstract positionOf(index: number): number;
  /** Fetch what these positions need, and what comes next to them. */
  abstract want(first: number, last: number): void;
  /** The log has become longer. */
  abstract grow(total: number): void;
  abstract readonly progress: Progress | null;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  retry(): void {
    this.error = null;
    this.changed();
  }

  dispose(): void {
    this.stop.abort();
    this.listeners.clear();
  }

  protected changed(): void {
    this.revision += 1;
    for (const listener of this.listeners) listener();
  }

  protected came(rows: readonly LogEntry[]): void {
    this.onRows(rows);
  }

  protected failed(error: unknown): void {
    if (this.stop.signal.aborted) return;
    this.error = error;
    this.changed();
  }
}
