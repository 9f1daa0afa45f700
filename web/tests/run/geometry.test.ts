import { describe, expect, it } from "vitest";
import { aimed, anchorOf, endAnchor, scrollOf, settled, TALLEST, tallness, windowOf, type Geometry } from "../../src/run/lines/geometry";

const of = (count: number, view = 100, height: (row: number) => number = () => 20): Geometry => ({ count, view, height });

describe("a window on rows", () => {
  it("stays between the first row and the last", () => {
    expect(settled({ at: 0, offset: -50 }, of(10))).toEqual({ at: 0, offset: 0 });
    expect(settled({ at: 9, offset: 0 }, of(10))).toEqual({ at: 5, offset: 0 });
    expect(settled({ at: 3, offset: 45 }, of(100))).toEqual({ at: 5, offset: 5 });
    expect(settled({ at: 3, offset: -45 }, of(100))).toEqual({ at: 0, offset: 15 });
  });
  it("ends with the last row at its bottom, whatever the heights", () => {
    expect(endAnchor(of(10))).toEqual({ at: 5, offset: 0 });
    expect(endAnchor(of(10, 100, (row) => (row === 9 ? 90 : 20)))).toEqual({ at: 8, offset: 10 });
    expect(endAnchor(of(2))).toEqual({ at: 0, offset: 0 });
    expect(endAnchor(of(0))).toEqual({ at: 0, offset: 0 });
  });
  it("names the rows in it and beyond it", () => {
    expect(windowOf({ at: 50, offset: 5 }, of(100), 0)).toMatchObject({ first: 50, last: 55, top: -5, atEnd: false });
    expect(windowOf({ at: 50, offset: 0 }, of(100), 40)).toMatchObject({ first: 48, last: 56, top: -40 });
    expect(windowOf(endAnchor(of(100)), of(100), 0)).toMatchObject({ last: 99, atEnd: true });
  });
});

describe("the scroll bar", () => {
  const millions = of(10_000_000);
  it("is never taller than browsers can lay out", () => {
    expect(tallness(of(100), 20)).toBe(2000);
    expect(tallness(millions, 20)).toBe(TALLEST);
  });
  it("goes there and back", () => {
    for (const anchor of [{ at: 0, offset: 0 }, { at: 4_321_000, offset: 0 }, endAnchor(millions)]) {
      const back = anchorOf(scrollOf(anchor, millions, 20), millions, 20);
      expect(Math.abs(back.at - anchor.at)).toBeLessThan(30);
    }
    expect(anchorOf(TALLEST, millions, 20)).toEqual(endAnchor(millions));
  });
  it("is exact where nothing is scaled", () => {
    expect(scrollOf({ at: 7, offset: 3 }, of(1000), 20)).toBeCloseTo(143);
    expect(anchorOf(143, of(1000), 20)).toEqual({ at: 7, offset: expect.closeTo(3) as number });
  });
});

describe("bringing a row into sight", () => {
  it("puts it in the middle, or moves as little as needed", () => {
    expect(aimed(50, "middle", { at: 0, offset: 0 }, of(100))).toEqual({ at: 48, offset: 0 });
    const now = { at: 10, offset: 0 };
    expect(aimed(12, "near", now, of(100))).toEqual(now);
    expect(aimed(5, "near", now, of(100))).toEqual({ at: 5, offset: 0 });
    expect(aimed(20, "near", now, of(100))).toEqual({ at: 16, offset: 0 });
  });
});
