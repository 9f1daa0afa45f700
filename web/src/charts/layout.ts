// Where groups and panels stand: rows of known height, so that of thousands only those near the window are made. Pure.
import { PINNED, SYSTEM, type PanelGroup, type PanelOf } from "./panels";

export interface GridSize {
  columns: number;
  /** px of one panel, its border included. */
  width: number;
  /** px of the plot. */
  plot: number;
}

/** px from the left edge of all, and down from its top. */
interface Place {
  key: string;
  top: number;
  height: number;
  left: number;
  width: number;
}

export type Row = Place & ({ kind: "group"; group: PanelGroup; open: boolean } | { kind: "panels"; panels: PanelOf[]; group: string });

export const GAP = 10;
const GROUP = 38;
/** px of a panel that are not its plot: head, padding, border. */
const FRAME = 42 + 12 + 2;
/** px of a panel's width that are not its plot. */
export const SIDES = 22;

const LEAST: Record<"small" | "medium" | "large", number> = { small: 230, medium: 330, large: 560 };
const PLOTS: Record<"small" | "medium" | "large", number> = { small: 150, medium: 210, large: 340 };

/** px that a plot may be high where there are few panels, and so each is wide. */
const TALLEST = 380;

/** `groups` is how many panels each group has: few panels get the room of many. */
export function sizeOf(width: number, size: "small" | "medium" | "large", groups: readonly number[]): GridSize {
  const room = Math.floor((width + GAP) / (LEAST[size] + GAP));
  const widest = Math.max(...shelvesOf(groups, room).map((shelf) => shelf.reduce((sum, group) => sum + (groups[group] ?? 0), 0)), 1);
  const columns = Math.max(1, Math.min(room, widest));
  const panel = Math.floor((width - GAP * (columns - 1)) / columns);
  return { columns, width: panel, plot: Math.max(PLOTS[size], Math.min(TALLEST, Math.round(panel * 0.42))) };
}

/** What a group is called in the address; the unnamed one has a name there, too. */
export const foldName = (group: string): string => group || "-";

/** `folded` names what is not as usual: the machine's own series are folded at first, everything else is open. */
export function isOpen(group: string, folded: readonly string[]): boolean {
  return folded.includes(foldName(group)) === (group === SYSTEM);
}

/** Small groups that follow each other stand side by side, as far as `columns` reach. For each shelf the places of its groups in `panels`. */
export function shelvesOf(panels: readonly number[], columns: number): number[][] {
  const shelves: number[][] = [];
  let used = Infinity;
  panels.forEach((count, group) => {
    if (used + count > columns) {
      shelves.push([]);
      used = 0;
    }
    shelves.at(-1)?.push(group);
    used += count;
  });
  return shelves;
}

export function rowsOf(groups: readonly PanelGroup[], size: GridSize, folded: readonly string[], searched: boolean): Row[] {
  const rows: Row[] = [];
  let top = 0;
  const headless = groups.length === 1 && groups[0]?.name === "";
  // Who searches wants to see what was found.
  const openOf = (group: PanelGroup) => searched || headless || isOpen(group.name, folded);
  // What is pinned, or folded away, shares its line with nobody.
  const counts = groups.map((group) => (group.name === PINNED || !openOf(group) ? size.columns : group.panels.length));
  for (const shelf of shelvesOf(counts, size.columns)) {
    let column = 0;
    let below = top;
    for (const group of shelf.map((at) => groups[at]).filter((one) => one !== undefined)) {
      const left = column * (size.width + GAP);
      const wide = shelf.length > 1 ? group.panels.length : size.columns;
      const place = { left, width: wide * (size.width + GAP) - GAP };
      const open = openOf(group);
      let down = top;
      if (!headless) rows.push({ kind: "group", key: `group ${group.name}`, top, height: GROUP, ...place, group, open });
      if (!headless) down += GROUP;
      for (let at = 0; open && at < group.panels.length; at += wide) {
        const panels = group.panels.slice(at, at + wide);
        const height = size.plot + FRAME + GAP;
        rows.push({ kind: "panels", key: `${group.name} ${panels[0]?.key ?? ""}`, top: down, height, ...place, panels, group: group.name });
        down += height;
      }
      column += wide;
      below = Math.max(below, down);
    }
    top = below;
  }
  return rows;
}

export const heightOf = (rows: readonly Row[]): number => rows.reduce((most, row) => Math.max(most, row.top + row.height), 0);

/** The rows that reach into [from, to]. */
export function rowsIn(rows: readonly Row[], from: number, to: number): Row[] {
  return rows.filter((row) => row.top + row.height > from && row.top < to);
}
