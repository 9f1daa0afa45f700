import { describe, expect, it } from "vitest";
import { count, grouped, short } from "../../src/model/format";

const english = (value: number, digits: number) => value.toLocaleString("en-US", { maximumFractionDigits: digits }).replace(/^-/, "−");

describe("numbers as people read them", () => {
  it("stand as a browser writes them in English", () => {
    for (const value of [0, 1, 12, 999, 1000, 12_345, 1e6, 1234567, 9007199254740993, 1e21, -1, -1234, -0.25]) {
      expect(grouped(value)).toBe(english(value, 12));
    }
    for (const value of [0.1, 1234.5, 99_999.125, 1_000_000.000001, -12_345.75, 0.000123]) {
      for (const digits of [1, 3, 6, 12]) expect(grouped(value, digits)).toBe(english(value, digits).replace(/^−0$/, "0"));
    }
    expect(count(1_000_000)).toBe("1,000,000");
  });

  it("are short", () => {
    expect([0, -0, 0.1 + 0.2, 12_340, 12_345.678, 1e7, 1.2345678e-7, -0.5, NaN, Infinity, -Infinity].map((value) => short(value))).toEqual([
      "0", "0", "0.3", "12,340", "12,350", "1e7", "1.235e-7", "−0.5", "NaN", "∞", "−∞",
    ]);
  });
});
