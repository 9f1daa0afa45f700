import { beforeEach, describe, expect, test, vi } from "vitest";

beforeEach(() => {
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) });
  vi.resetModules();
});

describe("a run's place", () => {
  test("stays when older runs are deleted, and is given to nobody else", async () => {
    const { keepPlaces } = await import("../../src/model/places");
    expect(keepPlaces("p", ["d", "c", "b", "a"], [3, 2, 1, 0])).toEqual([3, 2, 1, 0]);
    expect(keepPlaces("p", ["d", "c", "a"], [2, 1, 0])).toEqual([3, 2, 0]);
    expect(keepPlaces("p", ["e", "c", "a"], [2, 1, 0])).toEqual([4, 2, 0]);
    expect(keepPlaces("other", ["x"], [0])).toEqual([0]);
  });

  test("is the same after the page was opened again", async () => {
    let { keepPlaces } = await import("../../src/model/places");
    keepPlaces("p", ["c", "b", "a"], [2, 1, 0]);
    keepPlaces("p", ["c", "b"], [1, 0]);
    vi.resetModules();
    ({ keepPlaces } = await import("../../src/model/places"));
    expect(keepPlaces("p", ["d", "c", "b"], [2, 1, 0])).toEqual([3, 2, 1]);
  });

  test("is as before when what was gone is there again", async () => {
    const { keepPlaces } = await import("../../src/model/places");
    keepPlaces("p", ["c", "b", "a"], [2, 1, 0]);
    keepPlaces("p", ["c"], [0]);
    expect(keepPlaces("p", ["c", "b", "a"], [2, 1, 0])).toEqual([2, 1, 0]);
  });
});
