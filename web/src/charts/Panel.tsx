// A panel: one series field of all drawn runs, with its name, what is drawn of it, and what can be done with it.
import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Button, Empty, IconButton, Menu, TroubleNote, type MenuItem } from "../ui";
import { captionOf, notesOf } from "./captions";
import { Chart } from "./chart";
import { samples } from "./data/store";
import { LOADING, type ChartStatus, type Drawn } from "./drawn";
import { watchSight } from "./sight";
import { saveChart, type Format } from "./export/save";
import type { PanelOf } from "./panels";
import { listen, type Wishes } from "./pointer";
import { TableDialog } from "./TableDialog";
import "./Panel.css";

export interface PanelActions {
  zoom: (range: [number, number] | null) => void;
  pin: (key: string) => void;
  turnY: (key: string) => void;
  usualY: (key: string) => void;
  full: (key: string | null) => void;
}

export interface PanelProps {
  panel: PanelOf;
  drawn: Drawn;
  pinned: boolean;
  actions: PanelActions;
  /** The field that x should be and that this series lacks. */
  noField: string | null;
  /** It fills the page. */
  full?: boolean;
  /** The chart, for what stands beside it. */
  onChart?: (chart: Chart | null) => void;
}

/** Below this width (px) buttons are in the menu. */
const NARROW = 290;

export const Panel = memo(function Panel({ panel, drawn, pinned, actions, noField, full = false, onChart }: PanelProps) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const [status, setStatus] = useState<ChartStatus>(LOADING);
  const [said, setSaid] = useState("");
  const [label, setLabel] = useState("");
  const [table, setTable] = useState(false);
  const wishes = useRef<Wishes | null>(null);
  wishes.current = {
    zoom: (range) => noField === null && actions.zoom(range),
    reset: () => actions.zoom(null),
    full: () => !full && actions.full(panel.key),
    say: setSaid,
  };

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const made = new Chart(element, { onStatus: setStatus, onLabel: setLabel });
    chart.current = made;
    const forget = watchSight(element, (sight) => (made.inSight = sight));
    const deaf = listen(element, made, () => wishes.current as Wishes);
    return () => {
      forget();
      deaf();
      made.close();
      chart.current = null;
      element.replaceChildren();
    };
  }, []);
  useLayoutEffect(() => chart.current?.draw(drawn), [drawn]);
  useEffect(() => {
    onChart?.(chart.current);
    return () => onChart?.(null);
  }, [onChart, status]);

  const name = panel.field === "value" ? panel.name : `${panel.name} · ${panel.field}`;
  const caption = captionOf(status, drawn.zoom !== null);
  const notes = notesOf(status, { logY: drawn.logY, usual: drawn.usual, noField });
  const save = (format: Format) => {
    if (chart.current) void saveChart(chart.current, name, [caption, ...notes].join(" · "), format);
  };
  const wide = drawn.width >= NARROW;
  const items: MenuItem[] = [
    ...(wide && !full ? [] : [
      { label: "Pin to the top", icon: "pin", checked: pinned, onSelect: () => actions.pin(panel.key) },
      { label: "Logarithmic y axis", checked: drawn.logY, onSelect: () => actions.turnY(panel.key) },
    ] satisfies MenuItem[]),
    { label: "Leave outliers out of sight", checked: drawn.usual, onSelect: () => actions.usualY(panel.key) },
    { label: "Show as table", icon: "table", onSelect: () => setTable(true) },
    { label: "Save as PNG", icon: "download", separatorBefore: true, onSelect: () => save("png") },
    { label: "Save as SVG", icon: "download", onSelect: () => save("svg") },
    { label: "Save as CSV", icon: "download", onSelect: () => save("csv") },
  ];

  return (
    <section className={`panel${full ? " full" : ""}`} aria-label={name}>
      <header className="panel-head">
        <h3 title={name}>{full ? name : panel.title}</h3>
        <span className="panel-tools">
          {drawn.zoom && noField === null && <Button size="small" kind="quiet" onClick={() => actions.zoom(null)} title="Show everything again (double click, Escape)">Reset zoom</Button>}
          {wide && !full && (
            <>
              <IconButton icon="pin" label={pinned ? "Unpin" : "Pin to the top"} size={14} pressed={pinned} onClick={() => actions.pin(panel.key)} />
              <Button size="small" kind="quiet" aria-pressed={drawn.logY} title="Logarithmic y axis" onClick={() => actions.turnY(panel.key)}>log</Button>
            </>
          )}
          <IconButton icon={full ? "shrink" : "expand"} size={14} label={full ? "Back to all charts (Escape)" : "Fill the page"} onClick={() => actions.full(full ? null : panel.key)} />
          <Menu label={`More for ${name}`} items={items} trigger={(props) => <IconButton {...props} icon="more" size={14} label="More" />} />
        </span>
        <p className="panel-caption num" title={[caption, ...notes].join("\n")}>
          {notes.length > 0 && <span className="panel-warn">{notes.join(" · ")} · </span>}
          {caption}
        </p>
      </header>
      <div className="panel-plot" style={{ height: drawn.height }}>
        <div ref={host} className="chart" role="img" aria-label={label || `Chart of ${name}`} aria-busy={status.waiting} tabIndex={0} style={{ height: drawn.height }} />
        {status.state === "loading" && <div className="panel-loading" />}
        {status.state === "empty" && <div className="panel-note"><Empty title="No points here" text={drawn.runs.length ? "None of the drawn runs has numbers in this series yet." : "No run is drawn. Choose some in the list with their eye."} /></div>}
        {status.state === "trouble" && <div className="panel-note"><TroubleNote error={status.trouble} what="this chart" retry={() => samples.retry()} /></div>}
        {status.state === "ready" && status.waiting && <span className="panel-waits" role="status" aria-label="Loading more" />}
      </div>
      <span className="visually-hidden" aria-live="polite">{said}</span>
      {table && chart.current && <TableDialog chart={chart.current} title={name} caption={caption} onClose={() => setTable(false)} onSave={() => save("csv")} />}
    </section>
  );
});
