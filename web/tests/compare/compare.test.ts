import { describe, expect, test } from "vitest";
import { axisAt, planOf, runAt, within } from "../../src/compare/parallel";
import { axisOf, axisScale, axisTicks, isLog, placeOf, quantityOf, shareOf, varies } from "../../src/compare/quantity";
import { viridis } from "../../src/compare/viridis";

const lr = quantityOf("params.lr", "lr", [0.1, 0.001, 0.01, null]);
const optimizer = quantityOf("params.optimizer", "optimizer", ["sgd", "adam", "sgd", undefined]);
const loss = quantityOf("loss", "loss", [1, 3, "NaN", 2]);

describe("quantities", () => {
  test("are numbers where all that there is are numbers", () => {
    expect([lr.numeric, optimizer.numeric, loss.numeric, lr.known]).toEqual([true, false, true, 3]);
    expect(optimizer.categories).toEqual(["adam", "sgd"]);
    expect(quantityOf("x", "x", [1, "a", 10, 2]).categories).toEqual(["1", "2", "10", "a"]);
    expect(quantityOf("x", "x", [undefined]).numeric).toBe(false);
  });

  test("vary where any two differ, also by being absent", () => {
    expect([varies(lr), varies(quantityOf("x", "x", [1, 1])), varies(quantityOf("x", "x", [1, undefined]))]).toEqual([true, false, true]);
  });

  test("that span decades have logarithmic axes, unless turned", () => {
    expect([isLog(lr, false), isLog(lr, true), isLog(loss, false), isLog(optimizer, true), isLog(quantityOf("x", "x", [0.001, 0.2, 0.3, 0.5]), false)]).toEqual([true, false, false, false, false]);
  });

  test("have no place for what is no number", () => {
    const axis = axisOf(loss, false);
    expect([placeOf(axis, 1), placeOf(axis, 2)]).toEqual([3, NaN]);
    expect(placeOf(axisOf(quantityOf("x", "x", [-1, 1]), true), 0)).toBeNaN();
    expect(shareOf(axisOf(lr, true), 2)).toBeCloseTo(0.5);
  });

  test("few values have a tick each", () => {
    const axis = axisOf(quantityOf("x", "x", [16, 32, 64]), false);
    expect(axisTicks(axis, axisScale(axis, 400, 0), 6).map((tick) => tick.label)).toEqual(["16", "32", "64"]);
  });
});

describe("parallel coordinates", () => {
  const axes = [axisOf(lr, true), axisOf(optimizer, false), axisOf(loss, false)];
  const plan = planOf(axes, 4, 800, 500);

  test("let through what all brushes do", () => {
    expect([...within(axes, [], 4)]).toEqual([1, 1, 1, 1]);
    expect([...within(axes, [{ reference: "params.lr", from: 0.005, to: 1 }], 4)]).toEqual([1, 0, 1, 0]);
    expect([...within(axes, [{ reference: "params.lr", from: 0.005, to: 1 }, { reference: "loss", from: 2, to: 0 }], 4)]).toEqual([1, 0, 0, 0]);
    expect([...within(axes, [{ reference: "gone", from: 0, to: 1 }], 4)]).toEqual([1, 1, 1, 1]);
  });

  test("find the axis and the line that are pointed at", () => {
    expect(axisAt(plan, plan.at[1] as number, 200)).toBe(1);
    expect(axisAt(plan, 150, 200)).toBe(-1);
    const y = plan.ys[1 * 3] as number;
    expect(runAt(plan, new Uint8Array(4).fill(1), plan.at[0] as number, y, 8)).toBe(1);
    expect(runAt(plan, new Uint8Array([1, 0, 1, 1]), plan.at[0] as number, y, 8)).toBe(-1);
  });

  test("lay what has no value below its axis", () => {
    expect(plan.none[3 * 3]).toBe(1);
    expect(plan.ys[3 * 3]).toBeGreaterThan(plan.bottom);
  });
});

test("colours go from dark to light, and are grey where there is no value", () => {
  expect(viridis(0, false, "gray")).toBe("rgb(68, 1, 84)");
  expect(viridis(NaN, true, "gray")).toBe("gray");
  expect(viridis(1, true, "gray")).toBe("rgb(253, 231, 37)");
});
