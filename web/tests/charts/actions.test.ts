import { expect, test, vi } from "vitest";

vi.stubGlobal("window", { location: { pathname: "/p/a", search: "" }, addEventListener: () => undefined });
const { roundedRange } = await import("../../src/charts/actions");

test("a range goes into the address with the digits that say something", () => {
  expect(roundedRange([1234.5678, 5678.1234])).toEqual([1235, 5678]);
  expect(roundedRange([0.123456, 0.134567])).toEqual([0.12346, 0.13457]);
});

test("on a logarithmic axis a low end stays what it is beside a high one, and a narrow range stays narrow", () => {
  expect(roundedRange([0.0512345, 5000.123], true)).toEqual([0.05123, 5000.1]);
  expect(roundedRange([123_456.2, 123_465.9], true)).toEqual([123_456.2, 123_465.9]);
});
