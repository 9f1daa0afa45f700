// Where one is, as the top bar tells it: rooms say it, the shell shows it.
import { useEffect, useSyncExternalStore } from "react";

export interface Crumb {
  label: string;
  href: string;
}

let crumbs: readonly Crumb[] = [];
const listeners = new Set<() => void>();

function say(next: readonly Crumb[]): void {
  crumbs = next;
  for (const listener of listeners) listener();
}

/** A room's place, from the project on, while it is shown. */
export function useCrumbs(place: readonly Crumb[]): void {
  const text = JSON.stringify(place);
  useEffect(() => {
    say(JSON.parse(text) as Crumb[]);
    return () => say([]);
  }, [text]);
}

export function useShownCrumbs(): readonly Crumb[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => crumbs,
  );
}
