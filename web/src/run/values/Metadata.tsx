// What was kept about the run beside its parameters: code, environment, command, and what its record holds.
import type { Json, Run } from "../../api/types";
import { follow } from "../../state/url";
import { Empty } from "../../ui";
import { type Among, useSeries } from "../useRun";
import { ValueTree } from "./ValueTree";

export function Metadata({ run }: { run: Run; among: Among }) {
  const series = useSeries(run.id);
  const system = (series.data ?? []).filter((one) => /^_?system(\/|$)/.test(one.name) || one.name.startsWith("_"));
  const record: { [key: string]: Json } = {
    ...(run.metadata ?? {}),
    ...(run.bindrs.length ? { bindrs: run.bindrs } : {}),
    ...(run.folder ? { folder: run.folder } : {}),
  };
  return (
    <div className="fill column">
      {system.length > 0 && (
        <p className="note">
          How the machine did is in {system.length === 1 ? "a series of its own" : `${system.length} series of their own`}:{" "}
          <a href={`/run/${encodeURIComponent(run.id)}?tab=charts&panels=${encodeURIComponent(system[0]?.name.split("/")[0] ?? "")}`} onClick={follow}>its charts</a>
        </p>
      )}
      {Object.keys(record).length ? (
        <ValueTree value={record} label="the metadata" usual={2} />
      ) : (
        <Empty icon="info" title="No metadata">
          <p>Give some when the run is made: <code>{run.kind === "session" ? "Session" : "Experiment"}(…, metadata={"{"}"commit": "…"{"}"})</code></p>
        </Empty>
      )}
    </div>
  );
}
