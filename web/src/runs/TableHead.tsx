// The table's head: press to sort, drag to move, drag the edge to resize; the same by keyboard and by a menu.
import { useState } from "react";
import { setView } from "../state/view";
import { Icon, IconButton, useSharedMenu, type MenuItem } from "../ui";
import type { Chosen } from "./chosen";
import { NAME, type TableColumn } from "./columns";
import type { Grid, GridHeader } from "./grid";
import type { PlacedColumn } from "./TableGrid";
import type { ProjectModel } from "./useProject";

export interface TableHeadProps {
  model: ProjectModel;
  chosen: Chosen;
  grid: Grid;
  placed: readonly PlacedColumn[];
  height: number;
  width: number;
}

const MOVED = "application/x-ml-dash-column";

/** Rising, falling, as it was. */
function nextSort(now: string, id: string): string {
  return now === id ? `-${id}` : now === `-${id}` ? "" : id;
}

export function moved(ids: readonly string[], id: string, to: number): string[] {
  const rest = ids.filter((one) => one !== id);
  rest.splice(Math.max(0, Math.min(rest.length, to)), 0, id);
  return rest;
}

export function TableHead({ model, chosen, grid, placed, height, width }: TableHeadProps) {
  const { view, columns, runs } = model;
  const ids = columns.map((column) => column.id);
  const [over, setOver] = useState<string | null>(null);
  const move = (id: string, to: number) => setView({ columns: moved(ids, id, to) });
  const menu = useSharedMenu<TableColumn>("Column", (column): MenuItem[] => {
    const at = ids.indexOf(column.id);
    return [
      { label: "Sort rising", icon: "sort-up", onSelect: () => setView({ sort: column.id }) },
      { label: "Sort falling", icon: "sort-down", onSelect: () => setView({ sort: `-${column.id}` }) },
      { label: "Group by it", icon: "group", onSelect: () => setView({ group: column.id, closed: [] }) },
      { label: "Move left", icon: "chevron-left", separatorBefore: true, disabled: at <= 0, onSelect: () => move(column.id, at - 1) },
      { label: "Move right", icon: "chevron-right", disabled: at >= ids.length - 1, onSelect: () => move(column.id, at + 1) },
      { label: "Hide the column", icon: "eye-off", separatorBefore: true, onSelect: () => setView({ columns: ids.filter((id) => id !== column.id) }) },
    ];
  });
  const all = runs.length > 0 && runs.every((run) => chosen.ids.has(run.id));
  const some = !all && chosen.ids.size > 0;
  const headerOf = (id: string) => grid.headers.find((header) => header.id === id);
  const name = headerOf(NAME);

  return (
    <div role="rowgroup" className="grid-head" style={{ height, width }}>
      <div role="row" aria-rowindex={1}>
        <div role="columnheader" aria-colindex={1} className="grid-name" style={{ width: grid.nameWidth }} aria-sort={sortOf(view.sort, NAME)}>
          <input
            type="checkbox"
            checked={all}
            ref={(box) => {
              if (box) box.indeterminate = some;
            }}
            aria-label={all ? "Leave all runs" : "Choose all runs that match"}
            onChange={() => chosen.set(all ? [] : runs.map((run) => run.id))}
          />
          <SortButton id={NAME} label="Run" note="" sort={view.sort} />
          {name && <Edge header={name} label="Run" width={grid.nameWidth} resize={grid.resize} />}
        </div>
        {placed.map(({ column, at, left, width: wide, same }) => {
          const header = headerOf(column.id);
          return (
            <div
              key={column.id}
              role="columnheader"
              aria-colindex={at + 2}
              aria-sort={sortOf(view.sort, column.id)}
              className={`grid-cell${column.numeric ? " number" : ""}${over === column.id ? " over" : ""}${same ? " same" : ""}`}
              style={{ left, width: wide }}
              draggable={!grid.resizing}
              onDragStart={(event) => {
                event.dataTransfer.setData(MOVED, column.id);
                event.dataTransfer.effectAllowed = "move";
              }}
              onDragOver={(event) => {
                if (!event.dataTransfer.types.includes(MOVED)) return;
                event.preventDefault();
                setOver(column.id);
              }}
              onDragLeave={() => setOver(null)}
              onDragEnd={() => setOver(null)}
              onDrop={(event) => {
                event.preventDefault();
                setOver(null);
                const id = event.dataTransfer.getData(MOVED);
                if (id && id !== column.id) move(id, at);
              }}
              onContextMenu={(event) => {
                event.preventDefault();
                menu.open({ getBoundingClientRect: () => new DOMRect(event.clientX, event.clientY, 0, 0) }, column);
              }}
              onKeyDown={(event) => {
                const by = event.shiftKey ? (event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0) : 0;
                if (!by) return;
                event.preventDefault();
                move(column.id, at + by);
              }}
            >
              <SortButton id={column.id} label={column.label} note={same ? "same" : column.note} sort={view.sort} />
              <span className="grid-more">
                <IconButton icon="chevron-down" size={14} label={`Column ${column.label}`} aria-haspopup="menu" onClick={(event) => menu.open(event.currentTarget, column)} />
              </span>
              {header && <Edge header={header} label={column.label} width={wide} resize={grid.resize} />}
            </div>
          );
        })}
      </div>
      {menu.element}
    </div>
  );
}

const sortOf = (sort: string, id: string) => (sort === id ? "ascending" : sort === `-${id}` ? "descending" : undefined);

function SortButton({ id, label, note, sort }: { id: string; label: string; note: string; sort: string }) {
  const on = sort === id || sort === `-${id}`;
  return (
    <button type="button" className="grid-sort" title={`${label}${note === "same" ? ", the same in all these runs" : note ? `, ${note} of all points` : ""}: sort`} onClick={() => setView({ sort: nextSort(sort, id) })}>
      <span className="grid-label">{label}</span>
      {note && <span className="grid-note">{note}</span>}
      {on && <Icon name={sort.startsWith("-") ? "sort-down" : "sort-up"} size={13} />}
    </button>
  );
}

function Edge({ header, label, width, resize }: { header: GridHeader; label: string; width: number; resize: (id: string, width: number) => void }) {
  const handler = header.getResizeHandler();
  return (
    <div
      className="grid-edge"
      role="separator"
      aria-orientation="vertical"
      aria-label={`Width of ${label}`}
      aria-valuenow={Math.round(width)}
      tabIndex={0}
      onMouseDown={handler}
      onTouchStart={handler}
      onDoubleClick={() => header.column.resetSize()}
      onKeyDown={(event) => {
        const by = event.key === "ArrowLeft" ? -16 : event.key === "ArrowRight" ? 16 : 0;
        if (!by || event.shiftKey) return;
        event.preventDefault();
        resize(header.id, width + by);
      }}
    />
  );
}
