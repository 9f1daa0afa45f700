// What the keyboard does on a project's page: one list, for its handler and for its help.
import { useEffect } from "react";

export const FILTER_INPUT = "run-filter";

export interface Shortcut {
  keys: string;
  does: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: "/", does: "Go to the search or filter" },
  { keys: "j  k", does: "Next and previous run" },
  { keys: "Enter", does: "Open the run" },
  { keys: "e", does: "Draw the run, or hide it" },
  { keys: "x", does: "Choose the run, or leave it; Shift+x chooses all between" },
  { keys: "b", does: "Make the run the baseline, or no more" },
  { keys: "1  2  3", does: "Charts, table, compare" },
  { keys: "[", does: "Show or hide the list of runs" },
  { keys: "Esc", does: "Close what is open; leave the runs that are chosen" },
  { keys: "?", does: "This help" },
];

const WRITES = "input, textarea, select, [contenteditable]";

/** Single keys, where nothing is being written. A handler that returns true has used the key. */
export function useKeys(handle: (key: string, event: KeyboardEvent) => boolean): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof Element && event.target.closest(`${WRITES}, dialog, [popover]`)) return;
      if (handle(event.key, event)) event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [handle]);
}
