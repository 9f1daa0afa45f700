// The table as a file.
import { describe, expect, it } from "vitest";
import { cellText, csvOf, jsonOf } from "../../src/runs/csv";

const sheet = { columns: ["name", "params.lr", "tags"], rows: [["a,b", 0.1, ["x", "y"]], ['say "hi"\n', undefined, undefined]] };

describe("csv", () => {
  it("quotes what needs it and leaves what is missing empty", () => {
    expect(csvOf(sheet)).toBe('name,params.lr,tags\r\n"a,b",0.1,"[""x"",""y""]"\r\n"say ""hi""\n",,\r\n');
  });
  it("lets no text become a formula, and no number change", () => {
    expect(["=1+1", "+1", "@x", "-cmd", -5, "-Infinity", "ok"].map(cellText)).toEqual(["'=1+1", "'+1", "'@x", "'-cmd", "-5", "-Infinity", "ok"]);
  });
});

describe("json", () => {
  it("is a list of objects without what is missing", () => {
    expect(JSON.parse(jsonOf(sheet))).toEqual([{ name: "a,b", "params.lr": 0.1, tags: ["x", "y"] }, { name: 'say "hi"\n' }]);
  });
});
