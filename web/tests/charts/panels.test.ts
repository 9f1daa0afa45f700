import { describe, expect, test } from "vitest";
import type { SeriesName } from "../../src/api/types";
import { captionOf, notesOf } from "../../src/charts/captions";
import { LOADING, type ChartStatus } from "../../src/charts/drawn";
import { csvOf, rowsOf } from "../../src/charts/export/csv";
import { valuedFirst } from "../../src/charts/valued";
import { SvgPen } from "../../src/charts/export/svg";
import { heightOf, isOpen, rowsIn, rowsOf as layRows, sizeOf } from "../../src/charts/layout";
import { axisFields, groupsOf, matching, panelsOf, PINNED } from "../../src/charts/panels";
import type { Pen } from "../../src/charts/draw/pen";
import { lineOf, sampled } from "./made";

const series = (name: string, fields = ["value", "step"], kind: SeriesName["kind"] = "metrics"): SeriesName => ({ kind, name, fields, runs: 1, points: 10 });
const some = [series("train/loss"), series("train/acc"), series("train/lr"), series("val/loss"), series("loss"), series("_system/cpu", ["value"]), series("logs", ["message"], "logs")];

describe("panels", () => {
  test("are one a field, but not of fields that count", () => {
    expect(panelsOf([series("eval", ["top1", "top5", "step", "epoch"]), series("only", ["step"])]).map((panel) => panel.key)).toEqual(["eval#top1", "eval#top5", "only#step"]);
  });

  test("are grouped by prefix, the machine's own last, pinned ones first", () => {
    const panels = panelsOf(some);
    expect(groupsOf(panels, ["val/loss", "gone"]).map((group) => [group.name, group.panels.map((panel) => panel.title)])).toEqual([
      [PINNED, ["loss"]], ["", ["loss"]], ["train", ["acc", "loss", "lr"]], ["val", ["loss"]], ["_system", ["cpu"]],
    ]);
  });

  test("that are few, or each alone in its group, have no groups", () => {
    const groups = groupsOf(panelsOf([series("train/loss"), series("val/loss"), series("_system/cpu")]), []);
    expect(groups.map((group) => [group.name, group.panels.map((panel) => panel.title)])).toEqual([["", ["train/loss", "val/loss"]], ["_system", ["cpu"]]]);
  });

  test("are found by all words", () => {
    expect(matching(panelsOf(some), " LOSS tr").map((panel) => panel.key)).toEqual(["train/loss"]);
  });

  test("offer the fields that series share as x, the usual ones first", () => {
    expect(axisFields([series("a", ["value", "seen", "step"]), series("b", ["value", "seen"]), series("c", ["value", "odd"])])).toEqual([
      { field: "step", series: 1 }, { field: "seen", series: 2 },
    ]);
  });
});

describe("the grid", () => {
  const panels = panelsOf(Array.from({ length: 3000 }, (_, i) => series(`layer${Math.floor(i / 100)}/p${i % 100}`)));
  const size = sizeOf(1100, "medium", [100]);

  test("has three charts in a row beside the list of runs, and one on a phone", () => {
    expect(size.columns).toBe(3);
    expect(sizeOf(370, "medium", [100]).columns).toBe(1);
    expect(sizeOf(1100, "medium", [1])).toEqual({ columns: 1, width: 1100, plot: 380 });
  });

  test("puts small groups side by side, in their order, each below its own heading", () => {
    const names = ["test/a", "test/b", "time/a", "train/a", "weights/a", "weights/b"];
    const groups = groupsOf(panelsOf(names.map((name) => series(name))), []);
    const places = (columns: number, folded: string[] = []) =>
      layRows(groups, { columns, width: 100, plot: 100 }, folded, false).map((row) => [row.kind === "group" ? row.group.name : row.panels.length, row.top, row.left]);
    const [head, below] = [38, 38 + 100 + 56 + 10];
    expect(sizeOf(1100, "medium", [2, 1, 1, 2]).columns).toBe(3);
    expect(places(3)).toEqual([
      ["test", 0, 0], [2, head, 0], ["time", 0, 220], [1, head, 220],
      ["train", below, 0], [1, below + head, 0], ["weights", below, 110], [2, below + head, 110],
    ]);
    expect(places(1).map(([, , left]) => left)).toEqual(Array(10).fill(0));
    expect(places(3, ["test"]).slice(0, 2)).toEqual([["test", 0, 0], ["time", head, 0]]);
  });

  test("makes of thousands only what is near the window", () => {
    const rows = layRows(groupsOf(panels, []), size, [], false);
    expect(rows.length).toBe(30 + 30 * 34);
    expect(rowsIn(rows, 5000, 6500).length).toBeLessThan(10);
    expect(heightOf(rows)).toBe((rows.at(-1)?.top ?? 0) + (rows.at(-1)?.height ?? 0));
  });

  test("folds the machine's own series at first, and what its reader folds", () => {
    expect([isOpen("_system", []), isOpen("_system", ["_system"]), isOpen("train", []), isOpen("train", ["train"]), isOpen("", ["-"])]).toEqual([false, true, true, false, false]);
    expect(layRows(groupsOf(panels, []), size, ["layer0"], false).length).toBe(30 + 29 * 34);
    expect(layRows(groupsOf(panels, []), size, ["layer0"], true).length).toBe(30 + 30 * 34);
  });
});

test("captions say how much of what is drawn", () => {
  const status: ChartStatus = { ...LOADING, state: "ready", waiting: false, finite: true, buckets: 1000, points: 1_000_000, here: 1_000_000, runs: 1, lines: 1 };
  expect(captionOf(status, false)).toBe("1,000 of 1,000,000 points · min/max exact");
  expect(captionOf({ ...status, runs: 20, lines: 20 }, false)).toBe("20 runs · 1,000 of up to 1,000,000 points · min/max exact");
  expect(captionOf({ ...status, here: 5000 }, true)).toBe("1,000 of 5,000 points here · min/max exact");
  expect(captionOf({ ...status, exact: true, points: 1, buckets: 1 }, false)).toBe("1 point");
  expect(captionOf({ ...status, exact: true, here: 62 }, true)).toBe("all 62 points here");
  expect(captionOf({ ...status, seen: false }, true)).toBe("no points in this range");
  expect(captionOf({ ...status, runs: 20, lines: 3 }, false)).toContain("3 means ± std of 20 runs");
  expect(notesOf({ ...status, unplaced: 3 }, { logY: true, usual: true, noField: "epoch" })).toEqual(["by index: it has no epoch", "≤ 0 at 3 places: at the bottom edge", "outliers out of sight"]);
});

test("runs without the series come last beside a chart, others stay in their order", () => {
  const row = (name: string, last?: number, min: object | null = null) => ({ name, last, min, max: min });
  expect(valuedFirst([row("a"), row("b", 0), row("c"), row("d", undefined, {})]).map((one) => one.name)).toEqual(["b", "d", "a", "c"]);
});

describe("files", () => {
  test("CSV has a line a bucket, quotes what must be, and makes no formula of a name", () => {
    const line = lineOf(sampled([1, 5, NaN, 2], 2), { name: '=cmd,"x"' });
    const text = csvOf(rowsOf([line], 0, 3)).split("\r\n");
    expect(text[1]).toBe(`"'=cmd,""x""",a,0,1,0,1,3,1,5,0,1,0,0,0,3`);
    expect(text[2]).toContain(",2,3,2,3,2,2,2,3,3,1,0,0,2");
    expect([...rowsOf([line], 2, 3)].length).toBe(1);
    expect(text[0]).toContain(",x_from,x_to,");
    expect(csvOf([], true)).toContain(",x_from_ms,x_to_ms,");
  });

  test("SVG takes users' text as text", () => {
    const pen = new SvgPen(10, 10, { measureText: () => ({ width: 5 }) } as unknown as Pen);
    pen.fillText('<script>alert("x")</script>\u0000&', 1, 2);
    pen.beginPath();
    pen.rect(0, 0, 5, 5);
    pen.save();
    pen.clip();
    pen.beginPath();
    pen.moveTo(0, 0);
    pen.lineTo(1.005, 2);
    pen.globalAlpha = 0.5;
    pen.stroke();
    pen.restore();
    const text = pen.toString();
    expect(text).not.toContain("<script");
    expect(text).toContain("&#60;script&#62;");
    expect(text).toContain('clip-path="url(#plot1)"');
    expect(text).toContain('opacity="0.5"');
  });
});
