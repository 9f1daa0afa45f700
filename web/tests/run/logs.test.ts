import { describe, expect, it } from "vitest";
import { hunt } from "../../src/run/logs/finder";
import { LevelCounts } from "../../src/run/logs/levels";
import { MatchingLog } from "../../src/run/logs/matchingLog";
import { type Ask, type Fetch, KEPT, type LogEntry, type LogPage, PAGE } from "../../src/run/logs/source";
import { lineTime } from "../../src/run/logs/times";
import { WholeLog } from "../../src/run/logs/wholeLog";

const STEP = 3000;

/** A log of `total` lines; each hundredth is an error, and line 7,777 says "needle". Backward goes down from before `from`. */
class Server {
  asked: Ask[] = [];
  constructor(public total: number) {}
  row = (index: number): LogEntry => ({ index, timestamp: "", level: index % 100 === 0 ? "error" : "info", message: index === 7777 ? "a Needle" : `line ${index}` });
  fetch: Fetch = async (ask): Promise<LogPage> => {
    this.asked.push(ask);
    await Promise.resolve();
    const rows: LogEntry[] = [];
    let at = ask.backward ? Math.min(ask.from, this.total) - 1 : ask.from;
    let scanned = 0;
    for (; at >= 0 && at < this.total && scanned < STEP && rows.length < ask.limit; at += ask.backward ? -1 : 1, scanned += 1) {
      const row = this.row(at);
      if (ask.levels && !ask.levels.includes(row.level)) continue;
      if (ask.search && !row.message.toLowerCase().includes(ask.search.toLowerCase())) continue;
      rows.push(row);
    }
    const next = ask.backward ? (at >= 0 ? at + 1 : null) : at < this.total ? at : null;
    return { rows, next, total: this.total, scanned };
  };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 2000; i += 1) await Promise.resolve();
};

describe("the whole log", () => {
  it("fetches the pages that are looked at, each once, and forgets those far away", async () => {
    const server = new Server(1_000_000);
    const log = new WholeLog(server.fetch, 1_000_000);
    log.want(999_990, 999_999);
    log.want(999_990, 999_999);
    await settled();
    expect(server.asked).toHaveLength(1);
    expect(log.rowAt(999_999)?.message).toBe("line 999999");
    for (let page = 0; page < 60; page += 1) {
      log.want(page * PAGE, page * PAGE);
      await settled();
    }
    expect(log.rowAt(59 * PAGE)?.index).toBe(59 * PAGE);
    expect(log.rowAt(999_999)).toBe(undefined);
    expect(Array.from({ length: 60 * PAGE }, (_, i) => log.rowAt(i)).filter(Boolean).length).toBeLessThanOrEqual(KEPT);
  });
  it("fetches only what is new when it grows", async () => {
    const server = new Server(510);
    const log = new WholeLog(server.fetch, 510);
    log.want(505, 509);
    await settled();
    server.total = 530;
    log.grow(530);
    log.want(520, 529);
    await settled();
    expect(server.asked.at(-1)).toMatchObject({ from: 510 });
    expect(log.rowAt(529)?.index).toBe(529);
  });
  it("stops at an error until it is told to go on", async () => {
    let broken = true;
    const server = new Server(10);
    const log = new WholeLog((ask, signal) => (broken ? Promise.reject(new Error("no")) : server.fetch(ask, signal)), 10);
    log.want(0, 9);
    await settled();
    expect(log.error).toBeInstanceOf(Error);
    broken = false;
    log.retry();
    log.want(0, 9);
    await settled();
    expect(log.rowAt(9)?.index).toBe(9);
  });
});

describe("lines that match", () => {
  it("are found from the end backward, as far as one scrolls", async () => {
    const server = new Server(200_000);
    const log = new MatchingLog(server.fetch, 200_000, { levels: ["error"] }, 200_000);
    log.want(0, 30);
    await settled();
    expect(log.indexAt(log.count - 1)).toBe(199_900);
    const before = log.count;
    expect(before).toBeGreaterThanOrEqual(200);
    expect(before).toBeLessThan(2000);
    expect(log.progress.busy).toBe(false);
    log.want(0, 30);
    await settled();
    expect(log.count).toBeGreaterThan(before);
    expect(log.rowAt(0)?.level).toBe("error");
  });
  it("come when the log grows", async () => {
    const server = new Server(1000);
    const log = new MatchingLog(server.fetch, 1000, { levels: ["error"] }, 1000);
    log.want(0, 30);
    await settled();
    expect(log.count).toBe(10);
    server.total = 1101;
    log.grow(1101);
    await settled();
    expect([log.indexAt(10), log.indexAt(11)]).toEqual([1000, 1100]);
    expect(log.progress).toMatchObject({ from: 0, to: 1101, busy: false });
  });
  it("begin at a line, in both directions, and their positions are found again", async () => {
    const server = new Server(100_000);
    const log = new MatchingLog(server.fetch, 100_000, { levels: ["error"] }, 50_000);
    log.want(0, 30);
    await settled();
    expect(log.indexAt(log.positionOf(50_000))).toBe(50_000);
    expect(log.indexAt(log.positionOf(49_850))).toBe(49_900);
  });
  it("can be stopped", async () => {
    const server = new Server(10_000_000);
    const log = new MatchingLog(server.fetch, 10_000_000, { search: "no such text" }, 10_000_000);
    log.want(0, 0);
    await Promise.resolve();
    log.halt(true);
    await settled();
    const { length } = server.asked;
    expect(length).toBeLessThan(5);
    log.halt(false);
    await settled();
    expect(server.asked.length).toBeGreaterThan(length);
    log.dispose();
  });
});

describe("the next line with a text", () => {
  const signal = new AbortController().signal;
  const find = (server: Server, from: number, backward = false) =>
    hunt(server.fetch, { search: "needle", levels: [], from, backward, total: server.total }, () => undefined, signal);
  it("is found in steps, forward and backward, and around the end", async () => {
    const server = new Server(20_000);
    expect(await find(server, 0)).toEqual({ index: 7777, around: false });
    expect(await find(server, 19_000, true)).toEqual({ index: 7777, around: false });
    expect(await find(server, 9000)).toEqual({ index: 7777, around: true });
    expect(await find(server, 100, true)).toEqual({ index: 7777, around: true });
  });
  it("is the same one where there is no other, and none where there is none", async () => {
    expect(await find(new Server(20_000), 7777)).toEqual({ index: 7777, around: true });
    expect(await find(new Server(20_000), 7777, true)).toEqual({ index: 7777, around: true });
    expect((await find(new Server(5000), 10)).index).toBe(null);
    expect((await find(new Server(0), 0)).index).toBe(null);
  });
  it("stops when it is told to", async () => {
    const stop = new AbortController();
    const server = new Server(1_000_000);
    const going = hunt(server.fetch, { search: "nothing", levels: [], from: 0, backward: false, total: 1_000_000 }, () => stop.abort(), stop.signal);
    await expect(going).rejects.toThrow();
    expect(server.asked.length).toBeLessThan(3);
  });
});

describe("small things", () => {
  it("count each line once", () => {
    const counts = new LevelCounts();
    const rows = [1, 2, 5000].map((index): LogEntry => ({ index, timestamp: "", level: "info", message: "" }));
    counts.add(rows);
    counts.add(rows.slice(1));
    expect(counts.counts.get("info")).toBe(3);
  });
  it("tell time since the start", () => {
    expect(lineTime("2026-01-01T01:02:03.004Z", "since", Date.parse("2026-01-01T00:00:00Z"))).toBe("+01:02:03.004");
    expect(lineTime("2026-01-03T00:00:00Z", "since", Date.parse("2026-01-01T00:00:00Z"))).toBe("+2d 00:00:00.000");
    expect(lineTime("nonsense", "clock", 0)).toBe("");
  });
});
