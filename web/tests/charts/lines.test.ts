import { expect, test } from "vitest";
import { Lines } from "../../src/charts/lines";
import type { Sample } from "../../src/charts/data/sample";
import type { Drawn, DrawnRun } from "../../src/charts/drawn";
import { SvgPen } from "../../src/charts/export/svg";
import { paint } from "../../src/charts/draw/paint";
import { frameOf } from "../../src/charts/draw/frame";
import type { Pen } from "../../src/charts/draw/pen";
import { sampled } from "./made";

const runOf = (id: string, group: string | null = null, origin = 0): DrawnRun => ({ id, name: id, color: "#123456", dash: [], origin, group, restarts: [], strong: false });
const drawnOf = (runs: DrawnRun[], over: Partial<Drawn> = {}): Drawn => ({
  panel: { kind: "metrics", name: "loss", field: "value" }, points: 0, runs, x: { by: "index" }, zoom: null, logX: false, logY: false, usual: false,
  smoothing: { strength: 0, by: "exponential" }, width: 400, height: 200, aPixel: 1,
  ink: { background: "#fff", text: "#000", soft: "#777", grid: "#eee", axis: "#999", dark: false }, ...over,
});
const found = (samples: Record<string, Sample>, overviews: Record<string, Sample> = samples) =>
  new Map(Object.entries(samples).map(([id, sample]) => [id, { sample, overview: overviews[id] ?? sample, missing: false, trouble: null, waiting: false }]));
const spike = Array.from({ length: 2000 }, (_, i) => (i === 1234 ? 100 : 1));

test("groups of one run each are drawn as exactly as runs", () => {
  const [line] = new Lines().of(drawnOf([runOf("a", "lr 1")]), found({ a: sampled(spike, 100) }));
  expect([line?.name, line?.high && Math.max(...line.high), line?.sample?.n]).toEqual(["lr 1", 100, 20]);
  const both = drawnOf([runOf("a", "lr 1"), runOf("b", "lr 1"), runOf("c", "lr 2")]);
  const lines = new Lines().of(both, found({ a: sampled(spike), b: sampled(spike), c: sampled(spike) }));
  expect(lines.map(({ name, members, sample }) => [name, members, sample])).toEqual([["lr 1", 2, null], ["lr 2", 1, null]]);
});

test("a mean is taken of what is in sight, to the edges of the plot", () => {
  const drawn = drawnOf([runOf("a", "g"), runOf("b", "g")], { zoom: [1230, 1240] });
  const [line] = new Lines().of(drawn, found({ a: sampled(spike), b: sampled(spike.slice(0, 1990)) }));
  const x = [...(line?.places.x ?? [])];
  expect([x.length, (x[0] as number) < 1230, (x.at(-1) as number) > 1240]).toEqual([13, true, true]);
  const [away] = new Lines().of({ ...drawn, zoom: [5000, 6000] }, found({ a: sampled(spike), b: sampled(spike.slice(0, 1990)) }));
  expect(away?.places.x.at(-1)).toBe(1999);
});

test("a closer sample lies on relative time where the overview has it, also before the run's own beginning", () => {
  const times = spike.map((_, i) => 1000 * i);
  const overview = sampled(spike, 100, { xs: times });
  const close = sampled(spike.slice(1200, 1300), 1, { start: 1200, xs: times.slice(1200, 1300) });
  const [line] = new Lines().of(drawnOf([runOf("a", null, 9e9)], { x: { by: "relative" }, zoom: [1200, 1300] }), found({ a: close }, { a: overview }));
  expect([line?.places.x[0], line?.places.x[34]]).toEqual([1200, 1234]);
});

test("on a logarithmic x axis the first bucket is as wide as it is, and nothing without a place gets into an SVG", () => {
  const measure = { font: "", measureText: (text: string) => ({ width: 6 * text.length }) } as Pen;
  const few = sampled([100, ...spike.slice(1)], 100);
  for (const runs of [1, 9]) {
    const ids = Array.from({ length: runs }, (_, i) => String(i));
    const lines = new Lines().of(drawnOf(ids.map((id) => runOf(id))), found(Object.fromEntries(ids.map((id) => [id, few]))));
    const pen = new SvgPen(400, 200, measure);
    const frame = frameOf(pen, 400, 200, { min: 1, max: 1999, log: true }, { min: 0, max: 100, log: false }, "whole");
    paint(pen, frame, lines, drawnOf([]).ink);
    const svg = pen.toString();
    expect(svg).not.toContain("NaN");
    // The band's first corner: left of index 1, where index 0 would be, as high as its greatest value.
    expect(svg).toContain(`M${frame.left - 2} ${frame.top}`);
  }
});
