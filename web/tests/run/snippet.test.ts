import { describe, expect, it } from "vitest";
import type { Run } from "../../src/api/types";
import { commandSnippet, firstSnippet, loadSnippet, resumeSnippet, runsSnippet, shellWord, tellingSeries, whereOf } from "../../src/run/snippetText";

const run = (kind: Run["kind"], name = "first", project = "tutorial"): Run => ({ kind, key: ["", project, name] }) as unknown as Run;

describe("where runs are", () => {
  it("is a folder where the server says an absolute path, else its address", () => {
    expect(whereOf("/data/runs", "http://h:1")).toEqual({ folder: "/data/runs" });
    expect(whereOf("C:\\runs", "http://h:1")).toEqual({ folder: "C:\\runs" });
    expect(whereOf("mongodb on x", "http://h:1")).toEqual({ url: "http://h:1" });
    expect(whereOf("", "http://h:1")).toEqual({ url: "http://h:1" });
    expect(whereOf(undefined, "http://h:1")).toEqual({ url: "http://h:1" });
  });
});

describe("code of a first run", () => {
  it("says where it is kept, so that it appears here", () => {
    expect(firstSnippet('a "b"', { folder: "/my runs" })).toContain('Experiment(name="first", project="a \\"b\\"", local_path="/my runs")');
    expect(firstSnippet("p", { url: "http://h:1" })).toContain('project="p", remote="http://h:1")');
  });
});

describe("code that reads a run", () => {
  it("uses the words of its package", () => {
    expect(loadSnippet(run("experiment"), { folder: "/runs" }, "train/loss")).toContain('run = ml_dash.load("first", "tutorial", local_path="/runs")');
    expect(loadSnippet(run("experiment"), { folder: "/runs" }, "train/loss")).toContain('run.metrics("train/loss")');
    expect(loadSnippet(run("session"), { url: "http://h" }, "pose")).toContain('dreamlake.load("first", "tutorial", remote="http://h")');
    expect(loadSnippet(run("session"), { url: "http://h" }, "pose")).toContain('run.track("pose")');
    expect(runsSnippet(run("session"), { url: "http://h" })).toContain('dreamlake.sessions(remote="http://h", workspace="tutorial")');
    expect(resumeSnippet(run("session"), { url: "http://h" })).toContain("from dreamlake import Session");
    expect(loadSnippet(run("experiment"), { folder: "/runs" }, null)).not.toContain("metrics");
  });
  it("quotes what people have named", () => {
    expect(loadSnippet(run("experiment", 'a"); import os #'), { folder: "/r" }, null)).toContain('ml_dash.load("a\\"); import os #", ');
    expect(commandSnippet(run("experiment", "it's $(x)"), { folder: "/my runs" }, null)).toContain(`ml-dash show 'tutorial/it'\\''s $(x)' --dir '/my runs'`);
    expect(shellWord("-x")).toBe("'-x'");
  });
  it("takes a series that says something", () => {
    expect(tellingSeries([{ name: "acc", count: 9 }, { name: "val/loss", count: 3 }, { name: "empty", count: 0 }])).toBe("val/loss");
    expect(tellingSeries([{ name: "a", count: 1 }, { name: "b", count: 2 }])).toBe("b");
    expect(tellingSeries([])).toBe(null);
  });
});
