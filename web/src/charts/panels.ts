// Which panels there are: one a numeric field of a series, grouped by what stands before the first "/". Pure.
import type { Kind, SeriesName } from "../api/types";
import { natural } from "../model/natural";

export interface SeriesKey {
  kind: Kind;
  name: string;
  field: string;
}

export interface PanelOf extends SeriesKey {
  /** Its name in the address. */
  key: string;
  group: string;
  /** The name without its group, and the field unless it is "value". */
  title: string;
  /** Fields beside it, which may be the x axis. */
  fields: readonly string[];
  points: number;
}

export interface PanelGroup {
  name: string;
  title: string;
  panels: PanelOf[];
}

export const PINNED = "*";
export const SYSTEM = "_system";
/** Fields that count, by which others are drawn. */
const AXES: ReadonlySet<string> = new Set(["step", "_step", "global_step", "epoch", "iteration", "iter"]);
/** So few charts need no groups. */
const FEW = 4;

export const panelKey = ({ kind, name, field }: SeriesKey): string =>
  `${kind === "metrics" ? "" : `${kind}:`}${name}${field === "value" ? "" : `#${field}`}`;

/** Every panel; fields that count are none, unless a series has no other. */
export function panelsOf(series: readonly SeriesName[]): PanelOf[] {
  const made: PanelOf[] = [];
  for (const { kind, name, fields, points } of series) {
    if (kind !== "metrics" && kind !== "tracks") continue;
    const others = fields.filter((field) => !AXES.has(field));
    const slash = name.indexOf("/");
    const group = slash > 0 ? name.slice(0, slash) : "";
    const rest = slash > 0 ? name.slice(slash + 1) : name;
    for (const field of others.length ? others : fields) {
      const title = field === "value" ? rest : `${rest} · ${field}`;
      made.push({ kind, name, field, key: panelKey({ kind, name, field }), group, title, fields, points });
    }
  }
  return made.sort((a, b) => natural(a.title, b.title));
}

/** Panels whose name has all words of `text`. */
export function matching(panels: readonly PanelOf[], text: string): readonly PanelOf[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return panels;
  return panels.filter(({ name, field }) => {
    const whole = `${name} ${field}`.toLowerCase();
    return words.every((word) => whole.includes(word));
  });
}

/** Groups as they stand on the page: pinned, without prefix, by name, the machine's own. A pinned panel stands in both places. */
export function groupsOf(panels: readonly PanelOf[], pinned: readonly string[]): PanelGroup[] {
  const groups = new Map<string, PanelOf[]>();
  for (const panel of panels) groups.set(panel.group, [...(groups.get(panel.group) ?? []), panel]);
  // Headings over a panel each would be more headings than charts.
  const own = panels.filter((panel) => panel.group !== SYSTEM);
  if (own.length <= FEW || [...groups].every(([name, list]) => name === SYSTEM || list.length === 1)) {
    const whole = own.map((panel) => (panel.group ? { ...panel, title: `${panel.group}/${panel.title}` } : panel));
    for (const name of [...groups.keys()]) if (name !== SYSTEM) groups.delete(name);
    if (whole.length) groups.set("", whole.sort((a, b) => natural(a.title, b.title)));
  }
  const names = [...groups.keys()].sort((a, b) => Number(a === SYSTEM) - Number(b === SYSTEM) || natural(a, b));
  const made = names.map((name) => ({ name, title: titleOf(name), panels: groups.get(name) ?? [] }));
  const chosen = pinned.map((key) => panels.find((panel) => panel.key === key)).filter((panel) => panel !== undefined);
  return chosen.length ? [{ name: PINNED, title: "Pinned", panels: chosen }, ...made] : made;
}

function titleOf(name: string): string {
  if (name === SYSTEM) return "System";
  return name || "Charts";
}

/** Fields that may be the x axis, the usual ones first, with how many series have them. */
export function axisFields(series: readonly SeriesName[]): { field: string; series: number }[] {
  const found = new Map<string, number>();
  for (const { kind, fields } of series) {
    if (kind !== "metrics" && kind !== "tracks") continue;
    if (fields.length > 1) for (const field of fields) if (field !== "value") found.set(field, (found.get(field) ?? 0) + 1);
  }
  return [...found]
    .map(([field, count]) => ({ field, series: count }))
    .filter(({ field, series: count }) => AXES.has(field) || count > 1)
    .sort((a, b) => Number(AXES.has(b.field)) - Number(AXES.has(a.field)) || b.series - a.series || natural(a.field, b.field));
}
