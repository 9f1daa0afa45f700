import { afterEach, beforeEach, expect, test, vi } from "vitest";

const MINUTE = 60_000;
const made: Source[] = [];

class Source {
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    made.push(this);
  }
  addEventListener(): void {}
  close(): void {}
}

const listeners: Record<string, () => void> = {};
const page = { visibilityState: "visible", addEventListener: (name: string, listener: () => void) => (listeners[name] = listener) };
vi.stubGlobal("document", page);
vi.stubGlobal("window", { addEventListener: () => undefined, setTimeout: (done: () => void, ms: number) => setTimeout(done, ms), clearTimeout: (timer: number) => clearTimeout(timer) });
vi.stubGlobal("EventSource", Source);
const { live } = await import("../../src/state/live");

beforeEach(() => vi.useFakeTimers({ now: 0 }));
afterEach(() => vi.useRealTimers());

const look = (state: "visible" | "hidden") => {
  page.visibilityState = state;
  listeners["visibilitychange"]?.();
};

test("after so long that the server tells no more what happened meanwhile, everything is doubted", () => {
  let gaps = 0;
  live.onGap(() => (gaps += 1));
  const leave = live.listen("", "one");
  made.at(-1)?.onopen?.();
  vi.advanceTimersByTime(5 * MINUTE);
  // The server ends a connection after five minutes: nothing is missed.
  made.at(-1)?.onerror?.();
  vi.advanceTimersByTime(MINUTE);
  made.at(-1)?.onopen?.();
  expect([made.length, gaps]).toEqual([2, 0]);
  look("hidden");
  vi.advanceTimersByTime(60 * MINUTE);
  look("visible");
  made.at(-1)?.onopen?.();
  expect([made.length, gaps]).toEqual([3, 1]);
  // Another project's first connection follows no other of it; coming back to the first does.
  leave();
  const away = live.listen("", "two");
  made.at(-1)?.onopen?.();
  expect(gaps).toBe(1);
  vi.advanceTimersByTime(20 * MINUTE);
  away();
  live.listen("", "one")();
  made.at(-1)?.onopen?.();
  expect([made.at(-1)?.url.includes("project=one"), gaps]).toEqual([true, 2]);
});
