// A project: its runs at the left, charts, table or comparison beside them.
import { useCallback, useEffect, useState } from "react";
import { count } from "../model/format";
import type { RunRow } from "../model/table";
import { useCrumbs } from "../shell/crumbs";
import { useLive } from "../state/live";
import { navigate } from "../state/url";
import { setView, useView } from "../state/view";
import { IconButton, TroubleNote } from "../ui";
import { GroupButton, OrderMenu } from "./Arrange";
import { BulkBar } from "./BulkBar";
import { useChosen, type Chosen } from "./chosen";
import { DrawnLine } from "./DrawnLine";
import { setDrawn } from "./drawing";
import { FirstRun } from "./FirstRun";
import { FilterBox } from "./FilterBox";
import { Help } from "./Help";
import { FILTER_INPUT, useKeys } from "./keys";
import { projectHref, runHref } from "./places";
import { RunActionsProvider } from "./RunActions";
import { RunList } from "./RunList";
import { SidePanel, usePanel } from "./SidePanel";
import { Loading, TABS } from "./tabs";
import { useProject, type ProjectModel } from "./useProject";
import "./ProjectPage.css";

const { charts: Charts, table: Table, compare: Compare } = TABS;

export function ProjectPage({ project }: { project: string }) {
  const { namespace } = useView();
  return <Project key={`${namespace} ${project}`} project={project} namespace={namespace} />;
}

function Project({ project, namespace }: { project: string; namespace: string }) {
  useLive(namespace, project);
  useCrumbs([{ label: project, href: projectHref(namespace, project) }]);
  const { model, error, retry } = useProject(project);
  useEffect(() => {
    document.title = `${project} · ml-dash`;
  }, [project]);
  if (!model) {
    return <main className="project">{error ? <TroubleNote error={error} retry={retry} what={`the runs of “${project}”`} /> : <Loading />}</main>;
  }
  if (!model.table.runs.length) {
    return (
      <main className="project">
        <FirstRun project={project} />
      </main>
    );
  }
  return <WithRuns model={model} stale={error} retry={retry} />;
}

function WithRuns({ model, stale, retry }: { model: ProjectModel; stale: Error | null; retry: () => void }) {
  const chosen = useChosen(model.view.chosen, model.runs);
  const { tab } = model.view;
  const panel = usePanel(tab === "table");
  const [cursor, setCursor] = useCursor(`${model.view.namespace} ${model.project}`);
  const [helps, setHelps] = useState(false);
  useRunKeys(model, chosen, cursor, setCursor, () => setHelps(true), () => panel.setOpen(!panel.open));
  const covered = panel.narrow && panel.open;
  const compared = chosen.ids.size ? model.runs.filter((run) => chosen.ids.has(run.id)) : model.runs;

  return (
    <main className="project">
      <RunActionsProvider model={model} chosen={chosen}>
        <div className="project-bar" inert={covered}>
          <IconButton icon={panel.narrow ? "menu" : "sidebar"} label={panel.open ? "Hide the list of runs" : "Show the list of runs"} onClick={() => panel.setOpen(!panel.open)} />
          <FilterBox model={model} />
          <GroupButton model={model} />
          {!panel.narrow && <IconButton icon="help" label="Keys and filters (?)" onClick={() => setHelps(true)} />}
        </div>
        {stale && (
          <div className="project-stale" role="alert">
            {stale.message} What you see may be old.{" "}
            <button type="button" onClick={retry}>
              Try again
            </button>
          </div>
        )}
        {model.pending > 0 && (
          <div className="project-pending" role="status">
            Looking at the series of {count(model.pending)} more {model.pending === 1 ? "run" : "runs"}…
          </div>
        )}
        <div className="project-body">
          <SidePanel panel={panel} label="Runs">
            <div className="run-list-head">
              <DrawnLine model={model} chosen={chosen} />
              <OrderMenu model={model} />
              {panel.narrow && <IconButton icon="close" label="Close the list" onClick={() => panel.setOpen(false)} />}
            </div>
            <RunList model={model} chosen={chosen} cursor={cursor} setCursor={setCursor} />
          </SidePanel>
          <div className="project-main" inert={covered}>
            <BulkBar model={model} chosen={chosen} />
            {!panel.open && tab === "charts" && (
              <div className="project-drawn">
                <DrawnLine model={model} chosen={chosen} />
              </div>
            )}
            {tab === "table" ? (
              <Table model={model} chosen={chosen} cursor={cursor} setCursor={setCursor} listed={panel.open} />
            ) : tab === "compare" ? (
              <Compare table={model.table} runs={compared} />
            ) : (
              <Charts model={model} />
            )}
          </div>
        </div>
        <Help open={helps} onClose={() => setHelps(false)} />
      </RunActionsProvider>
    </main>
  );
}

/** The run at which the keyboard or the pointer was last, by project: who comes back from its page finds it in sight. */
const cursors = new Map<string, string>();

function useCursor(place: string): [string | null, (run: string) => void] {
  const [cursor, setCursor] = useState(() => cursors.get(place) ?? null);
  const move = useCallback(
    (run: string) => {
      cursors.set(place, run);
      setCursor(run);
    },
    [place],
  );
  return [cursor, move];
}

const ORDER = ["charts", "table", "compare"] as const;

function useRunKeys(
  model: ProjectModel,
  chosen: Chosen,
  cursor: string | null,
  setCursor: (id: string) => void,
  help: () => void,
  togglePanel: () => void,
): void {
  useKeys(
    useCallback(
      (key, event) => {
        const listed = model.lines.flatMap((line) => ("run" in line ? [line.run] : []));
        const at = listed.findIndex((run) => run.id === cursor);
        const here: RunRow | undefined = listed[at];
        const go = (to: number) => {
          const next = listed[Math.max(0, Math.min(listed.length - 1, to))];
          if (next) setCursor(next.id);
          return true;
        };
        if (key === "/") document.getElementById(FILTER_INPUT)?.focus();
        else if (key === "?") help();
        else if (key === "[") togglePanel();
        else if (key === "j" || key === "k") return go(at < 0 ? 0 : at + (key === "j" ? 1 : -1));
        else if (key === "1" || key === "2" || key === "3") setView({ tab: ORDER[Number(key) - 1] ?? "charts" });
        else if (key === "Escape" && chosen.ids.size) chosen.set([]);
        else if (!here) return false;
        else if (key === "Enter") {
          if (event.target !== document.body) return false;
          navigate(runHref(here));
        } else if (key === "e") setDrawn(model, [here.id], !model.drawnIds.has(here.id));
        else if (key === "x" || key === "X") chosen.toggle(here.id, key === "X");
        else if (key === "b") setView({ baseline: model.view.baseline === here.id ? "" : here.id });
        else return false;
        return true;
      },
      [model, chosen, cursor, setCursor, help, togglePanel],
    ),
  );
}
