import { expect, test } from "vitest";
import { ApiError } from "../../src/api/client";
import { pauseBefore } from "../../src/api/retries";

test("that nobody answers is told within two seconds; who is busy gets time", () => {
  const sum = (error: Error) => [0, 1, 2].reduce((all, failures) => all + pauseBefore(failures, error), 0);
  expect(sum(new ApiError("offline", ""))).toBeLessThan(2000);
  expect(sum(new ApiError("busy", ""))).toBe(7000);
});
