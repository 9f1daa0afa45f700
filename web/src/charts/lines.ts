// Samples made into lines: places on x, smoothing, restarts, means of groups. Keeps what has not changed.
import type { XAxis } from "../state/view";
import { beginOf, placeOfIndex, placesOf } from "./data/axis";
import type { RunData } from "./data/panel_data";
import type { Sample } from "./data/sample";
import { extentX, spikesOf, type Line } from "./draw/line";
import { meanOf } from "./draw/mean";
import { smoothed } from "./draw/smooth";
import type { Drawn, DrawnRun } from "./drawn";

interface Kept {
  sample: Sample;
  overview: Sample;
  made: string;
  line: Line;
}

export class Lines {
  private kept = new Map<string, Kept>();

  /** A line for each run that has values, or for each group of them. */
  of(drawn: Drawn, found: ReadonlyMap<string, RunData>): Line[] {
    const kept = new Map<string, Kept>();
    const singles: Line[] = [];
    const groups = new Map<string, { first: DrawnRun; lines: Line[] }>();
    for (const run of drawn.runs) {
      const data = found.get(run.id);
      if (!data?.sample?.n) continue;
      const line = this.line(drawn, run, data.sample, data.overview ?? data.sample, kept);
      if (run.group === null) singles.push(line);
      else {
        const group = groups.get(run.group) ?? { first: run, lines: [] };
        group.lines.push(line);
        groups.set(run.group, group);
      }
    }
    this.kept = kept;
    // Where no group has two runs here there is nothing to take a mean of: lines stay as exact as they are.
    const means = [...groups.values()].some(({ lines }) => lines.length > 1);
    for (const [name, { first, lines }] of groups) {
      const line = means ? groupLine(name, first, lines, drawn.zoom) : lines[0] && { ...lines[0], name };
      if (line) singles.push(line);
    }
    return singles;
  }

  private line(drawn: Drawn, run: DrawnRun, sample: Sample, overview: Sample, kept: Map<string, Kept>): Line {
    const { x, smoothing, panel } = drawn;
    const made = [x.by, run.name, run.color, run.dash, smoothing.strength, smoothing.by, run.restarts.length, run.strong].join(" ");
    const old = this.kept.get(run.id);
    const entry = old && old.sample === sample && old.overview === overview && old.made === made
      ? old
      : { sample, overview, made, line: lineOf(run, sample, overview, drawn, `${panel.kind}/${panel.name}`) };
    kept.set(run.id, entry);
    return entry.line;
  }
}

function lineOf(run: DrawnRun, sample: Sample, overview: Sample, { x, smoothing }: Drawn, series: string): Line {
  const zero = beginOf(overview, x, run.origin);
  const places = placesOf(sample, x, zero);
  const y = smoothing.strength > 0 ? smoothedBy(sample, overview, x, zero, smoothing) : sample.mean;
  const marks = run.restarts.map((first) => placeOfIndex(sample, places, first[series] ?? -1)).filter(Number.isFinite);
  return {
    id: run.id,
    name: run.name,
    color: run.color,
    dash: run.dash,
    places,
    y,
    raw: y === sample.mean ? null : sample.mean,
    low: sample.exact ? null : sample.min,
    high: sample.exact ? null : sample.max,
    spikes: sample.exact ? [] : spikesOf(sample.mean, sample.min, sample.max),
    sample,
    strong: run.strong,
    members: 1,
    restarts: marks,
  };
}

/** A closer view goes on with what the overview has gathered before it, so that the line stays where it is while one zooms. */
function smoothedBy(sample: Sample, overview: Sample, x: XAxis, zero: number, how: Drawn["smoothing"]): Float64Array {
  const whole = placesOf(overview, x, zero);
  const { min, max } = extentX([{ places: whole }], false);
  const span = max - min;
  if (sample === overview) return smoothed(sample, whole, how, span).values;
  const { gathered } = smoothed(overview, whole, how, span, undefined, sample.start);
  return smoothed(sample, placesOf(sample, x, zero), how, span, gathered).values;
}

/** Share of what is in sight by which a mean is drawn beyond it: to the plot's very edges. */
const BEYOND = 0.02;

function groupLine(name: string, first: DrawnRun, lines: readonly Line[], zoom: Drawn["zoom"]): Line | null {
  const { min, max } = extentX(lines, false);
  const beyond = zoom ? BEYOND * (zoom[1] - zoom[0]) : 0;
  const [from, to] = zoom ? [Math.max(min, zoom[0] - beyond), Math.min(max, zoom[1] + beyond)] : [min, max];
  return meanOf(lines, from <= to ? from : min, from <= to ? to : max, { id: `group ${name}`, name, color: first.color, dash: [] });
}
