import { describe, expect, test } from "vitest";
import { beginOf, indicesOf, nearestTo, placeOfIndex, placesOf } from "../../src/charts/data/axis";
import { continuesAt, extended, lastAtMost } from "../../src/charts/data/sample";
import { keyOf, pointsFor, type Want } from "../../src/charts/data/wants";
import { sampled } from "./made";

const ramp = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

describe("a live sample", () => {
  test("goes on at its last bucket, which is made anew", () => {
    const values = ramp(250);
    const before = sampled(values.slice(0, 230), 100);
    expect(continuesAt(before)).toBe(200);
    const after = extended(before, sampled(values.slice(200), 100, { start: 200 }));
    const once = sampled(values, 100);
    expect(after && [after.n, after.stop, [...after.max], [...after.argmin ?? []]]).toEqual([3, 250, [...once.max], [...once.argmin ?? []]]);
  });

  test("of single points goes on at its end, and stays exact", () => {
    const before = sampled(ramp(10), 1, { xs: ramp(10, 5) });
    expect(continuesAt(before)).toBe(10);
    const after = extended(before, sampled([10, NaN], 1, { start: 10, xs: [15, 16] }));
    expect(after?.exact).toBe(true);
    expect([...(after?.xMin ?? [])]).toEqual(ramp(12, 5));
    expect([...(after?.nan ?? [])]).toEqual([...Array<number>(11).fill(0), 1]);
  });

  test("is the same when nothing has come", () => {
    const before = sampled(ramp(3));
    expect(extended(before, sampled([], 1, { start: 3 }))).toBe(before);
  });

  test("takes no continuation of another width or place", () => {
    const before = sampled(ramp(230), 100);
    expect(extended(before, sampled(ramp(50), 10, { start: 200 }))).toBeNull();
    expect(extended(before, sampled(ramp(50), 100, { start: 100 }))).toBeNull();
  });
});

describe("places on x", () => {
  const index = { by: "index" } as const;
  const step = { by: "field", field: "step" } as const;

  test("by index are the middles of buckets", () => {
    const places = placesOf(sampled(ramp(250), 100), index, 0);
    expect([...places.x]).toEqual([49.5, 149.5, 224.5]);
    expect(places.order).toBeNull();
  });

  test("a resumed run that repeats steps is sorted for the pointer, not for the line", () => {
    const sample = sampled([1, 2, 3, 4], 1, { xs: [0, 10, 5, 15] });
    const places = placesOf(sample, step, 0);
    expect([...places.x]).toEqual([0, 10, 5, 15]);
    expect([...(places.order ?? [])]).toEqual([0, 2, 1, 3]);
    expect(nearestTo(places, 6)).toBe(2);
    expect(nearestTo(places, 99)).toBe(3);
  });

  test("rows without the field are nowhere", () => {
    const places = placesOf(sampled([1, 2, 3], 1, { xs: [NaN, 7, 9] }), step, 0);
    expect(nearestTo(places, 0)).toBe(1);
  });

  test("relative time begins with the run, or with its first point where that is earlier", () => {
    const sample = sampled([1, 2], 1, { xs: [5000, 9000] });
    const relative = { by: "relative" } as const;
    expect([4000, 8000].map((origin) => beginOf(sample, relative, origin))).toEqual([4000, 5000]);
    expect([...placesOf(sample, relative, 4000).x]).toEqual([1, 5]);
    expect([...placesOf(sample, relative, 5000).x]).toEqual([0, 4]);
    expect(beginOf(sample, { by: "time" }, 8000)).toBe(8000);
    expect(beginOf(sampled([1], 1, { xs: [NaN] }), relative, 8000)).toBe(8000);
  });

  test("a range of x is the indices that hold it, with a neighbour at each side", () => {
    const sample = sampled(ramp(1000), 100, { xs: ramp(1000).map((i) => i * 10) });
    expect(indicesOf(sample, placesOf(sample, step, 0), 3200, 3300)).toEqual([200, 500]);
    expect(indicesOf(sample, placesOf(sample, step, 0), -50, 10)).toEqual([0, 200]);
    expect(indicesOf(sample, placesOf(sample, step, 0), 3991, 3999)).toEqual([200, 600]);
    expect(indicesOf(sample, placesOf(sample, step, 0), 20_000, 30_000)).toBeNull();
  });

  test("an index has a place also within a bucket", () => {
    const sample = sampled(ramp(1000), 100, { xs: ramp(1000).map((i) => i * 10) });
    expect(placeOfIndex(sample, placesOf(sample, step, 0), 250)).toBe(2500);
    expect(placeOfIndex(sample, placesOf(sample, step, 0), 5000)).toBeNaN();
  });

  test("lastAtMost", () => {
    expect([-1, 0, 5, 10, 99].map((value) => lastAtMost([0, 5, 10], value))).toEqual([-1, 0, 1, 2, 2]);
  });
});

test("a little wider window asks for the same; very many runs ask for fewer", () => {
  expect([pointsFor(355, 20, 1e6), pointsFor(390, 20, 1e6), pointsFor(410, 20, 1e6)]).toEqual([400, 400, 500]);
  expect(pointsFor(390, 1000, 1e6)).toBe(50);
  expect(pointsFor(1200, 5, 1e6, 2)).toBe(2400);
  expect([pointsFor(390, 20, 600), pointsFor(390, 1000, 600)]).toEqual([1000, 50]);
});

test("keys tell apart what names could make the same", () => {
  const want: Want = { run: "a", kind: "metrics", name: "x", field: "y", x: null, start: 0, stop: null, points: 400 };
  expect(keyOf(want)).not.toBe(keyOf({ ...want, name: "x/y", field: "" }));
});
