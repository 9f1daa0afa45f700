// Rows that open and close, of which only those in sight are in the page: by mouse, by arrow keys, and told to screen readers as a tree.
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Icon } from "../../ui";
import { type LinesHandle, VirtualLines } from "../lines/VirtualLines";
import "./tree.css";

export interface TreeItem {
  key: string;
  depth: number;
  /** Null where there is nothing to open. */
  open: boolean | null;
}

interface Props<T extends TreeItem> {
  label: string;
  rows: readonly T[];
  render: (row: T) => ReactNode;
  onToggle: (row: T) => void;
  /** A click, or Enter; without it, these open and close. */
  onPick?: (row: T) => void;
  picked?: string;
  rowHeight?: number;
}

export function Tree<T extends TreeItem>({ label, rows, render, onToggle, onPick, picked, rowHeight = 26 }: Props<T>) {
  const [activeKey, setActiveKey] = useState<string | null>(picked ?? null);
  const list = useRef<LinesHandle>(null);
  const id = useId();
  const found = rows.findIndex((row) => row.key === activeKey);
  const active = found < 0 ? 0 : found;

  // Who comes by a link stands at what it names.
  const came = useRef(false);
  useEffect(() => {
    if (came.current || !picked || !rows.length) return;
    came.current = true;
    const at = rows.findIndex((row) => row.key === picked);
    if (at > 0) list.current?.show(at, "near");
  }, [picked, rows]);

  const go = (to: number) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (!row) return;
    setActiveKey(row.key);
    list.current?.show(rows.indexOf(row), "near");
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const row = rows[active];
    if (!row || event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget) return;
    const parent = (): number => {
      let at = active - 1;
      while (at >= 0 && (rows[at]?.depth ?? 0) >= row.depth) at -= 1;
      return at;
    };
    switch (event.key) {
      case "ArrowDown": go(active + 1); break;
      case "ArrowUp": go(active - 1); break;
      case "Home": go(0); break;
      case "End": go(rows.length - 1); break;
      case "ArrowRight":
        if (row.open === false) onToggle(row);
        else if (row.open) go(active + 1);
        break;
      case "ArrowLeft":
        if (row.open) onToggle(row);
        else if (parent() >= 0) go(parent());
        break;
      case "Enter":
      case " ":
        if (onPick) onPick(row);
        else if (row.open !== null) onToggle(row);
        break;
      default: return;
    }
    event.preventDefault();
  };

  return (
    <VirtualLines
      ref={list}
      className="tree"
      role="tree"
      label={label}
      count={rows.length}
      usual={rowHeight}
      uniform
      keyAt={(at) => rows[at]?.key ?? at}
      active={rows.length ? `${id}${active}` : undefined}
      onKeyDown={onKeyDown}
      render={(at) => {
        const row = rows[at];
        if (!row) return null;
        return (
          <div
            id={`${id}${at}`}
            role="treeitem"
            aria-level={row.depth + 1}
            aria-expanded={row.open ?? undefined}
            aria-selected={row.key === picked}
            className={`tree-row${at === active ? " active" : ""}${row.key === picked ? " picked" : ""}`}
            style={{ height: rowHeight, paddingLeft: 8 + row.depth * 16 }}
            onClick={() => {
              setActiveKey(row.key);
              if (onPick) onPick(row);
              else if (row.open !== null) onToggle(row);
            }}
          >
            <span
              className="tree-arrow"
              onClick={(event) => {
                if (row.open === null) return;
                event.stopPropagation();
                setActiveKey(row.key);
                onToggle(row);
              }}
            >
              {row.open !== null && <Icon name={row.open ? "chevron-down" : "chevron-right"} size={14} />}
            </span>
            {render(row)}
          </div>
        );
      }}
    />
  );
}
