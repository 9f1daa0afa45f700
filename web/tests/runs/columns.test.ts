// Columns, differences between runs, and words that runs hold.
import { describe, expect, it } from "vitest";
import { columnOf, durationOf, usualColumns, varying } from "../../src/runs/columns";
import { containing, looksLikeExpression } from "../../src/runs/find";
import { tableWith } from "./table";

const table = tableWith(
  [{ lr: 0.1, seed: 1, net: { a: 1 } }, { lr: 0.2, seed: 1, net: { a: 1 } }, { seed: 1, net: { a: 1 }, "opt.name": "adam" }],
  { tags: [["best"], [], []], notes: ["see <b>this</b>", null, null], status: ["RUNNING", "COMPLETED", "FAILED"] },
  [{ kind: "metrics", name: "train/loss", fields: ["step", "value"], runs: 3, points: 10 }, { kind: "logs", name: "", fields: [], runs: 3, points: 2 }],
);
const source = { table, now: Date.parse("2026-01-01T01:00:00Z") / 1000, summary: () => undefined };

describe("columns", () => {
  it("are usual ones where none is chosen: what differs comes first", () => {
    const usual = usualColumns(table);
    expect(usual.slice(0, 4)).toEqual(["status", "created_at", "duration", "tags"]);
    expect(usual.indexOf("params.lr")).toBeLessThan(usual.indexOf("params.seed"));
    expect(usual.at(-1)).toBe('metrics["train/loss"].value');
  });
  it("know values and whether they are numbers", () => {
    const lr = columnOf("params.lr", source);
    expect(lr?.numeric).toBe(true);
    expect(table.runs.map((run) => lr?.value(run))).toEqual([0.1, 0.2, undefined]);
    expect(columnOf('params["opt.name"]', source)?.label).toBe("opt.name");
    expect(columnOf("nonsense", source)).toBeNull();
  });
  it("differ where values do, or where one is missing", () => {
    expect([...varying(table, table.runs)].sort()).toEqual(["lr", "opt.name"]);
  });
  it("count a running run's duration to now", () => {
    const [running] = table.runs;
    expect(running && durationOf(running, source.now)).toBe(3600);
  });
});

describe("words", () => {
  const found = (text: string) => containing(table, table.runs, text).map((run) => run.name);
  it("are found in names, tags, notes and parameters, all of them", () => {
    expect(found("BEST")).toEqual(["r0"]);
    expect(found("adam r2")).toEqual(["r2"]);
    expect(found("lr=0.2")).toEqual(["r1"]);
    expect(found("<b>")).toEqual(["r0"]);
    expect(found("nowhere")).toEqual([]);
    expect(found("  ")).toHaveLength(3);
  });
  it("that look like an expression are told from words", () => {
    expect(looksLikeExpression('status = "FAILED"')).toBe(true);
    expect(looksLikeExpression("params.lr > 1")).toBe(true);
    expect(looksLikeExpression("status report")).toBe(false);
    expect(looksLikeExpression("params")).toBe(false);
  });
});
