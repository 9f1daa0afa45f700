// A run as a row of the table. Drawn anew only when what it shows has changed: scrolling moves it, and must not cost more.
import { memo, useRef } from "react";
import type { RunRow } from "../model/table";
import { follow } from "../state/url";
import { Icon, IconButton, RunDot } from "../ui";
import { Cell } from "./Cell";
import { setDrawn } from "./drawing";
import { runHref } from "./places";
import { useRunActions } from "./RunActions";
import type { PlacedColumn } from "./TableGrid";
import type { ProjectModel } from "./useProject";

export interface TableRowProps {
  run: RunRow;
  index: number;
  top: number;
  height: number;
  width: number;
  nameWidth: number;
  placed: readonly PlacedColumn[];
  now: number;
  drawn: boolean;
  chosen: boolean;
  focused: boolean;
  cursor: boolean;
  baseline: RunRow | null;
  marks: boolean;
  model: ProjectModel;
  choose: (id: string, range?: boolean) => void;
  setCursor: (id: string) => void;
}

export const TableRow = memo(function TableRow(props: TableRowProps) {
  const { run, index, top, height, width, nameWidth, placed, now, drawn, chosen, focused, cursor, baseline, marks, model, choose, setCursor } = props;
  const actions = useRunActions();
  const ranged = useRef(false);
  const tab = focused ? 0 : -1;
  const base = baseline?.id === run.id;
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={`grid-row${chosen ? " chosen" : ""}${cursor ? " cursor" : ""}${base ? " base" : ""}`}
      style={{ top, height, width }}
      onClick={() => setCursor(run.id)}
      onContextMenu={(event) => {
        if (event.shiftKey) return;
        event.preventDefault();
        actions.menu({ getBoundingClientRect: () => new DOMRect(event.clientX, event.clientY, 0, 0) }, run);
      }}
    >
      <div role="rowheader" aria-colindex={1} className="grid-name" style={{ width: nameWidth }}>
        <input
          type="checkbox"
          checked={chosen}
          tabIndex={tab}
          aria-label={`Choose ${run.name}`}
          onClick={(event) => {
            ranged.current = event.shiftKey;
          }}
          onChange={() => choose(run.id, ranged.current)}
        />
        <IconButton
          icon={drawn ? "eye" : "eye-off"}
          label={drawn ? `Hide ${run.name}` : `Draw ${run.name}`}
          pressed={drawn}
          tabIndex={tab}
          onClick={() => setDrawn(model, [run.id], !drawn)}
        />
        <button type="button" className="run-line-dot" tabIndex={tab} aria-label={`Colour of ${run.name}`} title="Colour" onClick={(event) => actions.color(event.currentTarget, run)}>
          <RunDot run={run} />
        </button>
        <a className="run-line-name" href={runHref(run)} onClick={follow} tabIndex={tab} title={run.name}>
          {run.name}
        </a>
        {base && <Icon name="pin" size={14} />}
        {run.archived && <Icon name="archive" size={14} />}
        <span className="grid-more">
          <IconButton icon="more" label={`More for ${run.name}`} tabIndex={tab} aria-haspopup="menu" onClick={(event) => actions.menu(event.currentTarget, run)} />
        </span>
      </div>
      {placed.map((one) => (
        <Cell key={one.column.id} run={run} placed={one} now={now} baseline={base ? null : baseline} marks={marks && !base} tab={tab} />
      ))}
    </div>
  );
});
