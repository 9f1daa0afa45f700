// JSON to look at: opens and closes, is searched, is copied. A long text is seen whole on hover, and copied whole.
import { useDeferredValue, useMemo, useState } from "react";
import type { Json } from "../../api/types";
import { Button, CopyButton, Empty, TextInput } from "../../ui";
import { asJson } from "./params";
import { Tree } from "./Tree";
import { allKeys, kindOf, oneLine, pruned, rowsOf, type ValueRow } from "./valueRows";

interface Props {
  value: Json;
  label: string;
  /** Levels that are open at first. */
  usual?: number;
  /** Null where it is too large for the clipboard. */
  copy?: string | null;
}

const MOST_TEXT = 400;

export function ValueTree({ value, label, usual = 1, copy }: Props) {
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const [search, setSearch] = useState("");
  const sought = useDeferredValue(search.trim());
  const shown = useMemo(() => (sought ? pruned(value, sought) : value), [value, sought]);
  const rows = useMemo(() => {
    if (shown === null && sought) return [];
    return sought ? rowsOf(shown, opened, 64) : rowsOf(shown, opened, usual);
  }, [shown, opened, sought, usual]);

  return (
    <div className="value-tree">
      <div className="value-bar">
        <TextInput value={search} onChange={setSearch} label={`Search ${label}`} placeholder="Search names and values" icon="search" clearable />
        <span className="push" />
        <Button size="small" kind="quiet" onClick={() => setOpened(differing(allKeys(value), usual))}>Open all</Button>
        <Button size="small" kind="quiet" onClick={() => setOpened(closing(allKeys(value), usual))}>Close all</Button>
        {copy !== null && <CopyButton text={copy ?? asJson(value)} label="Copy as JSON" />}
      </div>
      <div className="value-rows">
        {rows.length ? (
          <Tree
            label={label}
            rows={rows}
            onToggle={(row) =>
              setOpened((now) => {
                const next = new Set(now);
                if (!next.delete(row.key)) next.add(row.key);
                return next;
              })
            }
            render={(row) => <Value row={row} />}
          />
        ) : (
          <Empty icon="search" title={sought ? "Nothing has this text" : "Nothing in it"} />
        )}
      </div>
    </div>
  );
}

function Value({ row }: { row: ValueRow }) {
  const text = row.range ? "" : oneLine(row.value);
  return (
    <>
      <span className={`value-name${row.item ? " item" : ""}`} title={row.name}>{row.name}</span>
      {text !== "" && (
        <span className={`value ${kindOf(row.value)}`} title={kindOf(row.value) === "text" ? text.slice(0, 5000) : undefined}>
          {kindOf(row.value) === "text" ? JSON.stringify(text.slice(0, MOST_TEXT)) : text}
        </span>
      )}
    </>
  );
}

/** `opened` holds what is not as it began: to open all, those that begin closed; to close all, the others. */
const beginsOpen = (key: string, usual: number): boolean => key.split("\u0000").length - 2 < usual;
const differing = (keys: ReadonlySet<string>, usual: number): Set<string> => new Set([...keys].filter((key) => !beginsOpen(key, usual)));
const closing = (keys: ReadonlySet<string>, usual: number): Set<string> => new Set([...keys].filter((key) => beginsOpen(key, usual)));
