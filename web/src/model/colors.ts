// The colour of a run: 24 of them, in an order in which the first ones differ most, each with a twin for dark pages; where they are used up,
// the line's pattern changes. A run keeps its colour everywhere, unless its reader chooses another.
import { useSyncExternalStore } from "react";
import { onOthersWrite, readJson, write } from "../state/stored";

export interface RunColor {
  light: string;
  dark: string;
  /** Canvas line dash in px; empty is solid. */
  dash: readonly number[];
}

/** [on a light page, on a dark page]: any two differ for every kind of eye, the first ones most; each at 3:1 at least to its page. */
const PALETTE: readonly (readonly [string, string])[] = [
  ["#2455bc", "#2f6ff4"], ["#e44a0d", "#fe8f5b"], ["#55a294", "#92fed1"], ["#cc5ff7", "#c142ba"],
  ["#7f49ec", "#b5bfff"], ["#871f3f", "#c27b88"], ["#248c20", "#bdfd4c"], ["#5d7053", "#9cbb98"],
  ["#ab85cd", "#ed7cfe"], ["#544705", "#c6ce4d"], ["#a30877", "#f3acca"], ["#aa7b54", "#d37812"],
  ["#2d5362", "#6793ab"], ["#cd4ab0", "#f8d8fd"], ["#517dd3", "#4aabfd"], ["#c84368", "#fe4f6d"],
  ["#934f1d", "#eccaa8"], ["#690c75", "#8c6f8f"], ["#432b58", "#bb79d7"], ["#641b02", "#a46b46"],
  ["#3017a2", "#846cd1"], ["#e1707c", "#d0457c"], ["#73439a", "#b9a0c5"], ["#8f638b", "#ec55b5"],
];
const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const STORED = "ml-dash.colors";

let chosen: Record<string, string> = load();
const listeners = new Set<() => void>();

function load(): Record<string, string> {
  const told = readJson(STORED);
  return told && typeof told === "object" ? (told as Record<string, string>) : {};
}

export const PALETTE_COLORS: readonly string[] = PALETTE.map(([light]) => light);
/** The same, as they are on dark pages. */
export const DARK_COLORS: readonly string[] = PALETTE.map(([, dark]) => dark);

export function colorOf(run: { id: string; ordinal: number }): RunColor {
  const own = chosen[run.id];
  const at = PALETTE.findIndex(([light]) => light === own);
  const [light, dark] = PALETTE[at >= 0 ? at : run.ordinal % PALETTE.length] as readonly [string, string];
  const dash = DASHES[at >= 0 ? 0 : Math.floor(run.ordinal / PALETTE.length) % DASHES.length] as readonly number[];
  return { light, dark, dash };
}

/** Choose one of `PALETTE_COLORS` for a run; null is its own again. Kept in this browser. */
export function chooseColor(run: string, color: string | null): void {
  const next = { ...chosen };
  if (color) next[run] = color;
  else delete next[run];
  write(STORED, JSON.stringify(next));
  tell(next);
}

function tell(next: Record<string, string>): void {
  chosen = next;
  for (const listener of listeners) listener();
}

// Without this, the next one that is chosen here would undo those that another tab has chosen.
onOthersWrite(STORED, () => tell(load()));

/** Changes whenever somebody has chosen a colour: for what draws with them. */
export function useColors(): unknown {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => chosen,
  );
}
