import { describe, expect, test } from "vitest";
import { placesOf } from "../../src/charts/data/axis";
import { extentX, extentY, unplaced, usualY } from "../../src/charts/draw/line";
import { meanOf } from "../../src/charts/draw/mean";
import { nearest } from "../../src/charts/draw/nearest";
import { padded, px, scaleOf, valueAt } from "../../src/charts/draw/scale";
import { smoothed } from "../../src/charts/draw/smooth";
import { numberLabels, ticksOf, type TickKind } from "../../src/charts/draw/ticks";
import type { Frame } from "../../src/charts/draw/frame";
import { lineOf, sampled } from "./made";

const index = { by: "index" } as const;
const labels = (min: number, max: number, kind: TickKind = "number", most = 6, log = false) => ticksOf(scaleOf(log, min, max, 0, 400), most, kind).map((tick) => tick.label);

describe("scales", () => {
  test("go to px and back", () => {
    const linear = scaleOf(false, -5, 15, 300, 0);
    expect(px(linear, -5)).toBeCloseTo(300);
    expect(valueAt(linear, px(linear, 7))).toBeCloseTo(7);
    const log = scaleOf(true, 0.01, 1000, 0, 500);
    expect(px(log, 1)).toBeCloseTo(200);
    expect(valueAt(log, 100)).toBeCloseTo(0.1);
    expect(px(log, 0)).toBeNaN();
  });

  test("of one value have room around it", () => {
    expect(padded(5, 5, false)).toEqual([4.5, 5.5]);
    expect(padded(0, 0, false)).toEqual([-1, 1]);
    expect(padded(8, 8, true)).toEqual([4, 16]);
    expect(padded(Infinity, -Infinity, false)).toEqual([0, 1]);
    const [low, high] = padded(1e-200, 1e200, true);
    expect([low < 1e-200, low > 0, high > 1e200, high < Infinity]).toEqual([true, true, true, true]);
  });
});

describe("ticks", () => {
  test("of numbers", () => {
    expect(labels(0, 1)).toEqual(["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map((text, i) => (i ? text : "0")));
    expect(labels(0, 3, "whole")).toEqual(["0", "1", "2", "3"]);
    expect(labels(1e-7, 5e-7)).toEqual(["1e−7", "2e−7", "3e−7", "4e−7", "5e−7"]);
    expect(labels(-2, 2, "number", 4)).toEqual(["−2", "−1", "0", "1", "2"]);
  });

  test("have as many decimals as tell them apart", () => {
    expect(numberLabels([0.5, 0.55])).toEqual(["0.50", "0.55"]);
    expect(numberLabels([523_410, 523_415])).toEqual(["523,410", "523,415"]);
    expect(numberLabels([1_000_000, 2_500_000])).toEqual(["1.0M", "2.5M"]);
  });

  test("of logarithmic axes", () => {
    expect(labels(0.001, 1000, "number", 4, true)).toEqual(["0.001", "0.1", "10", "1000"]);
    expect(labels(1, 10, "number", 6, true)).toEqual(["1", "2", "3", "5", "7", "10"]);
    expect(labels(2, 4, "number", 4, true).length).toBeGreaterThan(2);
  });

  test("of spans of time", () => {
    expect(labels(0, 300, "seconds", 5)).toEqual(["0", "1 m", "2 m", "3 m", "4 m", "5 m"]);
    expect(labels(0, 5, "seconds", 5)).toEqual(["0", "1 s", "2 s", "3 s", "4 s", "5 s"]);
    expect(labels(0, 36_000, "seconds", 5)).toEqual(["0", "2 h", "4 h", "6 h", "8 h", "10 h"]);
    expect(labels(0, 200_000, "seconds", 3)).toEqual(["0", "1 d", "2 d"]);
  });

  test("of time are at the calendar's own places", () => {
    const from = new Date(2026, 10, 23, 9, 50).getTime();
    expect(labels(from, from + 3_600_000, "time", 4)).toEqual(["10:00\n23 Nov", "10:15", "10:30", "10:45"]);
    const days = labels(from, from + 5 * 86_400_000, "time", 6);
    expect(days).toEqual(["24 Nov", "25 Nov", "26 Nov", "27 Nov", "28 Nov"]);
    expect(labels(new Date(2024, 0, 15).getTime(), new Date(2026, 6, 1).getTime(), "time", 6).length).toBeGreaterThan(2);
    expect(labels(from, from + 50, "time", 5)[0]).toMatch(/^09:50:00\.000/);
  });

  test("never run away", () => {
    expect(labels(5, 5).length).toBe(1);
    expect(labels(0, 1e300).length).toBeLessThan(20);
    expect(labels(0, 1e13, "time", 5).length).toBeLessThan(20);
  });
});

describe("what lines reach", () => {
  const spike = Array.from({ length: 1000 }, (_, i) => (i === 523 ? 100 : 1));
  const line = lineOf(sampled(spike, 100));

  test("holds a single point among many", () => {
    expect(extentX([line], false)).toEqual({ min: 0, max: 999 });
    expect(extentY([line], 0, 999, false)).toEqual({ min: 1, max: 100 });
    expect(extentY([line], 0, 400, false)).toEqual({ min: 1, max: 1 });
  });

  test("may leave outliers out where that is asked for", () => {
    const plain = lineOf(sampled(spike));
    expect(usualY([plain], 0, 999, false).max).toBeLessThan(2);
  });

  test("is above 0 on a logarithmic axis, and what is not is counted", () => {
    const odd = lineOf(sampled([-1, 0, 2, 8]));
    expect(extentY([odd], 0, 3, true)).toEqual({ min: 2, max: 8 });
    expect(unplaced([odd])).toBe(2);
    expect(extentX([odd], true)).toEqual({ min: 1, max: 3 });
    // The first bucket holds the first decades: they are not cut off with index 0.
    expect(extentX([line], true)).toEqual({ min: 1, max: 999 });
  });
});

describe("smoothing", () => {
  test("of equal values is that value from the first on", () => {
    const sample = sampled([4, 4, 4, 4]);
    const { values } = smoothed(sample, placesOf(sample, index, 0), { strength: 0.9, by: "exponential" }, 3);
    for (const value of values) expect(value).toBeCloseTo(4);
  });

  test("is the debiased average of the points before", () => {
    const sample = sampled([1, 3]);
    const { values } = smoothed(sample, placesOf(sample, index, 0), { strength: 0.5, by: "exponential" }, 1);
    // 0.5 × 3 + 0.5 × 1 were it not for what was before; the first has weight 1.
    expect([...values]).toEqual([1, 2]);
  });

  test("leaves out what is no number, and goes on after it", () => {
    const sample = sampled([2, NaN, 2]);
    const { values } = smoothed(sample, placesOf(sample, index, 0), { strength: 0.5, by: "exponential" }, 2);
    expect(values[0]).toBe(2);
    expect(values[1]).toBeNaN();
    expect(values[2]).toBeCloseTo(2);
  });

  test("goes on in a closer view where the overview was", () => {
    const noise = Array.from({ length: 4000 }, (_, i) => Math.sin(i * 12.9898) * 43758.5453 % 1);
    const whole = sampled(noise);
    const how = { strength: 0.9, by: "exponential" } as const;
    const once = smoothed(whole, placesOf(whole, index, 0), how, 3999).values;
    const coarse = sampled(noise, 100);
    const { gathered } = smoothed(coarse, placesOf(coarse, index, 0), how, 3999, undefined, 2000);
    const close = { ...sampled(noise.slice(2000, 2100), 1, { start: 2000 }), total: 4000 };
    const { values } = smoothed(close, placesOf(close, index, 0), how, 3999, gathered);
    expect(Math.abs((values[50] as number) - (once[2050] as number))).toBeLessThan(0.02);
  });

  test("by distance looks back as far as that reaches, not as many points", () => {
    const sample = sampled([0, 10, 10], 1, { xs: [0, 1, 1000] });
    const places = placesOf(sample, { by: "field", field: "step" }, 0);
    const { values } = smoothed(sample, places, { strength: 0.9, by: "time" }, 1000);
    expect(values[1]).toBeLessThan(6);
    expect(values[2]).toBeCloseTo(10);
  });
});

test("a group is the mean and the standard deviation of the runs that are there", () => {
  const as = { id: "group a", name: "a", color: "#000", dash: [] };
  const mean = meanOf([lineOf(sampled([1, 2, 3])), lineOf(sampled([3, 4, 5]))], 0, 2, as);
  expect([...(mean?.y ?? [])]).toEqual([2, 3, 4]);
  expect((mean?.high?.[0] ?? 0) - 2).toBeCloseTo(Math.SQRT2);
  const uneven = meanOf([lineOf(sampled([0, 10])), lineOf(sampled([0, 10, 20, 30]))], 0, 3, as);
  expect(uneven?.y.at(-1)).toBe(30);
  expect(uneven?.y[0]).toBe(0);
  expect(meanOf([], 0, 1, as)).toBeNull();
  const spike = Array.from({ length: 1500 }, (_, i) => (i === 334 ? 100 : 0));
  const spiked = meanOf([lineOf(sampled(spike)), lineOf(sampled(spike.slice(0, 1400)))], 0, 1499, as);
  expect(Math.max(...(spiked?.y ?? []))).toBe(100);
  const close = meanOf([lineOf(sampled(spike)), lineOf(sampled(spike.slice(0, 1400)))], 330.5, 338, as);
  expect([...(close?.places.x ?? [])]).toEqual([330.5, 331, 332, 333, 334, 335, 336, 337, 338]);
});

test("the pointer catches a spike that is one px wide", () => {
  const values = Array.from({ length: 40_000 }, (_, i) => (i === 20_050 ? 100 : 1));
  const line = lineOf(sampled(values, 100));
  const frame = { x: scaleOf(false, 0, 39_999, 0, 400), y: scaleOf(false, 0, 100, 200, 0) } as Frame;
  const hit = nearest([line], frame, 203, 20);
  expect(hit?.line.sample?.argmax?.[hit.at]).toBe(20_050);
});

test("a value that is not finite is pointed at by its mark", () => {
  const line = lineOf(sampled([1, NaN, 1, 1]));
  const frame = { x: scaleOf(false, 0, 3, 0, 300), y: scaleOf(false, 0, 2, 200, 0), left: 0, right: 300, top: 0, bottom: 200 } as Frame;
  expect(nearest([line], frame, 101, 198)?.at).toBe(1);
  expect(nearest([line], frame, 30, 110)?.at).toBe(0);
});

test("a value that a logarithmic axis has no place for is pointed at at the bottom edge", () => {
  const line = lineOf(sampled([1, 0, -1, 1]));
  const frame = { x: scaleOf(false, 0, 3, 0, 300), y: scaleOf(true, 0.1, 2, 200, 0), left: 0, right: 300, top: 0, bottom: 200 } as Frame;
  expect(nearest([line], frame, 101, 198)?.at).toBe(1);
  expect(nearest([line], frame, 199, 190)?.at).toBe(2);
});
