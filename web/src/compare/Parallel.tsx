// Parallel coordinates: an axis a parameter or result, a line a run, coloured by the last axis; a drag along an axis chooses runs.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useInk } from "../charts/useInk";
import { valueAt, type Scale } from "../charts/draw/scale";
import { count } from "../model/format";
import type { RunRow, RunTable } from "../model/table";
import { runHref } from "../runs/places";
import { navigate } from "../state/url";
import { Button, Icon, Menu, Skeleton, useWidth } from "../ui";
import { drawRuns } from "./drawRuns";
import { axisAt, planOf, runAt, within } from "./parallel";
import { paintAxes, paintRun, paintRuns } from "./paint_parallel";
import { Picker } from "./Picker";
import { axisOf, isLog, shareOf, type Quantity } from "./quantity";
import { RunTip } from "./RunTip";
import { Surface } from "./Surface";
import { useRest } from "./useRest";
import { useQuantities, usualParams, usualResult, type Choice } from "./useQuantities";
import { viridis } from "./viridis";
import { setCompare, turned, type Brush, type CompareView } from "./words";

export interface CompareRoomProps {
  table: RunTable;
  runs: readonly RunRow[];
  view: CompareView;
  choices: readonly Choice[];
  labels: ReadonlyMap<string, string>;
}

const MOST_USUAL = 6;
/** px that an axis needs: more of them scroll. */
const LEAST_GAP = 120;

export function Parallel({ table, runs, view, choices, labels }: CompareRoomProps) {
  const ink = useInk();
  const box = useRef<HTMLDivElement>(null);
  const height = useRest(box);
  const room = useWidth(box);
  const references = useMemo(() => {
    if (view.axes.length) return view.axes;
    const result = usualResult(table);
    return [...usualParams(table, runs).slice(0, MOST_USUAL), ...(result ? [result] : [])].map(({ reference }) => reference);
  }, [table, runs, view.axes.join("\n")]);
  const quantities = useQuantities(table, runs, references, labels);
  const logKey = view.logs.join("\n");
  const axes = useMemo(() => quantities.map((quantity) => axisOf(quantity, isLog(quantity, logKey.split("\n").includes(quantity.reference)))), [quantities, logKey]);
  const width = Math.max(room, axes.length * LEAST_GAP);
  const plan = useMemo(() => planOf(axes, runs.length, width, height), [axes, runs.length, width, height]);
  const [brushes, setBrushes] = useState<readonly Brush[]>(view.brushes);
  const brushKey = JSON.stringify(view.brushes);
  useEffect(() => setBrushes(JSON.parse(brushKey) as Brush[]), [brushKey]);
  const chosen = useMemo(() => within(axes, brushes, runs.length), [axes, brushes, runs.length]);
  const left = useMemo(() => chosen.reduce((sum, one) => sum + one, 0), [chosen]);
  const [hover, setHover] = useState<{ run: number; x: number; y: number } | null>(null);
  const drag = useRef<{ axis: number; from: number; moved: boolean } | null>(null);
  const [onAxis, setOnAxis] = useState(false);
  const accent = useMemo(() => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim(), [ink]);

  const draw = useCallback((pen: CanvasRenderingContext2D) => {
    paintRuns(pen, plan, chosen, ink);
    paintAxes(pen, plan, brushes, ink, accent);
  }, [plan, chosen, brushes, ink, accent]);
  const shown = hover?.run ?? -1;
  const above = useMemo(() => {
    if (shown < 0) return null;
    const last = axes.at(-1);
    return (pen: CanvasRenderingContext2D) => paintRun(pen, plan, shown, viridis(last ? shareOf(last, shown) : NaN, ink.dark, ink.soft), ink);
  }, [shown, plan, axes, ink]);

  const brushed = (axis: number, from: number, to: number): Brush[] => {
    const { quantity } = axes[axis] as (typeof axes)[number];
    const scale = plan.scales[axis] as Scale;
    const ends = [from, to].map((y) => valueAt(scale, Math.max(plan.top, Math.min(plan.bottom, y)))) as [number, number];
    const others = brushes.filter(({ reference }) => reference !== quantity.reference);
    return [...others, { reference: quantity.reference, from: Math.min(...ends), to: Math.max(...ends) }];
  };
  const onPointer = (kind: "down" | "move" | "up" | "leave" | "cancel", x: number, y: number) => {
    const held = drag.current;
    if (kind === "cancel") {
      drag.current = null;
      setBrushes(view.brushes);
      return setHover(null);
    }
    if (kind === "leave") return setHover(null);
    if (kind === "down") {
      const axis = axisAt(plan, x, y);
      if (axis >= 0) {
        drag.current = { axis, from: y, moved: false };
        setHover(null);
      }
      return;
    }
    if (kind === "move" && held) {
      held.moved ||= Math.abs(y - held.from) > 3;
      if (held.moved) setBrushes(brushed(held.axis, held.from, y));
      return;
    }
    if (kind === "move") {
      const run = runAt(plan, chosen, x, y, 8);
      setOnAxis(axisAt(plan, x, y) >= 0);
      return setHover(run < 0 ? null : { run, x, y });
    }
    drag.current = null;
    if (held) {
      const { quantity } = axes[held.axis] as (typeof axes)[number];
      return setCompare({ brushes: held.moved ? brushed(held.axis, held.from, y) : brushes.filter(({ reference }) => reference !== quantity.reference) });
    }
    const run = runs[hover?.run ?? -1];
    if (run) navigate(runHref(run));
  };
  const move = (at: number, by: number) => {
    const next = [...references];
    const [one] = next.splice(at, 1);
    if (one) next.splice(Math.max(0, Math.min(next.length, at + by)), 0, one);
    setCompare({ axes: next });
  };
  const pointed = runs[shown];
  const label = `Parallel coordinates of ${runs.length} runs over ${axes.map(({ quantity }) => quantity.label).join(", ")}; ${left} chosen`;

  return (
    <>
      <div className="compare-bar">
        <Picker label="Add an axis" shown="Axes" choices={choices} chosen={references} onChoose={(reference) => setCompare({ axes: turned(references, reference), brushes: view.brushes.filter((brush) => brush.reference !== reference) })} />
        {view.axes.length > 0 && <Button kind="quiet" onClick={() => setCompare({ axes: [], brushes: [] })}>Usual axes</Button>}
        {brushes.length > 0 ? (
          <>
            <span className="num">{count(left)} of {count(runs.length)} chosen</span>
            <Button kind="primary" disabled={left === 0} onClick={() => drawRuns(runs.filter((_, i) => chosen[i]))}>Draw these</Button>
            <Button kind="quiet" onClick={() => setCompare({ brushes: [] })}>Clear</Button>
          </>
        ) : (
          <span className="soft">Drag along an axis to choose runs; click a line to open its run.</span>
        )}
        {quantities.some(({ waiting }) => waiting) && <span className="soft" role="status">loading results …</span>}
      </div>
      <div ref={box} className="compare-room">
        {room > 0 && axes.length > 0 && (
          <div className="compare-surface" style={{ width, height }}>
            <Surface {...{ label, width, height, draw, above, onPointer }} cursor={onAxis ? "ns-resize" : pointed ? "pointer" : "default"} />
            {axes.map(({ quantity, log }, i) => (
              <div key={quantity.reference} className="axis-head" style={{ left: plan.at[i], "--room": `${Math.max(90, (plan.at[1] ?? 300) - (plan.at[0] ?? 0) - 36)}px` } as React.CSSProperties}>
                <AxisMenu {...{ quantity, log, move, first: i === 0, last: i === axes.length - 1, at: i }} remove={() => setCompare({ axes: references.filter((one) => one !== quantity.reference) })} turn={() => setCompare({ logs: turned(view.logs, quantity.reference) })} />
              </div>
            ))}
            {pointed && hover && <RunTip run={pointed} at={hover.run} quantities={quantities} x={hover.x} y={hover.y} width={width} />}
          </div>
        )}
        {axes.length === 0 && <Skeleton height={height} />}
      </div>
    </>
  );
}

interface AxisMenuProps {
  quantity: Quantity;
  log: boolean;
  at: number;
  first: boolean;
  last: boolean;
  move: (at: number, by: number) => void;
  remove: () => void;
  turn: () => void;
}

function AxisMenu({ quantity, log, at, first, last, move, remove, turn }: AxisMenuProps) {
  return (
    <Menu
      label={`Axis ${quantity.label}`}
      trigger={(props) => (
        <Button {...props} kind="quiet" size="small" title={quantity.label}>
          <span className="axis-name">{quantity.label}</span><Icon name="chevron-down" size={12} />
        </Button>
      )}
      items={[
        { label: "Logarithmic", checked: log, disabled: !quantity.numeric, onSelect: turn },
        { label: "Move left", disabled: first, onSelect: () => move(at, -1), separatorBefore: true },
        { label: "Move right", disabled: last, onSelect: () => move(at, 1) },
        { label: "Colour by this", disabled: last, onSelect: () => move(at, 1000) },
        { label: "Remove", icon: "close", separatorBefore: true, onSelect: remove },
      ]}
    />
  );
}
