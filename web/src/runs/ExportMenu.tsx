// The table as a file: the rows and columns that it shows, in their order; the chosen rows where some are.
import { useState } from "react";
import { many } from "../model/format";
import { Button, Icon, Menu, toast } from "../ui";
import type { Chosen } from "./chosen";
import { csvOf, jsonOf, offerFile, type Sheet } from "./csv";
import { needs } from "./references";
import type { ProjectModel } from "./useProject";

async function sheetOf(model: ProjectModel, chosen: Chosen): Promise<Sheet> {
  const ordered = model.groups ? model.groups.flatMap((group) => group.runs) : model.runs;
  const runs = chosen.ids.size ? ordered.filter((run) => chosen.ids.has(run.id)) : ordered;
  const aggregates = model.columns.filter((column) => needs(column.id) === "summary").map((column) => column.id);
  if (aggregates.length) await model.summaries.have(runs.map((run) => run.id), aggregates);
  return {
    columns: ["name", "id", ...model.columns.filter((column) => column.id !== "id").map((column) => column.id)],
    rows: runs.map((run) => [run.name, run.id, ...model.columns.filter((column) => column.id !== "id").map((column) => column.value(run))]),
  };
}

export function ExportMenu({ model, chosen }: { model: ProjectModel; chosen: Chosen }) {
  const [busy, setBusy] = useState(false);
  const rows = chosen.ids.size || model.runs.length;
  async function save(kind: "csv" | "json"): Promise<void> {
    setBusy(true);
    try {
      const sheet = await sheetOf(model, chosen);
      const name = `${model.project.replace(/[^\w.-]+/g, "_")}-runs.${kind}`;
      offerFile(name, kind === "csv" ? "text/csv" : "application/json", kind === "csv" ? csvOf(sheet) : jsonOf(sheet));
    } catch (error) {
      toast(`The table could not be saved. ${error instanceof Error ? error.message : String(error)}`, { kind: "error" });
    }
    setBusy(false);
  }
  return (
    <Menu
      label="Save the table"
      items={[
        { label: `CSV, ${many(rows, "run")}`, icon: "download", onSelect: () => void save("csv") },
        { label: `JSON, ${many(rows, "run")}`, icon: "download", onSelect: () => void save("json") },
      ]}
      trigger={(props) => (
        <Button {...props} kind="quiet" disabled={busy} title="Save the rows and columns in sight as a file">
          <Icon name="download" />
          <span className="wide-only">{busy ? "Gathering…" : "Save table"}</span>
        </Button>
      )}
    />
  );
}
