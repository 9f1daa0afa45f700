// A run's status: a shape, a colour and a word, so that none of them has to be enough.
import type { Status } from "../api/types";
import "./StatusBadge.css";

/** Shapes on a grid of 12. */
const SHAPES: Record<Status, string> = {
  RUNNING: "M3 1.5l7 4.5-7 4.5z",
  COMPLETED: "M2 6.5L4.8 9.5 10 3",
  FAILED: "M2.5 2.500l7 7M9.5 2.500l-7 7",
  CANCELLED: "M2.5 6h7",
  LOST: "M3.5 4.200A2.5 2.5 0 1 1 6 6.500V8M6 10.400v.1",
};
const WORDS: Record<Status, string> = {
  RUNNING: "Running",
  COMPLETED: "Completed",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
  LOST: "Lost",
};
const MEANINGS: Partial<Record<Status, string>> = {
  LOST: "Lost: it was running, and nothing has been heard of it for a while. Its process or machine may have died.",
};

/** `compact`: the shape alone, its word for screen readers and as the tooltip. */
export function StatusBadge({ status, compact }: { status: Status; compact?: boolean | undefined }) {
  const word = WORDS[status] ?? status;
  return (
    <span className={`ui-status ${status.toLowerCase()}`} title={MEANINGS[status] ?? word}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
        <path d={SHAPES[status] ?? SHAPES.LOST} />
      </svg>
      <span className={compact ? "visually-hidden" : ""}>{word}</span>
    </span>
  );
}
