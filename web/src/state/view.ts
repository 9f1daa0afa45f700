// What a project's view shows, as words of the query: read with defaults, written without them. One list, so that names stay one.
import { useMemo } from "react";
import { setQuery, usePlace, type Words } from "./url";

export type Tab = "charts" | "table" | "compare";
export type XAxis = { by: "index" } | { by: "field"; field: string } | { by: "relative" } | { by: "time" };

export interface View {
  tab: Tab;
  namespace: string;
  /** Text that names contain, or an expression of the filter language. */
  search: string;
  filter: string;
  /** References with "-" first for descending: "-created_at", "params.lr". */
  sort: string;
  /** References that are the table's columns; null is the usual ones. */
  columns: string[] | null;
  group: string;
  /** Drawn runs, by id; null is the newest `USUAL_RUNS`. */
  shown: string[] | null;
  baseline: string;
  archived: boolean;
  /** Runs that are chosen for what is done with many, by id; more than `MOST_CHOSEN` stay out of the address. */
  chosen: string[];
  /** Names of groups whose runs are folded away. */
  closed: string[];
  /** px of the table's columns whose reader has set them, by reference. */
  widths: Record<string, number>;
  /** Mark the parameters in which runs differ. */
  differences: boolean;
  x: XAxis;
  logX: boolean;
  logY: boolean;
  /** 0 is off, up to 1. */
  smoothing: number;
  smoothingBy: "exponential" | "time";
  /** Part of the names of panels. */
  panels: string;
  pinned: string[];
  /** The key of the panel that fills the page, "" for none. */
  full: string;
  /** [from, to] in units of x. */
  zoom: [number, number] | null;
  /** Draw a group's mean and spread instead of its runs. */
  mean: boolean;
  /** Keys of panels whose y axis is not as `logY` says. */
  turnedY: string[];
  /** Keys of panels that leave outliers out of sight. */
  usualY: string[];
  /** Groups of panels that are folded, or unfolded where folded is usual. */
  folded: string[];
  panelSize: "small" | "medium" | "large";
}

export const USUAL_RUNS = 20;
export const MOST_CHOSEN = 100;

function xOf(text: string | null): XAxis {
  if (!text || text === "index") return { by: "index" };
  if (text === "relative" || text === "time") return { by: text };
  return { by: "field", field: text.replace(/^field:/, "") };
}

export function xText(x: XAxis): string {
  return x.by === "field" ? `field:${x.field}` : x.by;
}

const list = (text: string | null): string[] | null => (text === null ? null : text === "-" ? [] : text.split(","));
const flag = (text: string | null): boolean => text === "1";

function widthsOf(words: readonly string[]): Record<string, number> {
  const pairs = words.map((word): [string, number] => [word.slice(word.indexOf("~") + 1), Number.parseInt(word, 10)]);
  return Object.fromEntries(pairs.filter(([, px]) => px >= 40 && px <= 2000));
}

export function readView(query: URLSearchParams): View {
  const tab = query.get("view");
  const zoom = query.get("zoom")?.split("~").map(Number);
  const smoothing = Number(query.get("smooth") ?? 0);
  const size = query.get("size");
  return {
    tab: tab === "table" || tab === "compare" ? tab : "charts",
    namespace: query.get("ns") ?? "",
    search: query.get("q") ?? "",
    filter: query.get("filter") ?? "",
    sort: query.get("sort") ?? "",
    columns: query.has("cols") ? query.getAll("cols").filter((one) => one !== "-") : null,
    group: query.get("group") ?? "",
    shown: list(query.get("runs")),
    baseline: query.get("base") ?? "",
    archived: flag(query.get("archived")),
    chosen: list(query.get("sel")) ?? [],
    closed: query.getAll("closed"),
    widths: widthsOf(query.getAll("w")),
    differences: flag(query.get("diff")),
    x: xOf(query.get("x")),
    logX: flag(query.get("logx")),
    logY: flag(query.get("logy")),
    smoothing: smoothing > 0 && smoothing < 1 ? smoothing : 0,
    smoothingBy: query.get("smoothby") === "time" ? "time" : "exponential",
    panels: query.get("panels") ?? "",
    pinned: query.getAll("pin"),
    full: query.get("full") ?? "",
    zoom: zoom?.length === 2 && zoom.every(Number.isFinite) ? [zoom[0] as number, zoom[1] as number] : null,
    mean: flag(query.get("mean")),
    turnedY: query.getAll("turny"),
    usualY: query.getAll("usualy"),
    folded: query.getAll("fold"),
    panelSize: size === "small" || size === "large" ? size : "medium",
  };
}

/** The words of the query for some properties of a view; null where it is the default. */
export function writeView(view: Partial<View>): Words {
  const words: Words = {};
  const say = (name: string, value: string | null | false) => {
    words[name] = value || null;
  };
  if (view.tab !== undefined) say("view", view.tab !== "charts" && view.tab);
  if (view.namespace !== undefined) say("ns", view.namespace);
  if (view.search !== undefined) say("q", view.search);
  if (view.filter !== undefined) say("filter", view.filter);
  if (view.sort !== undefined) say("sort", view.sort);
  if (view.group !== undefined) say("group", view.group);
  if (view.shown !== undefined) say("runs", view.shown && (view.shown.join(",") || "-"));
  if (view.baseline !== undefined) say("base", view.baseline);
  if (view.archived !== undefined) say("archived", view.archived && "1");
  if (view.chosen !== undefined) say("sel", view.chosen.length <= MOST_CHOSEN && view.chosen.join(","));
  if (view.closed !== undefined) words["closed"] = view.closed;
  if (view.widths !== undefined) words["w"] = Object.entries(view.widths).map(([reference, px]) => `${px}~${reference}`);
  if (view.differences !== undefined) say("diff", view.differences && "1");
  if (view.x !== undefined) say("x", view.x.by !== "index" && xText(view.x));
  if (view.logX !== undefined) say("logx", view.logX && "1");
  if (view.logY !== undefined) say("logy", view.logY && "1");
  if (view.smoothing !== undefined) say("smooth", view.smoothing > 0 && String(view.smoothing));
  if (view.smoothingBy !== undefined) say("smoothby", view.smoothingBy === "time" && "time");
  if (view.panels !== undefined) say("panels", view.panels);
  if (view.full !== undefined) say("full", view.full);
  if (view.zoom !== undefined) say("zoom", view.zoom && view.zoom.join("~"));
  if (view.mean !== undefined) say("mean", view.mean && "1");
  if (view.columns !== undefined) words["cols"] = view.columns && (view.columns.length ? view.columns : ["-"]);
  if (view.pinned !== undefined) words["pin"] = view.pinned;
  if (view.turnedY !== undefined) words["turny"] = view.turnedY;
  if (view.usualY !== undefined) words["usualy"] = view.usualY;
  if (view.folded !== undefined) words["fold"] = view.folded;
  if (view.panelSize !== undefined) say("size", view.panelSize !== "medium" && view.panelSize);
  return words;
}

export function setView(view: Partial<View>, options: { replace?: boolean } = {}): void {
  setQuery(writeView(view), options);
}

export function useView(): View {
  const { query } = usePlace();
  return useMemo(() => readView(query), [query]);
}
