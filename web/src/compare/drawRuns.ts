// From a choice of runs to their charts.
import type { RunRow } from "../model/table";
import { count } from "../model/format";
import { setView } from "../state/view";
import { toast } from "../ui";

/** As many as the address carries. */
const MOST = 200;

export function drawRuns(runs: readonly RunRow[]): void {
  setView({ shown: runs.slice(0, MOST).map((run) => run.id), tab: "charts" });
  if (runs.length > MOST) toast(`The first ${count(MOST)} of ${count(runs.length)} are drawn.`);
}
