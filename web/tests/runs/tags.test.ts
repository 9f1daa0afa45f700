import { expect, test } from "vitest";
import { draftOf, keepDraft } from "../../src/runs/drafts";
import { withTyped } from "../../src/runs/tags";

test("commas part tags, but not one that other runs have", () => {
  expect(withTyped(["a"], " b, c,,a ")).toEqual(["a", "b", "c"]);
  expect(withTyped(["a"], "  ")).toEqual(["a"]);
  expect(withTyped([], "b, c", ["b, c"])).toEqual(["b, c"]);
});

test("a draft is kept by run until it is saved or cancelled", () => {
  keepDraft("r", "begun");
  expect([draftOf("r"), draftOf("s")]).toEqual(["begun", null]);
  keepDraft("r", null);
  expect(draftOf("r")).toBe(null);
});
