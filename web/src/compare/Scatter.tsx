// Scatter: a point a run, by any two parameters or results, coloured by a third.
import { useCallback, useMemo, useRef, useState } from "react";
import { font } from "../charts/draw/pen";
import { px } from "../charts/draw/scale";
import { useInk } from "../charts/useInk";
import { count } from "../model/format";
import { colorOf, useColors } from "../model/colors";
import { runHref } from "../runs/places";
import { navigate } from "../state/url";
import { useTheme } from "../state/theme";
import { Button, Skeleton, useWidth } from "../ui";
import { drawRuns } from "./drawRuns";
import type { CompareRoomProps } from "./Parallel";
import { Picker } from "./Picker";
import { axisOf, axisScale, axisTicks, endText, isLog, knownText, placeOf, shareOf, type Axis } from "./quantity";
import { RunTip } from "./RunTip";
import { Surface } from "./Surface";
import { useRest } from "./useRest";
import { useQuantities, usualParams, usualResult } from "./useQuantities";
import { viridis } from "./viridis";
import { setCompare, turned } from "./words";

/** px left of the plot: for numbers, and for names. */
const LEFT = { number: 58, name: 120 };
const REACH = 14;

interface Box { x: number; y: number; width: number; height: number }

export function Scatter({ table, runs, view, choices, labels }: CompareRoomProps) {
  const ink = useInk();
  const theme = useTheme();
  const colors = useColors();
  const box = useRef<HTMLDivElement>(null);
  const height = useRest(box);
  const width = useWidth(box);
  const usual = useMemo(() => ({ x: usualParams(table, runs)[0]?.reference ?? "duration", y: usualResult(table)?.reference ?? "duration" }), [table, runs]);
  const references = useMemo(() => [view.x || usual.x, view.y || usual.y, ...(view.color ? [view.color] : [])], [view.x, view.y, view.color, usual]);
  const quantities = useQuantities(table, runs, references, labels);
  const logKey = view.logs.join("\n");
  const [x, y, hue] = useMemo(() => quantities.map((quantity) => axisOf(quantity, isLog(quantity, logKey.split("\n").includes(quantity.reference)))), [quantities, logKey]);
  const [hover, setHover] = useState<{ run: number; x: number; y: number } | null>(null);
  const [drag, setDrag] = useState<Box | null>(null);
  const [kept, setKept] = useState<Box | null>(null);
  const began = useRef<{ x: number; y: number } | null>(null);

  const left = y?.quantity.numeric ? LEFT.number : LEFT.name;
  const plan = useMemo(() => {
    if (!x || !y || width < 100) return null;
    const sx = axisScale(x, left, width - 24);
    const sy = axisScale(y, height - 44, 14);
    const points = runs.map((run, i) => {
      const color = hue ? viridis(shareOf(hue, i), ink.dark, ink.soft) : colorOf(run)[theme];
      return { x: px(sx, placeOf(x, i)) + spread(x, i), y: px(sy, placeOf(y, i)) + spread(y, i + 7), color };
    });
    return { sx, sy, points };
    // `colors` stands for what `colorOf` reads.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [x, y, hue, left, width, height, runs, ink, theme, colors]);
  const inside = useCallback((area: Box | null) => (area && plan ? runs.filter((_, i) => {
    const point = plan.points[i];
    return point && point.x >= area.x && point.x <= area.x + area.width && point.y >= area.y && point.y <= area.y + area.height;
  }) : []), [plan, runs]);
  const chosen = useMemo(() => inside(kept), [inside, kept]);

  const draw = useCallback((pen: CanvasRenderingContext2D) => {
    if (!plan || !x || !y) return;
    pen.font = font(11);
    pen.lineWidth = 1;
    pen.fillStyle = ink.soft;
    for (const [axis, scale, across] of [[x, plan.sx, true], [y, plan.sy, false]] as const) {
      for (const tick of axisTicks(axis, scale, across ? Math.floor(width / 90) : 8)) {
        const at = Math.round(px(scale, tick.at)) + 0.5;
        pen.strokeStyle = ink.grid;
        pen.beginPath();
        if (across) pen.moveTo(at, 14), pen.lineTo(at, height - 44);
        else pen.moveTo(left, at), pen.lineTo(width - 24, at);
        pen.stroke();
        pen.textAlign = across ? "center" : "right";
        pen.textBaseline = across ? "top" : "middle";
        pen.fillText(tick.label, across ? at : left - 8, across ? height - 38 : at);
      }
    }
    pen.globalAlpha = runs.length > 300 ? 0.7 : 0.9;
    const radius = runs.length > 300 ? 3.5 : 5;
    for (const point of plan.points) {
      if (!Number.isFinite(point.x + point.y)) continue;
      pen.fillStyle = point.color;
      pen.beginPath();
      pen.arc(point.x, point.y, radius, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }, [plan, x, y, ink, runs.length, left, width, height]);
  const shown = hover?.run ?? -1;
  const area = drag ?? kept;
  const above = useMemo(() => {
    const point = plan?.points[shown];
    if (!point && !area) return null;
    return (pen: CanvasRenderingContext2D) => {
      if (area) {
        pen.strokeStyle = ink.text;
        pen.setLineDash([4, 3]);
        pen.strokeRect(area.x, area.y, area.width, area.height);
        pen.setLineDash([]);
      }
      if (!point) return;
      pen.fillStyle = point.color;
      pen.strokeStyle = ink.text;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(point.x, point.y, 7, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    };
  }, [plan, shown, area, ink]);

  const onPointer = (kind: "down" | "move" | "up" | "leave" | "cancel", atX: number, atY: number) => {
    if (kind === "cancel") {
      began.current = null;
      setDrag(null);
      return setHover(null);
    }
    if (kind === "leave") return setHover(null);
    const from = began.current;
    if (kind === "down") began.current = { x: atX, y: atY };
    else if (kind === "move" && from) {
      const made = { x: Math.min(from.x, atX), y: Math.min(from.y, atY), width: Math.abs(atX - from.x), height: Math.abs(atY - from.y) };
      if (made.width + made.height > 6) setDrag(made);
    } else if (kind === "move") setHover(nearestPoint(plan?.points ?? [], atX, atY));
    else {
      began.current = null;
      setKept(drag);
      setDrag(null);
      const run = runs[shown];
      if (!drag && run) navigate(runHref(run));
    }
  };
  const pointed = runs[shown];
  const missing = quantities.filter(({ waiting }) => !waiting).map((quantity) => knownText(quantity, runs.length)).filter(Boolean);
  const label = `Scatter of ${runs.length} runs: ${quantities[0]?.label ?? ""} against ${quantities[1]?.label ?? ""}`;

  return (
    <>
      <div className="compare-bar">
        <AxisChoice name="x" axis={x} {...{ choices, view }} onChoose={(reference) => setCompare({ x: reference })} />
        <AxisChoice name="y" axis={y} {...{ choices, view }} onChoose={(reference) => setCompare({ y: reference })} />
        <span className="axis-choice">
          <span className="soft">Colour</span>
          <Picker label="Colour" shown={hue?.quantity.label ?? "of the run"} choices={choices} chosen={view.color ? [view.color] : []} none="of the run" onChoose={(color) => setCompare({ color })} />
        </span>
        {hue && <ColorKey axis={hue} dark={ink.dark} />}
        {kept && (
          <>
            <Button kind="primary" disabled={!chosen.length} onClick={() => drawRuns(chosen)}>Draw these {count(chosen.length)}</Button>
            <Button kind="quiet" onClick={() => setKept(null)}>Clear</Button>
          </>
        )}
      </div>
      {missing.length > 0 && <p className="soft compare-missing">{missing.join(" · ")}</p>}
      <div ref={box} className="compare-room">
        {plan && x && y ? (
          <div className="compare-surface" style={{ width, height }}>
            <Surface {...{ label, width, height, draw, above, onPointer }} cursor={pointed ? "pointer" : "crosshair"} />
            <span className="scatter-x">{x.quantity.label}</span>
            <span className="scatter-y">{y.quantity.label}</span>
            {pointed && hover && !drag && <RunTip run={pointed} at={hover.run} quantities={quantities} x={hover.x} y={hover.y} width={width} />}
          </div>
        ) : (
          <Skeleton height={height} />
        )}
      </div>
    </>
  );
}

/** Runs of one category lie beside each other: the same for the same run, always. */
function spread(axis: Axis, run: number): number {
  return axis.quantity.numeric ? 0 : (((run * 7919) % 101) / 101 - 0.5) * 24;
}

function nearestPoint(points: readonly { x: number; y: number }[], x: number, y: number): { run: number; x: number; y: number } | null {
  let found = -1;
  let least = REACH;
  points.forEach((point, i) => {
    const distance = Math.hypot(point.x - x, point.y - y);
    if (distance < least) [found, least] = [i, distance];
  });
  return found < 0 ? null : { run: found, x, y };
}

function AxisChoice({ name, axis, choices, view, onChoose }: { name: string; axis: Axis | undefined; onChoose: (reference: string) => void } & Pick<CompareRoomProps, "choices" | "view">) {
  return (
    <span className="axis-choice">
      <span className="soft">{name}</span>
      <Picker label={`${name} axis`} shown={axis?.quantity.label ?? ""} choices={choices} chosen={axis ? [axis.quantity.reference] : []} onChoose={onChoose} />
      {axis?.quantity.numeric && (
        <Button size="small" aria-pressed={axis.log} title={`Logarithmic ${name} axis`} onClick={() => setCompare({ logs: turned(view.logs, axis.quantity.reference) })}>log</Button>
      )}
    </span>
  );
}

const MOST_NAMED = 12;

function ColorKey({ axis, dark }: { axis: Axis; dark: boolean }) {
  const { numeric, categories } = axis.quantity;
  if (!numeric && categories.length <= MOST_NAMED) {
    const share = (i: number) => (i - axis.min) / (axis.max - axis.min);
    return (
      <span className="color-key">
        {categories.map((name, i) => (
          <span key={name} className="color-name" title={name}><b style={{ background: viridis(share(i), dark, "gray") }} />{name}</span>
        ))}
      </span>
    );
  }
  const stops = Array.from({ length: 9 }, (_, i) => viridis(i / 8, dark, "gray")).join(", ");
  return (
    <span className="color-key num">
      {endText(axis, numeric ? axis.min : 0)} <i style={{ background: `linear-gradient(to right, ${stops})` }} /> {endText(axis, numeric ? axis.max : categories.length - 1)}
    </span>
  );
}
