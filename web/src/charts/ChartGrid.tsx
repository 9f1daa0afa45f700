// The panels of some runs: one a series field, grouped by prefix, each made when it comes near the window and drawn when its data come.
import { useEffect, useMemo, useRef } from "react";
import type { SeriesName } from "../api/types";
import type { RunRow } from "../model/table";
import { setView, useView, type View } from "../state/view";
import { Button, Empty, Icon, useDebounced, useWidth } from "../ui";
import { ACTIONS, fold } from "./actions";
import type { Drawn, DrawnRun } from "./drawn";
import type { Ink } from "./draw/pen";
import { FullPanel } from "./FullPanel";
import { GAP, heightOf, rowsIn, rowsOf, SIDES, sizeOf } from "./layout";
import { Panel } from "./Panel";
import { groupsOf, matching, panelsOf, PINNED, type PanelOf } from "./panels";
import { Toolbar } from "./Toolbar";
import { useDrawnRuns } from "./useDrawnRuns";
import { useInk } from "./useInk";
import { useWindow } from "./useWindow";
import "./ChartGrid.css";

export interface ChartGridProps {
  /** The runs that are drawn, in the order of the list. */
  runs: readonly RunRow[];
  /** The series that any of them may have. */
  series: readonly SeriesName[];
  /** How runs are grouped, for means and spreads: run → the name of its group; null where they are not. */
  groupOf: ((run: RunRow) => string) | null;
  baseline: string | null;
}

/** Smoothing follows the slider; only what is still for this long (ms) is drawn. */
const SLIDER_PAUSE = 30;

/** How a panel is drawn: what the view says, unless the panel differs. */
export function drawnOf(panel: PanelOf, view: View, smoothing: number, runs: readonly DrawnRun[], ink: Ink, width: number, height: number, aPixel = 1): { drawn: Drawn; noField: string | null } {
  const field = view.x.by === "field" ? view.x.field : null;
  const noField = field !== null && !panel.fields.includes(field) ? field : null;
  return {
    noField,
    drawn: {
      panel: { kind: panel.kind, name: panel.name, field: panel.field },
      points: panel.points,
      runs,
      x: noField === null ? view.x : { by: "index" },
      zoom: noField === null ? view.zoom : null,
      logX: view.logX,
      logY: view.logY !== view.turnedY.includes(panel.key),
      usual: view.usualY.includes(panel.key),
      smoothing: { strength: smoothing, by: view.smoothingBy },
      width,
      height,
      aPixel,
      ink,
    },
  };
}

/** The same object for the same panel as long as nothing about it changes, so that only panels that change are drawn anew. */
function useDrawn(view: View, smoothing: number, runs: readonly DrawnRun[], ink: Ink, width: number, height: number) {
  const { x, zoom, logX, logY, turnedY, usualY, smoothingBy } = view;
  const key = JSON.stringify([x, zoom, logX, logY, turnedY, usualY, smoothingBy]);
  return useMemo(() => {
    const known = new Map<string, ReturnType<typeof drawnOf>>();
    return (panel: PanelOf) => {
      const found = known.get(panel.key) ?? drawnOf(panel, view, smoothing, runs, ink, width, height);
      known.set(panel.key, found);
      return found;
    };
    // `key` stands for the parts of `view` that are drawn.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [key, smoothing, runs, ink, width, height]);
}

export function ChartGrid({ runs, series, groupOf, baseline }: ChartGridProps) {
  const view = useView();
  const ink = useInk();
  const drawnRuns = useDrawnRuns(runs, view.mean ? groupOf : null, baseline);
  const area = useRef<HTMLDivElement>(null);
  const width = useWidth(area);
  const part = useWindow(area);
  const smoothing = useDebounced(view.smoothing, SLIDER_PAUSE);
  const panels = useMemo(() => panelsOf(series), [series]);
  const found = useMemo(() => matching(panels, view.panels), [panels, view.panels]);
  const pinKey = view.pinned.join("\n");
  const groups = useMemo(() => groupsOf(found, pinKey ? pinKey.split("\n") : []), [found, pinKey]);
  const counts = useMemo(() => groupsOf(panels, []).map((group) => group.panels.length), [panels]);
  const size = useMemo(() => sizeOf(width || 1, view.panelSize, counts), [width, view.panelSize, counts]);
  const foldKey = view.folded.join("\n");
  const rows = useMemo(() => rowsOf(groups, size, foldKey.split("\n"), view.panels !== ""), [groups, size, foldKey, view.panels]);
  const drawn = useDrawn(view, smoothing, drawnRuns, ink, size.width - SIDES, size.plot);
  const full = view.full ? panels.find((panel) => panel.key === view.full) : undefined;

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement | null;
      const elsewhere = target?.closest("input, textarea, select, dialog, [popover]");
      if (event.key === "Escape" && !event.defaultPrevented && !elsewhere) ACTIONS.zoom(null);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  return (
    <div className="charts">
      <Toolbar view={view} series={series} panels={panels.length} found={found.length} grouped={groupOf !== null} />
      <div ref={area} className="charts-area" style={{ height: heightOf(rows) }}>
        {width > 0 &&
          rowsIn(rows, part[0], part[1]).map((row) =>
            row.kind === "group" ? (
              <h2 key={row.key} className="charts-group" style={{ top: row.top, left: row.left, width: row.width, height: row.height }}>
                <button type="button" aria-expanded={row.open} onClick={() => fold(row.group.name)}>
                  <Icon name={row.open ? "chevron-down" : "chevron-right"} size={14} />
                  {row.group.name === PINNED && <Icon name="pin" size={14} />}
                  {row.group.title} <span className="charts-count num">{row.group.panels.length}</span>
                </button>
              </h2>
            ) : (
              <div key={row.key} className="charts-row" style={{ top: row.top, left: row.left, gap: GAP, gridAutoColumns: size.width }}>
                {row.panels.map((panel) => (
                  <Panel key={panel.key} panel={panel} {...drawn(panel)} pinned={view.pinned.includes(panel.key)} actions={ACTIONS} />
                ))}
              </div>
            ),
          )}
      </div>
      {panels.length > 0 && found.length === 0 && (
        <Empty icon="search" title="No chart has this in its name" text={`${panels.length} charts are there.`}>
          <Button onClick={() => setView({ panels: "" })}>Show all charts</Button>
        </Empty>
      )}
      {panels.length === 0 && <Empty icon="chart" title="No numbers yet" text="A chart appears here with the first point of a series." />}
      {full && <FullPanel panel={full} view={view} runs={drawnRuns} ink={ink} smoothing={smoothing} panels={found} />}
    </div>
  );
}
