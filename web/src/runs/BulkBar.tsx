// What can be done with all runs that are chosen.
import { useQueryClient } from "@tanstack/react-query";
import { count, many } from "../model/format";
import { useMayWrite } from "../shell/session";
import { setView } from "../state/view";
import { Button, Icon, IconButton, Menu, type MenuItem } from "../ui";
import { archiveRuns, deleteRuns } from "./changes";
import type { Chosen } from "./chosen";
import { drawOnly, MOST_DRAWN, setDrawn } from "./drawing";
import { useRunActions } from "./RunActions";
import type { ProjectModel } from "./useProject";
import "./BulkBar.css";

export function BulkBar({ model, chosen }: { model: ProjectModel; chosen: Chosen }) {
  const queries = useQueryClient();
  const mayWrite = useMayWrite();
  const actions = useRunActions();
  const runs = model.all.filter((run) => chosen.ids.has(run.id));
  if (!runs.length) return null;
  const ids = runs.map((run) => run.id);
  const removable = runs.filter((run) => !run.writeProtected);
  const leave = () => chosen.set([]);
  const listed = new Set(model.runs.map((run) => run.id));
  const hidden = runs.filter((run) => !listed.has(run.id)).length;
  const archived = runs.every((run) => run.archived);
  const items: MenuItem[] = [
    { label: "Draw them too", icon: "eye", onSelect: () => setDrawn(model, ids.slice(0, MOST_DRAWN), true) },
    { label: "Hide them in charts", icon: "eye-off", onSelect: () => setDrawn(model, ids, false) },
    { label: "Choose all that match", icon: "check", onSelect: () => chosen.set(model.runs.map((run) => run.id)) },
  ];
  return (
    <div className="bulk" role="region" aria-label="Runs that are chosen">
      <strong className="num">{many(runs.length, "run")} chosen</strong>
      {hidden > 0 && <span className="num">{count(hidden)} of them left out by the filter</span>}
      <Button size="small" onClick={() => drawOnly(ids.slice(0, MOST_DRAWN))}>
        <Icon name="eye" /> Draw only these
      </Button>
      <Button size="small" onClick={() => setView({ tab: "compare" })}>
        <Icon name="compare" /> Compare
      </Button>
      {mayWrite && (
        <>
          <Button size="small" onClick={(event) => actions.tags(event.currentTarget, runs)}>
            <Icon name="tag" /> Tags
          </Button>
          <Button
            size="small"
            onClick={() => {
              archiveRuns(queries, runs, !archived);
              leave();
            }}
          >
            <Icon name="archive" /> {archived ? "Unarchive" : "Archive"}
          </Button>
          <Button
            size="small"
            kind="danger"
            disabled={!removable.length}
            title={removable.length < runs.length ? "Those that are write-protected stay" : undefined}
            onClick={() => {
              deleteRuns(queries, removable);
              leave();
            }}
          >
            <Icon name="trash" /> Delete
          </Button>
        </>
      )}
      <Menu label="More for these runs" items={items} trigger={(props) => <IconButton {...props} icon="more" label="More for these runs" />} />
      <IconButton icon="close" label="Leave them all" onClick={leave} />
    </div>
  );
}
