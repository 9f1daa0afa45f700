// What holds for all panels: which are shown, what x is, scales, smoothing, their size.
import { useEffect, useState } from "react";
import type { SeriesName } from "../api/types";
import { count } from "../model/format";
import { setView, xText, type View } from "../state/view";
import { Button, IconButton, Popover, Segmented, Select, Switch, TextInput, useDebounced, useMedia } from "../ui";
import { axisFields } from "./panels";
import { ACTIONS } from "./actions";
import { axisName, placeText } from "./said";

export interface ToolbarProps {
  view: View;
  series: readonly SeriesName[];
  panels: number;
  found: number;
  grouped: boolean;
}

export function Toolbar({ view, series, panels, found, grouped }: ToolbarProps) {
  const narrow = useMedia("(max-width: 900px)");
  const axes = <Axes view={view} series={series} grouped={grouped} />;
  return (
    <div className="charts-bar" role="toolbar" aria-label="Charts">
      <PanelSearch view={view} panels={panels} found={found} />
      {narrow ? (
        <Popover label="Axes and smoothing" trigger={(props) => <IconButton {...props} icon="settings" label="Axes and smoothing" />}>
          {() => <div className="charts-form">{axes}</div>}
        </Popover>
      ) : (
        axes
      )}
      {view.zoom && (
        <Button
          kind="primary"
          size="small"
          onClick={() => ACTIONS.zoom(null)}
          title={`In sight: ${axisName(view.x)} ${placeText(view.x, view.zoom[0])} – ${placeText(view.x, view.zoom[1])}. Show everything again: here, by Escape, or by a double click on a chart.`}
        >
          Reset zoom
        </Button>
      )}
    </div>
  );
}

function PanelSearch({ view, panels, found }: Pick<ToolbarProps, "view" | "panels" | "found">) {
  const [text, setText] = useState(view.panels);
  const settled = useDebounced(text, 120);
  useEffect(() => {
    if (settled !== view.panels) setView({ panels: settled }, { replace: true });
    // Only what was typed goes into the address; what came from there goes the other way, below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settled]);
  useEffect(() => setText(view.panels), [view.panels]);
  return (
    <div className="charts-search">
      <TextInput value={text} onChange={setText} label="Find charts" placeholder={`Find among ${count(panels)} charts`} icon="search" clearable />
      {view.panels && <span className="soft num" role="status">{count(found)} found</span>}
    </div>
  );
}

function Axes({ view, series, grouped }: Pick<ToolbarProps, "view" | "series" | "grouped">) {
  const fields = axisFields(series).map(({ field, series: number }) => ({ value: `field:${field}`, label: `${field} (${count(number)} series)` }));
  const chosen = xText(view.x);
  const options = [
    { value: "index", label: "Index" },
    ...fields,
    { value: "relative", label: "Time since the start" },
    { value: "time", label: "Wall time" },
  ];
  if (!options.some(({ value }) => value === chosen)) options.push({ value: chosen, label: chosen.replace(/^field:/, "") });
  return (
    <>
      <label className="charts-field">
        <span>x</span>
        <Select
          label="x axis"
          value={chosen}
          options={options}
          onChange={(value) => setView({ x: value.startsWith("field:") ? { by: "field", field: value.slice(6) } : { by: value as "index" }, zoom: null })}
        />
      </label>
      <div className="charts-logs">
        <Button size="small" aria-pressed={view.logX} title="Logarithmic x axis" onClick={() => setView({ logX: !view.logX, zoom: null })}>log x</Button>
        <Button size="small" aria-pressed={view.logY} title="Logarithmic y axis" onClick={() => setView({ logY: !view.logY, turnedY: [] })}>log y</Button>
      </div>
      <Smoothing view={view} />
      <Segmented
        label="Size of charts"
        value={view.panelSize}
        onChange={(panelSize) => setView({ panelSize })}
        options={[{ value: "small", label: "S", title: "Small charts" }, { value: "medium", label: "M", title: "Medium charts" }, { value: "large", label: "L", title: "Large charts" }]}
      />
      {grouped && <Switch label="Mean ± std of groups" checked={view.mean} onChange={(mean) => setView({ mean })} />}
    </>
  );
}

function Smoothing({ view }: { view: View }) {
  return (
    <div className="charts-field smoothing">
      <label>
        <span>Smoothing</span>
        <input
          type="range"
          min={0}
          max={0.995}
          step={0.005}
          // Near 1 little changes much: the slider gives it more room.
          value={Math.sqrt(view.smoothing)}
          aria-valuetext={view.smoothing ? view.smoothing.toFixed(3) : "off"}
          onChange={(event) => setView({ smoothing: Math.round(Number(event.target.value) ** 2 * 1000) / 1000 }, { replace: true })}
        />
        <output className="num">{view.smoothing ? view.smoothing.toFixed(view.smoothing >= 0.9 ? 3 : 2) : "off"}</output>
      </label>
      {view.smoothing > 0 && (
        <Select
          label="What smoothing goes by"
          value={view.smoothingBy}
          options={[{ value: "exponential", label: "by points" }, { value: "time", label: "by distance on x" }]}
          onChange={(by) => setView({ smoothingBy: by as View["smoothingBy"] })}
        />
      )}
    </div>
  );
}
