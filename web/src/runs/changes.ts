// What a reader changes of runs: shown at once, sent, taken back with the reason where the server refuses. Deleting waits, so that it can be undone.
import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { api } from "../api/client";
import type { Run, RunPatch } from "../api/types";
import { many } from "../model/format";
import type { RunRow } from "../model/table";
import { toast } from "../ui";
import type { Fetched } from "./fetch";

const AT_ONCE = 6;
/** Seconds in which a deletion can be undone. */
export const UNDO_SECONDS = 8;

/** `work` for each, some at a time; which failed, and the first reason. */
async function each<T>(things: readonly T[], work: (thing: T) => Promise<unknown>): Promise<{ failed: T[]; reason: string }> {
  const rest = [...things];
  const told = { failed: [] as T[], reason: "" };
  const one = async () => {
    for (let thing = rest.shift(); thing !== undefined; thing = rest.shift()) {
      try {
        await work(thing);
      } catch (error) {
        told.failed.push(thing);
        told.reason ||= error instanceof Error ? error.message : String(error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return told;
}

function patchCached(queries: QueryClient, patches: ReadonlyMap<string, RunPatch>): void {
  queries.setQueriesData<Fetched>({ queryKey: ["table"] }, (kept) => {
    if (!kept) return kept;
    const { runs } = kept.answer;
    const next = { ...runs, tags: [...runs.tags], notes: [...runs.notes], archived: [...runs.archived] };
    runs.id.forEach((id, i) => {
      const patch = patches.get(id);
      if (patch?.tags) next.tags[i] = patch.tags;
      if (patch?.description !== undefined) next.notes[i] = patch.description;
      if (patch?.archived !== undefined) next.archived[i] = patch.archived;
    });
    return { ...kept, answer: { ...kept.answer, runs: next } };
  });
  for (const [id, patch] of patches) queries.setQueryData<Run>(["run", id], (kept) => kept && { ...kept, ...patch });
}

/** What would undo patches: needed where the server is away, and cannot tell how things are. */
function undoing(queries: QueryClient, patches: ReadonlyMap<string, RunPatch>): Map<string, RunPatch> {
  const before = new Map<string, RunPatch>();
  for (const [, kept] of queries.getQueriesData<Fetched>({ queryKey: ["table"] })) {
    const runs = kept?.answer.runs;
    runs?.id.forEach((id, i) => {
      const patch = patches.get(id);
      if (!patch) return;
      before.set(id, {
        ...(patch.tags && { tags: runs.tags[i] ?? [] }),
        ...(patch.description !== undefined && { description: runs.notes[i] ?? "" }),
        ...(patch.archived !== undefined && { archived: runs.archived[i] ?? false }),
      });
    });
  }
  return before;
}

/** Change some runs; `done` is what is told when it has worked: "archived". */
export async function patchRuns(queries: QueryClient, patches: ReadonlyMap<string, RunPatch>, done?: string, undo?: () => void): Promise<void> {
  await queries.cancelQueries({ queryKey: ["table"] });
  const before = undoing(queries, patches);
  patchCached(queries, patches);
  const untell = done && toast(`${many(patches.size, "run")} ${done}.`, undo ? { action: { label: "Undo", onSelect: undo }, seconds: UNDO_SECONDS } : {});
  const { failed, reason } = await each([...patches], ([id, patch]) => api.patchRun(id, patch));
  if (failed.length) {
    patchCached(queries, new Map(failed.map(([id]) => [id, before.get(id) ?? {}])));
    if (untell && failed.length === patches.size) untell();
    toast(`${many(failed.length, "run")} could not be changed. ${reason}`, { kind: "error" });
  }
  void queries.invalidateQueries({ queryKey: ["table"] });
  for (const id of patches.keys()) void queries.invalidateQueries({ queryKey: ["run", id] });
}

export function archiveRuns(queries: QueryClient, runs: readonly RunRow[], archived: boolean): void {
  // Those that are there already stay there when the rest is taken back.
  const moving = runs.filter((run) => run.archived !== archived);
  const to = (value: boolean) => new Map(moving.map((run) => [run.id, { archived: value }]));
  void patchRuns(queries, to(archived), archived ? "archived" : "taken out of the archive", () => void patchRuns(queries, to(!archived)));
}

let doomed: ReadonlySet<string> = new Set();
const waiting = new Map<number, readonly string[]>();
const listeners = new Set<() => void>();

function setDoomed(next: ReadonlySet<string>): void {
  doomed = next;
  for (const listener of listeners) listener();
}

/** Runs that are shown no more, because they are being deleted. */
export function useDoomed(): ReadonlySet<string> {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => doomed,
  );
}

const without = (ids: readonly string[]): ReadonlySet<string> => {
  const gone = new Set(ids);
  return new Set([...doomed].filter((id) => !gone.has(id)));
};

/** Delete runs after the time in which it can be undone. */
export function deleteRuns(queries: QueryClient, runs: readonly RunRow[]): void {
  const ids = runs.map((run) => run.id);
  setDoomed(new Set([...doomed, ...ids]));
  const timer = window.setTimeout(async () => {
    waiting.delete(timer);
    const { failed, reason } = await each(ids, (id) => api.deleteRun(id));
    if (failed.length) toast(`${many(failed.length, "run")} could not be deleted. ${reason}`, { kind: "error" });
    await queries.invalidateQueries({ queryKey: ["table"] });
    void queries.invalidateQueries({ queryKey: ["projects"] });
    setDoomed(without(ids));
  }, UNDO_SECONDS * 1000);
  waiting.set(timer, ids);
  const what = runs.length === 1 ? `“${runs[0]?.name}”` : many(runs.length, "run");
  toast(`Deleted ${what}.`, {
    seconds: UNDO_SECONDS - 0.3,
    action: {
      label: "Undo",
      onSelect: () => {
        window.clearTimeout(timer);
        waiting.delete(timer);
        setDoomed(without(ids));
      },
    },
  });
}

// Who closes the page has had the chance to undo: what was told as deleted is deleted.
window.addEventListener("pagehide", () => {
  for (const [timer, ids] of waiting) {
    window.clearTimeout(timer);
    for (const id of ids) void api.deleteRun(id, true).catch(() => undefined);
  }
  waiting.clear();
});
