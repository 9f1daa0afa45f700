// The table itself: rows and columns that are in sight, a head that stays above and a first column that stays at the left.
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useState, type RefObject } from "react";
import { useMedia } from "../ui";
import type { Chosen } from "./chosen";
import type { TableColumn } from "./columns";
import { GroupRow } from "./GroupRow";
import { isSame, useGrid } from "./grid";
import { needs } from "./references";
import { TableHead } from "./TableHead";
import { TableRow } from "./TableRow";
import type { ProjectModel } from "./useProject";
import "./TableGrid.css";

const LINE = 34;
const LINE_COARSE = 44;
/** Runs whose aggregates are asked for together. */
const PAGE = 100;

/** A column that is in sight, and where. */
export interface PlacedColumn {
  column: TableColumn;
  /** Its place among all, from 0. */
  at: number;
  left: number;
  width: number;
  /** It is a parameter in which no runs differ, and that is to be seen. */
  same: boolean;
}

export interface TableGridProps {
  model: ProjectModel;
  chosen: Chosen;
  cursor: string | null;
  setCursor: (id: string) => void;
  /** Parameters in which the runs differ, by name; null where that is not to be marked. */
  differing: ReadonlySet<string> | null;
}

export function TableGrid({ model, chosen, cursor, setCursor, differing }: TableGridProps) {
  const { lines, columns } = model;
  const box = useRef<HTMLDivElement>(null);
  const narrow = useMedia("(max-width: 760px)");
  const height = useMedia("(pointer: coarse)") ? LINE_COARSE : LINE;
  const grid = useGrid(columns, model.view.widths, narrow, model.baseline !== null, differing);
  const { nameWidth, sizes } = grid;

  const across = useVirtualizer({
    horizontal: true,
    count: columns.length,
    getScrollElement: () => box.current,
    estimateSize: (i) => sizes[i] ?? 100,
    paddingStart: nameWidth,
    overscan: 2,
  });
  useEffect(() => across.measure(), [across, sizes, nameWidth]);

  const inSight = across.getVirtualItems();
  const placedText = inSight.map((item) => `${item.index}:${item.start}`).join(" ");
  const placed = useMemo(
    () =>
      inSight.flatMap((item): PlacedColumn[] => {
        const column = columns[item.index];
        if (!column) return [];
        return [{ column, at: item.index, left: item.start, width: sizes[item.index] ?? item.size, same: isSame(column, differing) }];
      }),
    [placedText, columns, sizes, differing],
  );

  const width = across.getTotalSize();
  return (
    <div
      className={`grid${grid.resizing ? " resizing" : ""}`}
      ref={box}
      tabIndex={-1}
      style={{ scrollPadding: `${height}px 0 0 ${nameWidth}px` }}
      onScroll={(event) => {
        // Cells that stick cost a layer each: they only stick where there is something to pass under them.
        const { dataset, scrollLeft } = event.currentTarget;
        const aside = scrollLeft > 0 ? "1" : "";
        if (dataset["aside"] !== aside) dataset["aside"] = aside;
      }}
    >
      <div role="table" aria-label="Runs" aria-rowcount={lines.length + 1} aria-colcount={columns.length + 1} style={{ width, height: (lines.length + 1) * height }}>
        <TableHead model={model} chosen={chosen} grid={grid} placed={placed} height={height} width={width} />
        <Rows model={model} chosen={chosen} cursor={cursor} setCursor={setCursor} box={box} placed={placed} height={height} width={width} nameWidth={nameWidth} />
      </div>
    </div>
  );
}

/** Rows that a table shows on any screen: it begins at its top where the cursor is among them, else with half of them above the cursor. */
const SEEN = 8;

interface RowsProps extends Omit<TableGridProps, "differing"> {
  box: RefObject<HTMLDivElement | null>;
  placed: readonly PlacedColumn[];
  height: number;
  width: number;
  nameWidth: number;
}

/** The rows by themselves, so that scrolling draws nothing else. */
const Rows = memo(function Rows({ model, chosen, cursor, setCursor, box, placed, height, width, nameWidth }: RowsProps) {
  const { lines, summaries, baseline, view } = model;
  const [begin] = useState(() => {
    const at = lines.findIndex((line) => "run" in line && line.run.id === cursor);
    return at < SEEN ? 0 : (at - SEEN / 2) * height;
  });
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 6,
    scrollPaddingStart: height,
    initialOffset: begin,
  });
  useEffect(() => rows.measure(), [rows, height]);

  useEffect(() => {
    if (!cursor) return;
    const at = lines.findIndex((line) => "run" in line && line.run.id === cursor);
    if (at >= 0) rows.scrollToIndex(at, { align: "auto" });
    // Only when the cursor moves: rows that change under it must not jump.
  }, [cursor, rows]);

  // Another order or other runs begin at the top.
  const arranged = `${model.view.sort} ${model.view.group} ${model.view.filter} ${model.view.search}`;
  const before = useRef(arranged);
  useEffect(() => {
    if (before.current !== arranged) box.current?.scrollTo({ top: 0 });
    before.current = arranged;
  }, [arranged, box]);

  const items = rows.getVirtualItems();
  const from = Math.floor((items[0]?.index ?? 0) / PAGE) * PAGE;
  const to = Math.ceil(((items.at(-1)?.index ?? 0) + 1) / PAGE) * PAGE;
  const aggregates = placed.filter(({ column }) => needs(column.id) === "summary").map(({ column }) => column.id).join("\n");
  useEffect(() => {
    if (!aggregates) return;
    const runs = lines.slice(from, to).flatMap((line) => ("run" in line ? [line.run.id] : line.group.runs.map((run) => run.id)));
    summaries.want(runs, aggregates.split("\n"));
  }, [lines, from, to, aggregates, summaries, model.source]);

  const first = lines.find((line) => "run" in line);
  const focused = cursor ?? (first && "run" in first ? first.run.id : null);
  return (
    <div role="rowgroup" className="grid-body">
      {items.map((item) => {
        const line = lines[item.index];
        if (!line) return null;
        if ("group" in line) {
          return (
            <GroupRow key={`group ${line.group.name}`} model={model} chosen={chosen} line={line} index={item.index} top={item.start} height={height} placed={placed} nameWidth={nameWidth} width={width} />
          );
        }
        const { run } = line;
        return (
          <TableRow
            key={run.id}
            run={run}
            index={item.index}
            top={item.start}
            height={height}
            width={width}
            nameWidth={nameWidth}
            placed={placed}
            now={model.now}
            drawn={model.drawnIds.has(run.id)}
            chosen={chosen.ids.has(run.id)}
            focused={focused === run.id}
            cursor={cursor === run.id}
            baseline={baseline}
            marks={view.differences}
            model={model}
            choose={chosen.toggle}
            setCursor={setCursor}
          />
        );
      })}
    </div>
  );
});
