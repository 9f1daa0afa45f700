// Groups: by value, in the order of values, folded away or not, with their means.
import { describe, expect, it } from "vitest";
import { groupName, groupsOf, linesOf, mean, NO_VALUE } from "../../src/runs/groups";
import { tableWith } from "./table";

const table = tableWith([{ lr: 0.1 }, { lr: 0.01 }, {}, { lr: 0.1 }]);
const groups = groupsOf(table.runs, (run) => table.param(run, "lr"));

describe("groups", () => {
  it("are in the order of their values, runs without one last", () => {
    expect(groups.map((group) => [group.name, group.runs.map((run) => run.name)])).toEqual([
      ["0.01", ["r1"]],
      ["0.1", ["r0", "r3"]],
      [NO_VALUE, ["r2"]],
    ]);
  });
  it("give lines, without the runs of those that are closed", () => {
    const lines = linesOf(groups, new Set(["0.1"]));
    expect(lines.map((line) => ("run" in line ? line.run.name : `${line.group.name} ${line.open}`))).toEqual(["0.01 true", "r1", "0.1 false", `${NO_VALUE} true`, "r2"]);
  });
  it("are called by their value as text", () => {
    expect(groupName(["a", "b"])).toBe("a, b");
    expect(groupName([])).toBe(NO_VALUE);
    expect(groupName({ a: 1 })).toBe('{"a":1}');
    expect(groupName(false)).toBe("false");
  });
  it("have means of what is a finite number", () => {
    expect(mean([1, 3, "NaN", "Infinity", undefined, "x"])).toBe(2);
    expect(mean(["x"])).toBeUndefined();
  });
});
