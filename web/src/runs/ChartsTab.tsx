// The charts of the runs that are drawn; where none is, what to do.
import { ChartGrid } from "../charts/ChartGrid";
import { Button, Empty } from "../ui";
import { drawNewest } from "./drawing";
import { useChartInput } from "./useChartInput";
import type { ProjectModel } from "./useProject";

export function ChartsTab({ model }: { model: ProjectModel }) {
  const input = useChartInput(model);
  if (!model.drawn.length) {
    const filtered = model.runs.length === 0;
    return (
      <Empty
        icon={filtered ? "search" : "eye-off"}
        title={filtered ? "No run matches" : "No run is drawn"}
        text={filtered ? "Change the words or the expression above." : "Press the eye beside a run in the list, or draw the newest."}
      >
        {!filtered && <Button onClick={drawNewest}>Draw the newest runs</Button>}
      </Empty>
    );
  }
  return <ChartGrid {...input} />;
}
