import { describe, expect, it } from "vitest";
import type { Json } from "../../src/api/types";
import { asPython, asYaml, compared, nested, pythonText } from "../../src/run/values/params";
import { allKeys, GROUP, pruned, rowsOf } from "../../src/run/values/valueRows";

describe("rows of a value", () => {
  const value: Json = { a: { b: [1, 2] }, c: "x", d: [], e: null };
  it("show what is open", () => {
    expect(rowsOf(value, new Set()).map((row) => [row.name, row.depth, row.open])).toEqual([
      ["a", 0, true], ["b", 1, false], ["c", 0, null], ["d", 0, null], ["e", 0, null],
    ]);
    const keys = allKeys(value);
    expect(rowsOf(value, keys, 0).map((row) => row.name)).toEqual(["a", "b", "0", "1", "c", "d", "e"]);
  });
  it("cut long lists into groups, of groups where they are very long", () => {
    const long = Array.from({ length: GROUP * 3 + 1 }, (_, i) => i);
    expect(rowsOf(long, new Set()).map((row) => row.name)).toEqual(["0 … 199", "200 … 399", "400 … 599", "600 … 600"]);
    const first = rowsOf(long, new Set())[0]?.key ?? "";
    expect(rowsOf(long, new Set([first]))).toHaveLength(GROUP + 4);
    const huge = Array.from({ length: 100_000 }, () => 0);
    expect(rowsOf(huge, new Set()).length).toBeLessThan(GROUP);
  });
  it("keep keys apart that differ by dots alone", () => {
    const keys = rowsOf({ "a.b": { c: 1 }, a: { "b.c": 1 } }, new Set(), 9).map((row) => row.key);
    expect(new Set(keys).size).toBe(keys.length);
  });
  it("are searched by name and value", () => {
    expect(pruned(value, "B")).toEqual({ a: { b: [1, 2] } });
    expect(pruned(value, "x")).toEqual({ c: "x" });
    expect(pruned(value, "nothing")).toBe(null);
    expect(pruned({ rows: [{ id: 1 }, { id: 22 }] }, "22")).toEqual({ rows: [{ id: 22 }] });
  });
  it("of a single value is that", () => {
    expect(rowsOf(5, new Set())).toMatchObject([{ name: "", value: 5, open: null }]);
  });
});

describe("parameters", () => {
  it("nest by their dots, and stay dotted where two spellings meet", () => {
    expect(nested({ lr: 1, "model.depth": 3, "model.norm.eps": 0.1 })).toEqual({ lr: 1, model: { depth: 3, norm: { eps: 0.1 } } });
    expect(nested({ a: 1, "a.b": 2 })).toEqual({ a: 1, "a.b": 2 });
    expect(nested({ a: { x: 1 }, "a.b": 2 })).toEqual({ a: { x: 1 }, "a.b": 2 });
    expect(Object.keys(nested({ "__proto__.x": 1 }))).toEqual(["__proto__"]);
    expect(({} as { x?: number }).x).toBe(undefined);
  });
  it("are set against a baseline", () => {
    const rows = compared({ lr: 1, layers: [1, 2], new: 0 }, { lr: 2, layers: [1, 2], old: null });
    expect(rows.map((row) => [row.name, row.difference])).toEqual([["layers", "same"], ["lr", "changed"], ["new", "added"], ["old", "missing"]]);
    expect(compared({ b10: 1, b2: 1 }, null).map((row) => row.name)).toEqual(["b2", "b10"]);
  });
  it("are Python", () => {
    expect(asPython({ lr: 1e-7, on: true, none: null, list: [1, "a"], sub: { "it's": "\"\n" } })).toBe(
      `{\n    "lr": 1e-7,\n    "on": True,\n    "none": None,\n    "list": [1, "a"],\n    "sub": {\n        "it's": "\\"\\n",\n    },\n}`,
    );
    expect(asPython({})).toBe("{}");
    expect(pythonText("a\u202eb")).toBe('"a\\u202eb"');
    expect(pythonText("🙂")).toBe('"🙂"');
  });
  it("are YAML, with quotes where a word would be something else", () => {
    expect(asYaml({ lr: 0.1, name: "resnet50", yes: "no", version: "1.0", list: [1, "a b"], sub: { x: [] }, odd: [{ a: 1 }] })).toBe(
      'lr: 0.1\nname: resnet50\n"yes": "no"\nversion: "1.0"\nlist: [1, a b]\nsub:\n  x: []\nodd:\n  -\n    a: 1\n',
    );
  });
});
