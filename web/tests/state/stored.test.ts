import { beforeEach, describe, expect, test, vi } from "vitest";

type Told = (event: { key: string | null }) => void;
let kept: Map<string, string>;
let told: Told[];

beforeEach(() => {
  kept = new Map();
  told = [];
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) });
  vi.stubGlobal("window", { addEventListener: (_: string, listener: Told) => void told.push(listener) });
  vi.resetModules();
});

describe("colours", () => {
  test("that another tab has chosen stay when one is chosen here", async () => {
    const { chooseColor, colorOf, PALETTE_COLORS } = await import("../../src/model/colors");
    const [first, second] = PALETTE_COLORS as [string, string];
    chooseColor("a", first);
    kept.set("ml-dash.colors", JSON.stringify({ a: first, b: second }));
    for (const tell of told) tell({ key: "ml-dash.colors" });
    expect(colorOf({ id: "b", ordinal: 5 }).light).toBe(second);
    chooseColor("a", null);
    expect(JSON.parse(kept.get("ml-dash.colors") ?? "")).toEqual({ b: second });
  });
});

describe("where the browser keeps nothing", () => {
  test("everything starts, and holds while the page is open", async () => {
    Object.defineProperty(globalThis, "localStorage", { configurable: true, get: () => { throw new DOMException("forbidden", "SecurityError"); } });
    const stored = await import("../../src/state/stored");
    expect([stored.read("a"), stored.readJson("a")]).toEqual([null, null]);
    expect(() => stored.write("a", "b")).not.toThrow();
    const { chooseColor, colorOf, PALETTE_COLORS } = await import("../../src/model/colors");
    chooseColor("a", PALETTE_COLORS[3] ?? null);
    expect(colorOf({ id: "a", ordinal: 0 }).light).toBe(PALETTE_COLORS[3]);
    const { saveView } = await import("../../src/shell/views");
    expect(() => saveView({ name: "v", path: "/p/a", query: "" })).not.toThrow();
    const { keepPlaces } = await import("../../src/model/places");
    keepPlaces("p", ["b", "a"], [1, 0]);
    expect(keepPlaces("p", ["b"], [0])).toEqual([1]);
  });
  test("nonsense counts as nothing", async () => {
    kept.set("a", "{");
    const { readJson } = await import("../../src/state/stored");
    expect(readJson("a")).toBe(null);
  });
});
