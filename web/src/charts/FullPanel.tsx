// One panel over the whole page, sampled more finely, with what each line ends at and reaches.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { setView, type View } from "../state/view";
import { IconButton, useWidth } from "../ui";
import { ACTIONS } from "./actions";
import type { Chart } from "./chart";
import { drawnOf } from "./ChartGrid";
import type { DrawnRun } from "./drawn";
import type { Ink } from "./draw/pen";
import { Legend } from "./Legend";
import { Panel } from "./Panel";
import type { PanelOf } from "./panels";

export interface FullPanelProps {
  panel: PanelOf;
  view: View;
  runs: readonly DrawnRun[];
  ink: Ink;
  smoothing: number;
  /** Those that one may go on to. */
  panels: readonly PanelOf[];
}

const BUCKETS_A_PIXEL = 2;
/** px beside and above the plot: padding of page and panel, heads. */
const AROUND = 130;
const SIDES = 46;
const LEGEND = 380;
const NARROW = 900;

export function FullPanel({ panel, view, runs, ink, smoothing, panels }: FullPanelProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [chart, setChart] = useState<Chart | null>(null);
  const [height, setHeight] = useState(window.innerHeight);
  const whole = useWidth(dialog) || window.innerWidth;
  const narrow = whole < NARROW;
  const width = Math.max(200, whole - SIDES - (narrow ? 0 : LEGEND));
  const tall = Math.max(200, narrow ? height * 0.5 : height - AROUND);
  const key = JSON.stringify([view.x, view.zoom, view.logX, view.logY, view.turnedY, view.usualY, view.smoothingBy]);
  const made = useMemo(
    () => drawnOf(panel, view, smoothing, runs, ink, width, tall, BUCKETS_A_PIXEL),
    // `key` stands for the parts of `view` that are drawn.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [panel, key, smoothing, runs, ink, width, tall],
  );
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    const resized = () => setHeight(window.innerHeight);
    window.addEventListener("resize", resized);
    return () => {
      window.removeEventListener("resize", resized);
      element?.close();
    };
  }, []);
  const onChart = useCallback((made: Chart | null) => setChart(made), []);
  const at = panels.findIndex((one) => one.key === panel.key);
  const go = (by: number) => {
    const next = panels[(at + by + panels.length) % panels.length];
    if (next) setView({ full: next.key }, { replace: true });
  };

  return (
    <dialog
      ref={dialog}
      className="full-panel"
      aria-label={panel.name}
      onCancel={(event) => {
        event.preventDefault();
        if (view.zoom) ACTIONS.zoom(null);
        else ACTIONS.full(null);
      }}
      // A browser may close it all the same: without a click before, Escape is not to be held up.
      onClose={() => !dialog.current?.open && ACTIONS.full(null)}
    >
      <div className="full-main">
        <Panel key={panel.key} panel={panel} drawn={made.drawn} noField={made.noField} pinned={view.pinned.includes(panel.key)} actions={ACTIONS} full onChart={onChart} />
        {panels.length > 1 && at >= 0 && (
          <nav className="full-nav" aria-label="Other charts">
            <IconButton icon="chevron-left" label="The chart before" onClick={() => go(-1)} />
            <span className="soft num">{at + 1} of {panels.length}</span>
            <IconButton icon="chevron-right" label="The next chart" onClick={() => go(1)} />
          </nav>
        )}
      </div>
      <Legend panel={panel} runs={runs} chart={chart} />
    </dialog>
  );
}
