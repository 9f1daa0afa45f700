// The table's columns as geometry: widths, places, the drag that changes them. Rows are not its matter: the list has ordered and grouped them.
import { columnResizingFeature, columnSizingFeature, tableFeatures, useTable, type ColumnDef, type ColumnSizingState, type Header } from "@tanstack/react-table";
import { useEffect, useMemo, useRef, useState } from "react";
import type { RunRow } from "../model/table";
import { setView } from "../state/view";
import { useDebounced } from "../ui";
import { NAME, type TableColumn } from "./columns";

const features = tableFeatures({ columnSizingFeature, columnResizingFeature });
type Features = typeof features;
export type GridHeader = Header<Features, RunRow, unknown>;

const NO_ROWS: RunRow[] = [];
const LEAST = 56;
const MOST = 1200;
const NAME_WIDTH = 300;
const NAME_NARROW = 178;
/** What the difference to the baseline needs beside a number, px. */
const ROOM_FOR_DIFFERENCE = 58;
/** What the word "same" needs beside a heading, px. */
const ROOM_FOR_SAME = 46;
const SETTLED = 400;

export const isSame = (column: TableColumn, differing: ReadonlySet<string> | null): boolean =>
  differing !== null && column.part === "parameters" && !differing.has(column.label);

export interface Grid {
  /** The first is that of the run's name. */
  headers: GridHeader[];
  nameWidth: number;
  /** px, by place among `columns`. */
  sizes: readonly number[];
  resize: (id: string, width: number) => void;
  resizing: boolean;
}

/** `differing`: parameters in which runs differ, where the others are marked as the same in all. */
export function useGrid(columns: readonly TableColumn[], widths: Record<string, number>, narrow: boolean, compares: boolean, differing: ReadonlySet<string> | null): Grid {
  const told = JSON.stringify(widths);
  const [sizing, setSizing] = useState<ColumnSizingState>(widths);
  const sent = useRef(told);
  useEffect(() => {
    if (told === sent.current) return;
    sent.current = told;
    setSizing(JSON.parse(told) as ColumnSizingState);
  }, [told]);
  const settled = useDebounced(sizing, SETTLED);
  useEffect(() => {
    const text = JSON.stringify(settled);
    if (text === sent.current) return;
    sent.current = text;
    setView({ widths: Object.fromEntries(Object.entries(settled).map(([id, px]) => [id, Math.round(px)])) }, { replace: true });
  }, [settled]);

  const defs = useMemo(() => {
    const name: ColumnDef<Features, RunRow> = { id: NAME, size: narrow ? NAME_NARROW : NAME_WIDTH, minSize: 120, maxSize: MOST };
    const rest = columns.map(
      (column): ColumnDef<Features, RunRow> => ({
        id: column.id,
        size: column.width + (compares && column.numeric && column.part !== "run" ? ROOM_FOR_DIFFERENCE : 0) + (isSame(column, differing) ? ROOM_FOR_SAME : 0),
        minSize: LEAST,
        maxSize: MOST,
      }),
    );
    return [name, ...rest];
  }, [columns, narrow, compares, differing]);

  const table = useTable({
    features,
    columns: defs,
    data: NO_ROWS,
    columnResizeMode: "onChange",
    state: { columnSizing: sizing },
    onColumnSizingChange: setSizing,
  });
  const headers = table.getHeaderGroups()[0]?.headers ?? [];
  const sizesText = headers.map((header) => header.getSize()).join(",");
  const sizes = useMemo(() => sizesText.split(",").map(Number), [sizesText]);
  return {
    headers,
    nameWidth: sizes[0] ?? NAME_WIDTH,
    sizes: useMemo(() => sizes.slice(1), [sizes]),
    resize: (id, width) => setSizing((now) => ({ ...now, [id]: Math.min(MOST, Math.max(LEAST, Math.round(width))) })),
    resizing: table.state.columnResizing.isResizingColumn !== false,
  };
}
