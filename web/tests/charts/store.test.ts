import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { keyOf, type Want } from "../../src/charts/data/wants";

interface Body {
  series: { start: number; width?: number }[];
}

const asked: Body["series"] = [];
let answer: (at: number, series: Body["series"][number]) => Response = () => new Response();
vi.stubGlobal("document", { visibilityState: "visible", addEventListener: () => undefined });
vi.stubGlobal("window", { addEventListener: () => undefined, setTimeout: (done: () => void, ms: number) => setTimeout(done, ms), clearTimeout: () => undefined });
vi.stubGlobal("requestAnimationFrame", (done: () => void) => setTimeout(done, 16));
vi.stubGlobal("fetch", async (_path: string, { body }: { body: string }) => {
  const [series] = (JSON.parse(body) as Body).series;
  if (!series) throw new Error("asked for nothing");
  asked.push(series);
  return answer(asked.length - 1, series);
});
const { live } = await import("../../src/state/live");
const { samples } = await import("../../src/charts/data/store");

const frame = (head: object, ...columns: number[][]) => {
  const line = new TextEncoder().encode(`${JSON.stringify({ at: 0, ...head })}\n`);
  return new Response(new Blob([line, new Float64Array(columns.flat()).buffer]));
};
const points = (total: number, start = 0) => {
  const starts = Array.from({ length: total - start }, (_, i) => start + i);
  return frame({ total, n: starts.length, start, stop: total, width: 1, exact: true, columns: ["start", "min"] }, starts, starts.map(() => 1));
};
const wantOf = (run: string): Want => ({ run, kind: "metrics", name: "loss", field: "value", x: null, start: 0, stop: null, points: 100 });
/** As `advanced` of /live tells it. */
const tell = (run: string, total: number) => (live as unknown as { advanced: (told: object) => void }).advanced({ [run]: { "metrics/loss": total } });

function looking(...runs: string[]) {
  const client = { wants: new Map(runs.map((run) => [keyOf(wantOf(run)), wantOf(run)])), inSight: true, arrived: () => undefined };
  samples.add(client);
  return client;
}

beforeAll(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
beforeEach(() => void (asked.length = 0));
afterAll(() => void vi.useRealTimers());

const pass = async (ms: number) => {
  for (let passed = 0; passed < ms; passed += 50) {
    await vi.advanceTimersByTimeAsync(50);
    await new Promise((done) => setImmediate(done));
  }
};

test("a continuation that would be too long is followed by a request for all of it", async () => {
  answer = (at) => (at === 0 ? points(10) : at === 1 ? frame({ error: "InvalidInput", message: "too many buckets" }) : points(12));
  const client = looking("long");
  await pass(500);
  tell("long", 11);
  await pass(2000);
  expect(asked.map(({ start, width }) => [start, width])).toEqual([[0, undefined], [10, 1], [0, undefined]]);
  const held = samples.get(wantOf("long"));
  expect([held.sample?.total, held.trouble]).toEqual([12, null]);
  samples.drop(client);
});

test("a continuation that is refused keeps what was there, and is not asked for again and again", async () => {
  answer = (at) => (at === 0 ? points(10) : new Response("{}", { status: 403 }));
  const client = looking("refused");
  await pass(500);
  tell("refused", 11);
  await pass(5000);
  expect(asked.length).toBe(2);
  expect(samples.get(wantOf("refused")).sample?.total).toBe(10);
  samples.drop(client);
});

test("what nobody waits for any more is forgotten in time", async () => {
  answer = () => points(10);
  const client = looking("kept");
  await pass(500);
  const before = samples.get(wantOf("0"));
  for (let run = 1; run < 31_000; run += 1) samples.get(wantOf(String(run)));
  samples.soon();
  await pass(200);
  expect(samples.get(wantOf("0"))).not.toBe(before);
  expect(samples.get(wantOf("kept")).sample?.total).toBe(10);
  samples.drop(client);
});
