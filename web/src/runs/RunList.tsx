// The list of runs that is always there: colour, name, status, drawn or not. Virtual: only lines in sight are in the page.
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useRef } from "react";
import { count, short } from "../model/format";
import { numberOf, type RunRow } from "../model/table";
import { follow } from "../state/url";
import { setView } from "../state/view";
import { Empty, Icon, IconButton, RunDot, StatusBadge, useMedia } from "../ui";
import type { Chosen } from "./chosen";
import { columnOf, factText } from "./columns";
import { setDrawn } from "./drawing";
import type { RunGroup } from "./groups";
import { runHref } from "./places";
import { useRunActions } from "./RunActions";
import type { ProjectModel } from "./useProject";
import "./RunList.css";

export interface RunListProps {
  model: ProjectModel;
  chosen: Chosen;
  /** The run that the keyboard is at. */
  cursor: string | null;
  setCursor: (id: string) => void;
}

const LINE = 34;
const LINE_COARSE = 46;

export function toggleGroup(model: ProjectModel, group: RunGroup): void {
  const { closed } = model.view;
  setView({ closed: closed.includes(group.name) ? closed.filter((one) => one !== group.name) : [...closed, group.name] }, { replace: true });
}

export function RunList({ model, chosen, cursor, setCursor }: RunListProps) {
  const { lines, view } = model;
  const box = useRef<HTMLDivElement>(null);
  const height = useMedia("(pointer: coarse)") ? LINE_COARSE : LINE;
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 6,
    getItemKey: (i) => {
      const line = lines[i];
      return line === undefined ? i : "run" in line ? line.run.id : `group ${line.group.name}`;
    },
  });
  useEffect(() => virtual.measure(), [virtual, height]);

  useEffect(() => {
    if (!cursor) return;
    const at = lines.findIndex((line) => "run" in line && line.run.id === cursor);
    if (at >= 0) virtual.scrollToIndex(at, { align: "auto" });
    // Only when the cursor moves: a list that changes under it must not jump.
  }, [cursor, virtual]);

  // Another order or other runs begin at the top.
  const arranged = `${view.sort} ${view.group} ${view.filter} ${view.search}`;
  const before = useRef(arranged);
  useEffect(() => {
    if (before.current !== arranged) box.current?.scrollTo({ top: 0 });
    before.current = arranged;
  }, [arranged]);

  const sortId = view.sort.replace(/^-/, "");
  const column = sortId && sortId !== "name" ? columnOf(sortId, model.source) : null;
  const told = (run: RunRow): string => {
    if (!column || column.id === "status" || column.id.endsWith("_at")) return "";
    const value = column.value(run);
    const number = numberOf(value);
    return number !== undefined && column.id !== "duration" ? short(number) : factText(column.id, value);
  };
  const first = lines.find((line) => "run" in line);
  const focused = cursor ?? (first && "run" in first ? first.run.id : null);

  if (!lines.length) {
    return (
      <div className="run-list">
        <Empty
          icon="search"
          title={model.all.length ? "No run matches" : "No runs"}
          text={model.all.length ? "Change the words or the expression above." : model.archivedCount ? "All runs are archived." : undefined}
        />
      </div>
    );
  }
  return (
    <div className="run-list" ref={box} role="list" aria-label="Runs" tabIndex={-1}>
      <div className="run-list-all" style={{ height: virtual.getTotalSize() }} role="presentation">
        {virtual.getVirtualItems().map((item) => {
          const line = lines[item.index];
          if (!line) return null;
          return "run" in line ? (
            <RunLine
              key={item.key}
              run={line.run}
              model={model}
              drawn={model.drawnIds.has(line.run.id)}
              chosen={chosen.ids.has(line.run.id)}
              choose={chosen.toggle}
              focused={focused === line.run.id}
              cursor={cursor === line.run.id}
              setCursor={setCursor}
              told={told(line.run)}
              top={item.start}
              height={height}
            />
          ) : (
            <GroupLine key={item.key} group={line.group} open={line.open} model={model} top={item.start} height={height} />
          );
        })}
      </div>
    </div>
  );
}

interface RunLineProps {
  run: RunRow;
  model: ProjectModel;
  drawn: boolean;
  chosen: boolean;
  choose: (id: string, range?: boolean) => void;
  focused: boolean;
  cursor: boolean;
  setCursor: (id: string) => void;
  told: string;
  top: number;
  height: number;
}

const RunLine = memo(function RunLine({ run, model, drawn, chosen, choose, focused, cursor, setCursor, told, top, height }: RunLineProps) {
  const actions = useRunActions();
  const tab = focused ? 0 : -1;
  const base = model.view.baseline === run.id;
  return (
    <div
      role="listitem"
      className={`run-line${drawn ? "" : " hidden-run"}${chosen ? " chosen" : ""}${cursor ? " cursor" : ""}`}
      style={{ transform: `translateY(${top}px)`, height }}
      onClick={(event) => {
        setCursor(run.id);
        if (!event.shiftKey && !event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        choose(run.id, event.shiftKey);
      }}
      onContextMenu={(event) => {
        if (event.shiftKey) return;
        event.preventDefault();
        actions.menu({ getBoundingClientRect: () => new DOMRect(event.clientX, event.clientY, 0, 0) }, run);
      }}
    >
      <IconButton
        icon={drawn ? "eye" : "eye-off"}
        label={drawn ? `Hide ${run.name}` : `Draw ${run.name}`}
        pressed={drawn}
        tabIndex={tab}
        onClick={() => setDrawn(model, [run.id], !drawn)}
      />
      <button
        type="button"
        className="run-line-dot"
        tabIndex={tab}
        aria-label={`Colour of ${run.name}`}
        title="Colour"
        onClick={(event) => actions.color(event.currentTarget, run)}
      >
        <RunDot run={run} />
      </button>
      <a className="run-line-name" href={runHref(run)} onClick={(event) => !event.shiftKey && follow(event)} tabIndex={tab} title={run.name} draggable={false}>
        {run.name}
      </a>
      {chosen && <Icon name="check" size={14} />}
      {base && (
        <span className="run-line-base" title="The baseline">
          <Icon name="pin" size={14} />
          <span className="visually-hidden">Baseline</span>
        </span>
      )}
      {run.archived && (
        <span title="Archived">
          <Icon name="archive" size={14} />
          <span className="visually-hidden">Archived</span>
        </span>
      )}
      {told && <span className="run-line-told num">{told}</span>}
      <StatusBadge status={run.status} compact />
      <span className="run-line-more">
        <IconButton icon="more" label={`More for ${run.name}`} tabIndex={tab} aria-haspopup="menu" onClick={(event) => actions.menu(event.currentTarget, run)} />
      </span>
    </div>
  );
});

interface GroupLineProps {
  group: RunGroup;
  open: boolean;
  model: ProjectModel;
  top: number;
  height: number;
}

function GroupLine({ group, open, model, top, height }: GroupLineProps) {
  const ids = group.runs.map((run) => run.id);
  const drawn = ids.filter((id) => model.drawnIds.has(id)).length;
  return (
    <div role="listitem" className="run-group" style={{ transform: `translateY(${top}px)`, height }}>
      <IconButton
        icon={drawn ? "eye" : "eye-off"}
        label={drawn ? `Hide the runs of ${group.name}` : `Draw the runs of ${group.name}`}
        pressed={drawn > 0}
        onClick={() => setDrawn(model, ids, drawn === 0)}
      />
      <button type="button" className="run-group-name" aria-expanded={open} onClick={() => toggleGroup(model, group)} title={group.name}>
        <Icon name={open ? "chevron-down" : "chevron-right"} size={14} />
        <span>{group.name}</span>
      </button>
      <span className="num soft" title={`${drawn} of ${ids.length} drawn`}>
        {drawn ? `${count(drawn)}/` : ""}
        {count(ids.length)}
      </span>
    </div>
  );
}
