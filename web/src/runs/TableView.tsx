// The runs as a table: what is above it, and the table.
import { useMemo } from "react";
import { setView } from "../state/view";
import { Button, Empty, Switch, useMedia } from "../ui";
import { OrderMenu } from "./Arrange";
import type { Chosen } from "./chosen";
import { ColumnPicker } from "./ColumnPicker";
import { varying } from "./columns";
import { DrawnLine } from "./DrawnLine";
import { ExportMenu } from "./ExportMenu";
import { TableGrid } from "./TableGrid";
import type { ProjectModel } from "./useProject";
import "./TableView.css";

export interface TableViewProps {
  model: ProjectModel;
  chosen: Chosen;
  cursor: string | null;
  setCursor: (id: string) => void;
  /** Whether the list of runs stands beside the table: it then says which runs are drawn, and how they are ordered. */
  listed: boolean;
}

export function TableView({ model, chosen, cursor, setCursor, listed }: TableViewProps) {
  const { view, baseline, all, runs } = model;
  const narrow = useMedia("(max-width: 760px)");
  const differing = useMemo(() => (view.differences ? varying(model.table, runs) : null), [view.differences, model.table, runs]);

  return (
    <section className="table-view" aria-label="Table of runs">
      <div className="table-tools">
        {!listed && !narrow && (
          <span className="table-runs">
            <DrawnLine model={model} chosen={chosen} />
            <OrderMenu model={model} />
          </span>
        )}
        <ColumnPicker model={model} />
        <Switch
          label={narrow ? "Mark differences" : baseline ? "Mark what differs from the baseline" : "Mark parameters that differ"}
          checked={view.differences}
          onChange={(differences) => setView({ differences })}
        />
        {baseline && (
          <span className="table-baseline">
            Baseline: <strong>{baseline.name}</strong>
            <Button size="small" kind="quiet" onClick={() => setView({ baseline: "" })}>
              Clear
            </Button>
          </span>
        )}
        <span className="table-tools-end">
          <ExportMenu model={model} chosen={chosen} />
        </span>
      </div>
      {model.runs.length ? (
        <TableGrid model={model} chosen={chosen} cursor={cursor} setCursor={setCursor} differing={differing} />
      ) : (
        <Empty
          icon="search"
          title={all.length ? "No run matches" : "No runs"}
          text={all.length ? "Change the words or the expression above." : "All of them are archived."}
        >
          {!all.length && <Button onClick={() => setView({ archived: true })}>Show the archived</Button>}
        </Empty>
      )}
    </section>
  );
}
