// References: written as the filter language reads them, and read back.
import { describe, expect, it } from "vitest";
import { needs, paramReference, readReference, seriesReference, writeReference } from "../../src/runs/references";

describe("references", () => {
  it("are written with dots where that can be", () => {
    expect(paramReference("model.lr")).toBe("params.model.lr");
    expect(paramReference("learning rate")).toBe('params["learning rate"]');
    expect(paramReference("lambda")).toBe('params["lambda"]');
    expect(paramReference("3d")).toBe('params["3d"]');
    expect(seriesReference("metrics", "train/loss", "value", "min")).toBe('metrics["train/loss"].value.min');
    expect(seriesReference("metrics", "loss", 'a"b')).toBe('metrics.loss["a\\"b"]');
  });
  it.each([
    "status", "params.model.lr", 'params["learning rate"]', 'metrics["train/loss"].value', 'metrics["train/loss"].value.max', "tracks.pose.x.y", 'metrics["a.b"]["c d"].min',
  ])("%s is read and written back", (text) => {
    const read = readReference(text);
    expect(read && readReference(writeReference(read))).toEqual(read);
    expect(read).not.toBeNull();
  });
  it("takes an aggregate only after a field", () => {
    expect(readReference("metrics.loss.min")).toEqual({ of: "metrics", name: "loss", field: "min", aggregate: null });
    expect(readReference("metrics.loss.value.min")).toEqual({ of: "metrics", name: "loss", field: "value", aggregate: "min" });
  });
  it.each(["", "params", "nothing", "params.", "metrics", "params.lr > 1", "metrics[loss]"])("%s is none", (text) => {
    expect(readReference(text)).toBeNull();
  });
  it("know where their values come from", () => {
    expect(["status", "params.lr", "metrics.loss.value", "metrics.loss.value.min"].map(needs)).toEqual([null, null, "table", "summary"]);
  });
});
