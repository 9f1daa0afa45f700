// Which runs are drawn: changes of the address that the list, the table and the keyboard make.
import { setView, USUAL_RUNS } from "../state/view";
import type { ProjectModel } from "./useProject";

/** More lines than this in every chart help nobody; whoever wants them chooses them. */
export const MOST_DRAWN = 100;

export function drawOnly(ids: readonly string[]): void {
  setView({ shown: [...ids] });
}

export function drawNewest(): void {
  setView({ shown: null });
}

export function drawMatching(model: ProjectModel): void {
  drawOnly(model.runs.slice(0, MOST_DRAWN).map((run) => run.id));
}

/** Draw these or hide them, others as they are. A run that a filter hides stays chosen. */
export function setDrawn(model: ProjectModel, ids: readonly string[], drawn: boolean): void {
  const next = new Set(model.view.shown ?? model.drawnIds);
  for (const id of ids) {
    if (drawn) next.add(id);
    else next.delete(id);
  }
  setView({ shown: [...next] }, { replace: true });
}

export function drawnByUsual(model: ProjectModel): boolean {
  return model.view.shown === null && model.runs.length > USUAL_RUNS;
}
