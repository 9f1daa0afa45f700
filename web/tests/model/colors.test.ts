// That runs can be told apart by colour, whoever looks: as eyes see that lack one of the three kinds of cones (Machado, Oliveira and
// Fernandes 2009), by distances in Oklab × 100, in which some 2 are just noticed.
import { describe, expect, test } from "vitest";
import { colorOf, DARK_COLORS, PALETTE_COLORS } from "../../src/model/colors";

type Triple = readonly [number, number, number];

const EYES: Record<string, readonly Triple[]> = {
  normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};
const CONES: readonly Triple[] = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]];
const OKLAB: readonly Triple[] = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]];

const times = (matrix: readonly Triple[], [a, b, c]: Triple): Triple => matrix.map((row) => row[0] * a + row[1] * b + row[2] * c) as unknown as Triple;

function linear(hex: string): Triple {
  const part = (at: number) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [part(1), part(3), part(5)];
}

function seen(hex: string, eye: string): Triple {
  const light = times(EYES[eye] as readonly Triple[], linear(hex)).map((value) => Math.min(1, Math.max(0, value))) as unknown as Triple;
  return times(OKLAB, times(CONES, light).map((value) => 100 * Math.cbrt(value)) as unknown as Triple);
}

function least(colors: readonly string[], eye: string): number {
  const all = colors.map((color) => seen(color, eye));
  return Math.min(...all.flatMap((a, i) => all.slice(i + 1).map((b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]))));
}

function luminance(hex: string): number {
  const [red, green, blue] = linear(hex);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const contrast = (a: string, b: string): number => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
};

describe.each([["light", PALETTE_COLORS, "#ffffff"], ["dark", DARK_COLORS, "#1b212c"]] as const)("on a %s page", (_, colors, page) => {
  test("there are 24", () => {
    expect(new Set(colors).size).toBe(24);
  });

  test.each(Object.keys(EYES))("any two are told apart with %s vision, and the first six easily", (eye) => {
    const share = eye === "normal" ? 2 : 1;
    expect(least(colors, eye)).toBeGreaterThan(4.5 * share);
    expect(least(colors.slice(0, 6), eye)).toBeGreaterThan(6 * share);
  });

  test("each stands out of the page", () => {
    expect(Math.min(...colors.map((color) => contrast(color, page)))).toBeGreaterThanOrEqual(3);
  });
});

test("a run has its colour by its place; beyond 24 the line's pattern tells", () => {
  const of = (ordinal: number) => colorOf({ id: "a", ordinal });
  const looks = Array.from({ length: 96 }, (_, ordinal) => JSON.stringify(of(ordinal)));
  expect(new Set(looks).size).toBe(96);
  expect(of(25)).toEqual({ ...of(1), dash: of(24).dash });
  expect(of(0).dash).toEqual([]);
});
