// The runs that are chosen for what is done with many: in the address where they are few, in memory where they are not.
import { useCallback, useMemo, useState } from "react";
import type { RunRow } from "../model/table";
import { MOST_CHOSEN, setView } from "../state/view";

export interface Chosen {
  ids: ReadonlySet<string>;
  set: (ids: Iterable<string>) => void;
  /** Choose or leave one; with `range`, all between the one before and this. */
  toggle: (id: string, range?: boolean) => void;
}

/** `order` is that of the list, by which ranges go. */
export function useChosen(told: readonly string[], order: readonly RunRow[]): Chosen {
  const [many, setMany] = useState<ReadonlySet<string> | null>(null);
  const [anchor, setAnchor] = useState<string | null>(null);
  const toldText = told.join(",");
  const ids = useMemo<ReadonlySet<string>>(() => (toldText ? new Set(toldText.split(",")) : (many ?? new Set())), [many, toldText]);

  const set = useCallback((next: Iterable<string>) => {
    const list = [...next];
    setMany(list.length > MOST_CHOSEN ? new Set(list) : null);
    setView({ chosen: list }, { replace: true });
  }, []);

  const toggle = useCallback(
    (id: string, range = false) => {
      const next = new Set(ids);
      const from = range && anchor ? order.findIndex((run) => run.id === anchor) : -1;
      const to = order.findIndex((run) => run.id === id);
      if (from >= 0 && to >= 0) {
        for (const run of order.slice(Math.min(from, to), Math.max(from, to) + 1)) next.add(run.id);
      } else if (next.has(id)) next.delete(id);
      else next.add(id);
      setAnchor(id);
      set(next);
    },
    [ids, anchor, order, set],
  );
  return useMemo(() => ({ ids, set, toggle }), [ids, set, toggle]);
}
