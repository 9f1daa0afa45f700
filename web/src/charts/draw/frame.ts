// How a chart's area is divided: the plot, and the axes around it with their ticks. Pure but for measuring text.
import { font, type Pen } from "./pen";
import { scaleOf, type Scale } from "./scale";
import { ticksOf, type Tick, type TickKind } from "./ticks";

export const LABEL_SIZE = 11;
const TOP = 8;
const RIGHT = 12;
const LABEL_GAP = 6;
const LINE_HEIGHT = 13;

export interface AxisRange {
  min: number;
  max: number;
  log: boolean;
}

export interface Frame {
  width: number;
  height: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
  x: Scale;
  y: Scale;
  xTicks: Tick[];
  yTicks: Tick[];
}

export function frameOf(pen: Pen, width: number, height: number, x: AxisRange, y: AxisRange, kind: TickKind): Frame {
  pen.font = font(LABEL_SIZE);
  const bottom = height - LABEL_GAP - LINE_HEIGHT * (kind === "time" ? 2 : 1);
  const yScale = scaleOf(y.log, y.min, y.max, bottom, TOP);
  const yTicks = ticksOf(yScale, Math.max(2, Math.floor((bottom - TOP) / 36)), "number");
  const widest = Math.max(...yTicks.map((tick) => pen.measureText(tick.label).width), 18);
  const left = Math.ceil(widest) + LABEL_GAP + 4;
  const right = Math.max(left + 10, width - RIGHT);
  const xScale = scaleOf(x.log, x.min, x.max, left, right);
  const room = kind === "time" ? 76 : kind === "seconds" ? 72 : 64;
  const xTicks = ticksOf(xScale, Math.max(1, Math.floor((right - left) / room)), kind);
  return { width, height, left, top: TOP, right, bottom, x: xScale, y: yScale, xTicks, yTicks };
}
