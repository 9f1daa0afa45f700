// One chart on the page: a canvas for the picture and one above it for what follows the pointer. Repaints in the next frame after
// something has changed, and only while it is in sight. React makes it and tells it what to draw; nothing here renders by React.
import { Canvases } from "./canvases";
import { cursor, type Follower } from "./cursor";
import { beginOf, nearestTo, placesOf } from "./data/axis";
import { PanelData, type RunData } from "./data/panel_data";
import { pointsFor } from "./data/wants";
import { frameOf, type AxisRange, type Frame } from "./draw/frame";
import { anyWithin, extentX, extentY, odd, unplaced, usualY, type Extent, type Line } from "./draw/line";
import { nearest, type Hit } from "./draw/nearest";
import { paint } from "./draw/paint";
import { padded, px } from "./draw/scale";
import { LOADING, type ChartStatus, type Drawn } from "./drawn";
import { Lines } from "./lines";
import { Overlay } from "./overlay";
import { PointRow } from "./point_row";
import { axisName, bucketText, detailOf, placeText, tickKind, valueText } from "./said";
import { Tooltip } from "./tooltip";
import { xText } from "../state/view";
import { numberLabel } from "./draw/ticks";

export interface ChartEvents {
  onStatus: (status: ChartStatus) => void;
  /** The chart in words. */
  onLabel: (label: string) => void;
}

/** ms between two paintings of a chart of which parts are still coming. */
const PART_PAUSE = 120;

export class Chart implements Follower {
  lines: Line[] = [];
  frame: Frame | null = null;
  drawn: Drawn | null = null;
  /** What it is drawn from, by run. */
  found: ReadonlyMap<string, RunData> | null = null;
  private readonly data = new PanelData(() => this.soon());
  private readonly maker = new Lines();
  private readonly canvases: Canvases;
  private readonly overlay: Overlay;
  private readonly tip: Tooltip;
  private readonly row = new PointRow(() => this.follow());
  private readonly unfollow: () => void;
  private status: ChartStatus = LOADING;
  private label = "";
  private waits = 0;
  private pause = 0;
  private paintedAt = 0;
  private pointer: { x: number; y: number } | null = null;
  private hit: Hit | null = null;
  /** Where the keyboard is: another range must not move it to another point. */
  private held: { run: string; place: number } | null = null;
  private readonly painted = new Set<() => void>();

  constructor(host: HTMLElement, private readonly events: ChartEvents) {
    this.canvases = new Canvases(host);
    this.overlay = new Overlay(this.canvases);
    this.tip = new Tooltip(host);
    this.unfollow = cursor.add(this);
  }

  get axis(): string {
    return this.drawn ? xText(this.drawn.x) : "";
  }

  get inSight(): boolean {
    return this.data.inSight;
  }

  set inSight(sight: boolean) {
    this.data.inSight = sight;
    if (sight) this.soon();
  }

  draw(drawn: Drawn): void {
    this.drawn = drawn;
    const { panel, runs, x, zoom, width, aPixel, points } = drawn;
    this.canvases.resize(drawn.width, drawn.height);
    this.data.set({ ...panel, runs, x, zoom, points: pointsFor(width, runs.length, points, aPixel) });
    // Asked for at once, though painted with the next frame.
    this.data.look();
    this.soon();
  }

  close(): void {
    cancelAnimationFrame(this.waits);
    window.clearTimeout(this.pause);
    this.unfollow();
    this.data.close();
    this.row.close();
    this.tip.close();
  }

  private soon(): void {
    if (this.waits || this.pause) return;
    const rest = this.status.waiting && this.lines.length ? this.paintedAt + PART_PAUSE - performance.now() : 0;
    if (rest > 0) this.pause = window.setTimeout(() => this.next(), rest);
    else this.next();
  }

  private next(): void {
    this.pause = 0;
    this.waits = requestAnimationFrame(() => this.now());
  }

  private now(): void {
    this.waits = 0;
    this.paintedAt = performance.now();
    const { drawn } = this;
    if (!drawn || drawn.width < 40) return;
    const found = (this.found = this.data.look());
    // Out of sight it is painted once it is whole, and not for each part that comes.
    if (!this.inSight && this.frame && [...found.values()].some((one) => one.waiting)) return;
    this.lines = this.maker.of(drawn, found);
    const [x, y] = this.ranges(drawn);
    this.frame = frameOf(this.canvases.below, drawn.width, drawn.height, x, y, tickKind(drawn.x, this.lines));
    this.canvases.clearBelow();
    if (this.lines.length) paint(this.canvases.below, this.frame, this.lines, drawn.ink);
    this.hit = null;
    this.hold();
    this.tell(drawn, found);
    this.follow();
    for (const listener of this.painted) listener();
  }

  /** Called after every painting, until what is returned is called. */
  onPainted(listener: () => void): () => void {
    this.painted.add(listener);
    return () => this.painted.delete(listener);
  }

  /** All that there is on the x axis, whatever part of it is in sight; null before anything has come. */
  get whole(): Extent | null {
    const { drawn, found } = this;
    const places = drawn?.runs.flatMap(({ id, origin }) => {
      const overview = found?.get(id)?.overview;
      return overview?.n ? [{ places: placesOf(overview, drawn.x, beginOf(overview, drawn.x, origin)) }] : [];
    });
    const extent = places?.length ? extentX(places, this.frame?.x.log ?? false) : null;
    return extent && extent.min < extent.max ? extent : null;
  }

  private ranges(drawn: Drawn): [AxisRange, AxisRange] {
    const placed = extentX(this.lines, drawn.logX);
    // Where nothing lies to the right of 0, a logarithmic axis would be empty.
    const logX = drawn.logX && placed.max > 0;
    const whole = logX === drawn.logX ? placed : extentX(this.lines, false);
    const [low, high] = drawn.zoom ?? (whole.min === whole.max ? [whole.min - 0.5, whole.max + 0.5] : padded(whole.min, whole.max, logX, 0));
    // A link may say what no drag can: an axis from 0.
    const least = whole.min < high ? whole.min : high / 1000;
    const x = { min: logX && low <= 0 ? least : low, max: high, log: logX && high > 0 };
    const every = extentY(this.lines, low, high, drawn.logY);
    const seen = drawn.usual ? usualY(this.lines, low, high, drawn.logY) : every;
    const [min, max] = padded(seen.min, seen.max, drawn.logY);
    return [x, { min, max, log: drawn.logY }];
  }

  private tell(drawn: Drawn, found: ReadonlyMap<string, RunData>): void {
    const all = [...found.values()];
    const waiting = all.some((one) => one.waiting);
    const troubled = all.find((one) => one.trouble);
    const samples = all.flatMap(({ sample, overview }) => (sample?.n ? [{ sample, points: (overview ?? sample).total }] : []));
    const finite = this.lines.some((line) => line.y.some(Number.isFinite));
    const most = samples.reduce((a, b) => (b.points > a.points ? b : a), samples[0] ?? { sample: null, points: 0 });
    const state = finite || this.lines.some(odd) ? "ready" : waiting ? "loading" : troubled ? "trouble" : "empty";
    const status: ChartStatus = {
      state,
      trouble: troubled?.trouble ?? null,
      buckets: most.sample?.n ?? 0,
      points: most.points,
      here: most.sample ? most.sample.stop - most.sample.start : 0,
      exact: samples.every(({ sample }) => sample.exact),
      seen: !drawn.zoom || anyWithin(this.lines, ...drawn.zoom),
      lines: this.lines.length,
      runs: samples.length,
      waiting,
      finite,
      unplaced: drawn.logY ? unplaced(this.lines) : 0,
      leftOut: this.frame?.x.log ? this.lines.reduce((sum, { places }) => sum + leftOf(places.x), 0) : 0,
    };
    const keys = Object.keys(status) as (keyof ChartStatus)[];
    if (keys.some((key) => status[key] !== this.status[key])) this.events.onStatus((this.status = status));
    const label = this.words(drawn);
    if (label !== this.label) this.events.onLabel((this.label = label));
  }

  private words(drawn: Drawn): string {
    const { panel, x } = drawn;
    const name = panel.field === "value" ? panel.name : `${panel.name}, ${panel.field}`;
    if (!this.frame || !this.lines.length) return `Chart of ${name}: nothing drawn yet`;
    const { x: xs, y: ys } = this.frame;
    const runs = this.lines.length === 1 ? (this.lines[0]?.name ?? "") : `${this.lines.length} lines`;
    return `Chart of ${name}, ${runs}: ${axisName(x)} ${placeText(x, xs.min)} to ${placeText(x, xs.max)}, values ${numberLabel(Number(ys.min.toPrecision(3)))} to ${numberLabel(Number(ys.max.toPrecision(3)))}`;
  }

  // ------------------------------------------------------------ cursor

  /** px of the cursor, where it is on this chart. */
  get cursorAt(): number | null {
    return this.pointer?.x ?? null;
  }

  /** The pointer is at a place of the canvas, or, null, has left it. */
  point(at: { x: number; y: number } | null): void {
    this.pointer = at;
    this.held = null;
    if (at) cursor.moved(this);
    else cursor.leave(this);
  }

  /** By the keyboard: to the next bucket of the line that is pointed at, in words for who cannot see it. */
  step(by: number): string {
    const { frame, lines, drawn } = this;
    const line = lines.find(({ id }) => id === cursor.run) ?? lines[0];
    if (!frame || !line || !drawn) return "";
    const seen = positionsIn(line, frame);
    const from = this.hit?.line === line ? seen.indexOf(this.hit.at) : -1;
    const next = from >= 0 ? from + by : by > 0 ? 0 : seen.length - 1;
    const at = seen[Math.max(0, Math.min(seen.length - 1, next))];
    if (at === undefined) return "";
    this.held = { run: line.id, place: line.places.x[at] as number };
    this.pointAt(frame, line, at);
    cursor.moved(this);
    return [line.name, bucketText(drawn.x, line, at), valueText(line, at), ...detailOf(line, at)].join(", ");
  }

  private pointAt(frame: Frame, line: Line, at: number): void {
    const x = Math.max(frame.left, Math.min(frame.right, px(frame.x, line.places.x[at] as number)));
    this.pointer = { x, y: px(frame.y, line.y[at] as number) };
    this.hit = { line, at, distance: 0 };
  }

  private hold(): void {
    const { frame, held } = this;
    const line = held && this.lines.find(({ id }) => id === held.run);
    const at = line ? nearestTo(line.places, held.place) : -1;
    if (frame && line && at >= 0) this.pointAt(frame, line, at);
  }

  lead(): void {
    const { frame, pointer } = this;
    if (!frame || !pointer) return;
    if (!(this.hit && this.hit.distance === 0 && px(frame.x, this.hit.line.places.x[this.hit.at] as number) === pointer.x)) {
      this.hit = nearest(this.lines, frame, pointer.x, pointer.y);
    }
    cursor.run = this.hit?.line.id ?? null;
    cursor.x = this.hit ? (this.hit.line.places.x[this.hit.at] as number) : null;
  }

  follow(): void {
    const { frame, drawn } = this;
    if (!frame || !drawn || !this.inSight) return;
    const leads = cursor.leader === this;
    const here = cursor.x !== null && cursor.axis === this.axis;
    if (leads && this.pointer && !this.hit) this.lead();
    const run = leads ? cursor.run : cursor.settled;
    if (here || run !== null) this.overlay.show(frame, this.lines, drawn.ink, here ? cursor.x : null, run, leads ? this.hit : null);
    else this.overlay.hide();
    if (leads && here && this.hit) this.tip.show(this.lines, frame, this.hit, drawn.x, this.row.of(drawn.panel, this.hit, drawn.x.by === "field" ? drawn.x.field : null));
    else this.tip.hide();
  }
}

const leftOf = (x: Float64Array): number => x.reduce((sum, place) => sum + Number(place <= 0), 0);

/** The buckets in sight: the keyboard goes no further. */
function positionsIn(line: Line, frame: Frame): number[] {
  return [...line.places.x.keys()].filter((i) => {
    const at = line.places.x[i] as number;
    return at >= frame.x.min && at <= frame.x.max;
  });
}
