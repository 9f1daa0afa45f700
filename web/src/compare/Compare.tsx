// Runs against each other: parallel coordinates, scatter, differences.
import { useMemo } from "react";
import type { RunRow, RunTable } from "../model/table";
import { count } from "../model/format";
import { setView } from "../state/view";
import { Button, Empty, later, Segmented, Skeleton } from "../ui";
import { choicesOf } from "./useQuantities";
import { setCompare, useCompare, type Way } from "./words";
import "./Compare.css";

const waiting = () => <Skeleton lines={8} />;
const Parallel = later(() => import("./Parallel").then((room) => room.Parallel), waiting);
const Scatter = later(() => import("./Scatter").then((room) => room.Scatter), waiting);
const Differences = later(() => import("./Differences").then((room) => room.Differences), waiting);

export interface CompareProps {
  table: RunTable;
  /** The runs to compare: those that match, or the chosen ones. */
  runs: readonly RunRow[];
}

export function Compare({ table, runs }: CompareProps) {
  const view = useCompare();
  const choices = useMemo(() => choicesOf(table), [table]);
  const labels = useMemo(() => new Map(choices.map(({ reference, label }) => [reference, label])), [choices]);
  const rest = { table, runs, view, choices, labels };
  if (runs.length < 2) {
    return (
      <Empty icon="compare" title={runs.length ? "One run has nothing to be compared with" : "No run matches"} text="Choose two or more runs in the list, or change the filter above.">
        <Button onClick={() => setView({ search: "", filter: "" })}>Compare all runs</Button>
      </Empty>
    );
  }
  return (
    <div className="compare">
      <div className="compare-bar">
        <Segmented<Way>
          label="Way to compare"
          value={view.way}
          onChange={(way) => setCompare({ way })}
          options={[{ value: "parallel", label: "Parallel" }, { value: "scatter", label: "Scatter" }, { value: "differences", label: "Differences" }]}
        />
        <span className="soft num">{count(runs.length)} runs</span>
      </div>
      {view.way === "scatter" ? <Scatter {...rest} /> : view.way === "differences" ? <Differences table={table} runs={runs} every={view.every} /> : <Parallel {...rest} />}
    </div>
  );
}
