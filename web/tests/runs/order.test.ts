// Sorting: numbers, text, the rest, and what is missing last either way.
import { describe, expect, it } from "vitest";
import type { Json } from "../../src/api/types";
import { compareValues, sorted } from "../../src/runs/order";

const order = (values: (Json | undefined)[], descending = false) => sorted(values, (value) => value, descending);

describe("sorted", () => {
  it("puts numbers before text before the rest", () => {
    expect(order([true, "b", 2, "a", [1], 1])).toEqual([1, 2, "a", "b", true, [1]]);
  });
  it("puts what is missing and NaN last, rising and falling", () => {
    expect(order([undefined, 2, "NaN", null, 1])).toEqual([1, 2, undefined, "NaN", null]);
    expect(order([undefined, 2, "NaN", null, 1], true)).toEqual([2, 1, undefined, "NaN", null]);
  });
  it("knows infinities as numbers", () => {
    expect(order(["Infinity", 5, "-Infinity"])).toEqual(["-Infinity", 5, "Infinity"]);
  });
  it("orders numbers inside of text by size", () => {
    expect(order(["run-10", "run-9", "Run-1"])).toEqual(["Run-1", "run-9", "run-10"]);
  });
  it("keeps equal rows in their order, falling too", () => {
    const rows = [{ key: 1, name: "a" }, { key: 2, name: "b" }, { key: 1, name: "c" }];
    expect(sorted(rows, (row) => row.key, true).map((row) => row.name)).toEqual(["b", "a", "c"]);
  });
  it("compares two values", () => {
    expect(compareValues(1, 2)).toBeLessThan(0);
    expect(compareValues("a", 2)).toBeGreaterThan(0);
    expect(compareValues(undefined, undefined)).toBe(0);
  });
});
