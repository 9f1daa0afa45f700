// Views that a reader has saved by name, in this browser: where, and the words of the address. The names of runs in them are kept too.
import { useSyncExternalStore } from "react";
import { onOthersWrite, readJson, write } from "../state/stored";

export interface SavedView {
  name: string;
  path: string;
  /** Without "?". */
  query: string;
}

const STORED = "ml-dash.views";
const listeners = new Set<() => void>();
let saved: readonly SavedView[] = load();

/** Words that belong to the runs of one project and mean nothing in another. */
const OF_RUNS = ["ns", "runs", "sel", "base", "closed"];

function isView(one: unknown): one is SavedView {
  return typeof one === "object" && one !== null && ["name", "path", "query"].every((key) => typeof (one as Record<string, unknown>)[key] === "string");
}

function load(): readonly SavedView[] {
  const told = readJson(STORED);
  return Array.isArray(told) ? told.filter(isView) : [];
}

function tell(next: readonly SavedView[]): void {
  saved = next;
  for (const listener of listeners) listener();
}

// Another tab has kept or deleted one: without this, the next that is kept here would undo that.
onOthersWrite(STORED, () => tell(load()));

function keep(next: readonly SavedView[]): void {
  write(STORED, JSON.stringify(next));
  tell(next);
}

const same = (a: SavedView, b: { name: string; path: string }): boolean => a.name === b.name && a.path === b.path;

/** One that is called so already is replaced. */
export function saveView(view: SavedView): void {
  keep([...saved.filter((one) => !same(one, view)), view]);
}

export function renameView(view: SavedView, name: string): void {
  keep(saved.filter((one) => !same(one, { name, path: view.path }) || one === view).map((one) => (one === view ? { ...one, name } : one)));
}

export function deleteView(view: SavedView): void {
  keep(saved.filter((one) => one !== view));
}

/** Where a saved view leads from `path`: to its own project as it was, to another one without what is about its runs. */
export function viewAddress(view: SavedView, here: { path: string; query: URLSearchParams }): string {
  const words = new URLSearchParams(view.query);
  if (view.path !== here.path) {
    for (const name of OF_RUNS) words.delete(name);
    const namespace = here.query.get("ns");
    if (namespace) words.set("ns", namespace);
  }
  const text = words.toString();
  return here.path + (text ? `?${text}` : "");
}

export function useViews(): readonly SavedView[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => saved,
  );
}
