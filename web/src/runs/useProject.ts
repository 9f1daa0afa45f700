// All that a project's page shows of its runs: which match, in which order and groups, which are drawn. From the address and the server alone.
import { useDeferredValue, useEffect, useMemo, useState } from "react";
import type { SeriesName } from "../api/types";
import type { RunRow, RunTable } from "../model/table";
import { USUAL_RUNS, useView, type View } from "../state/view";
import { useDoomed } from "./changes";
import { columnOf, usualColumns, type Source, type TableColumn } from "./columns";
import { tableColumns } from "./fetch";
import { containing } from "./find";
import { groupName, groupsOf, linesOf, type Line, type RunGroup } from "./groups";
import { sorted } from "./order";
import { needs } from "./references";
import { useSummaries, type Summaries } from "./summaries";
import { useMatch, type Match } from "./useMatch";
import { useRunTable, useServerNow } from "./useRunTable";

export interface ProjectModel {
  project: string;
  view: View;
  table: RunTable;
  series: readonly SeriesName[];
  now: number;
  /** Runs whose series the server is still looking at. */
  pending: number;
  source: Source;
  summaries: Summaries;
  match: Match;
  /** Runs that are not being deleted; archived ones only where the view asks for them. */
  all: RunRow[];
  archivedCount: number;
  /** Those that the search or filter leaves, in the order of the list. */
  runs: RunRow[];
  groups: RunGroup[] | null;
  /** The list's lines: runs, with headings where they are grouped. */
  lines: Line[];
  drawn: RunRow[];
  drawnIds: ReadonlySet<string>;
  /** Runs that the reader has chosen to draw and that the filter hides. */
  hiddenDrawn: number;
  groupOf: ((run: RunRow) => string) | null;
  columns: TableColumn[];
  baseline: RunRow | null;
}

export interface ProjectState {
  model: ProjectModel | null;
  error: Error | null;
  retry: () => void;
}

const linesIn = (text: string): string[] => (text ? text.split("\n") : []);

export function useProject(project: string): ProjectState {
  const view = useView();
  const { namespace } = view;
  // Which columns are usual is known once the table is there: it then comes again with their values.
  const [usualText, setUsualText] = useState("");
  const wanted = useMemo(() => tableColumns(view, linesIn(usualText)), [view, usualText]);
  const wantedText = wanted.join("\n");
  const { table, fetched, error, retry } = useRunTable(namespace, project, useMemo(() => linesIn(wantedText), [wantedText]));
  const usual = useMemo(() => (table ? usualColumns(table).join("\n") : ""), [table]);
  // A table that does not come leaves them as they were: it would be asked for without them, come, and be asked for with them again.
  if (table && usual !== usualText) setUsualText(usual);
  const now = useServerNow(fetched);
  const { summaries, version, advanced } = useSummaries(namespace, project);
  useEffect(() => {
    advanced.clear();
    summaries.forgetLast();
  }, [fetched, advanced, summaries]);
  const doomed = useDoomed();
  const match = useMatch(namespace, project, view.filter, fetched?.at);
  const search = useDeferredValue(view.search);

  const source = useMemo<Source | null>(
    () => (table ? { table, now, summary: (run, reference) => summaries.get(run.id, reference) } : null),
    // The values behind `summary` have changed where the version has.
    [table, now, summaries, version],
  );

  const found = useMemo(() => {
    if (!table) return null;
    const alive = doomed.size ? table.runs.filter((run) => !doomed.has(run.id)) : table.runs;
    const all = view.archived ? alive : alive.filter((run) => !run.archived);
    const matching = match.ids ? all.filter((run) => match.ids?.has(run.id)) : all;
    return { all, archivedCount: alive.filter((run) => run.archived).length, matching: containing(table, matching, search) };
  }, [table, doomed, view.archived, match.ids, search]);

  const sortId = view.sort.replace(/^-/, "");
  // The clock's ticks must not arrange the runs anew, nor draw their charts again, unless the order is one of durations.
  const clock = sortId === "duration" || view.group === "duration" ? now : 0;
  const arranging = useMemo<Source | null>(
    () => (table ? { table, now: clock, summary: (run, reference) => summaries.get(run.id, reference) } : null),
    [table, clock, summaries, version],
  );
  const order = useMemo(() => {
    if (!arranging || !found) return null;
    const column = sortId ? columnOf(sortId, arranging) : null;
    if (!column) return found.matching;
    if (needs(sortId) === "summary") summaries.want(found.matching.map((run) => run.id), [sortId]);
    return sorted(found.matching, column.value, view.sort.startsWith("-"));
  }, [arranging, found, sortId, view.sort, summaries]);

  const closed = view.closed.join("\n");
  const grouped = useMemo(() => {
    if (!arranging || !order) return null;
    const column = view.group ? columnOf(view.group, arranging) : null;
    if (!column) return { groups: null, groupOf: null, lines: order.map((run): Line => ({ run })) };
    if (needs(view.group) === "summary") summaries.want(order.map((run) => run.id), [view.group]);
    const groups = groupsOf(order, column.value);
    return { groups, groupOf: (run: RunRow) => groupName(column.value(run)), lines: linesOf(groups, new Set(closed.split("\n"))) };
  }, [arranging, order, view.group, closed, summaries]);

  const shownText = view.shown?.join(",");
  const drawn = useMemo(() => {
    if (!found || !grouped || !order) return null;
    const ids = new Set(shownText === undefined ? found.matching.slice(0, USUAL_RUNS).map((run) => run.id) : shownText.split(","));
    const listed = grouped.groups ? grouped.groups.flatMap((group) => group.runs) : order;
    const runs = listed.filter((run) => ids.has(run.id));
    const known = shownText === undefined ? runs.length : [...ids].filter((id) => table?.byId.has(id) && !doomed.has(id)).length;
    return { runs, ids: new Set(runs.map((run) => run.id)) as ReadonlySet<string>, hidden: known - runs.length };
  }, [found, grouped, order, shownText, table, doomed]);

  const columnsText = view.columns?.join("\n") ?? usual;
  const columns = useMemo(
    () => (source ? linesIn(columnsText).flatMap((id) => columnOf(id, source) ?? []) : []),
    [source, columnsText],
  );

  // A run's last values have moved on since the table came: ask for those of the runs that did.
  if (view.tab === "table" && table && fetched && advanced.size) {
    const those = [...advanced].filter((id) => table.byId.has(id));
    if (those.length && wanted.length) summaries.want(those, wanted);
  }

  if (!table || !source || !found || !order || !grouped || !drawn) {
    return { model: null, error, retry };
  }
  return {
    error,
    retry,
    model: {
      project, view, table, series: table.series, now, pending: fetched?.answer.pending ?? 0, source, summaries, match,
      all: found.all, archivedCount: found.archivedCount, runs: order,
      groups: grouped.groups, lines: grouped.lines, groupOf: grouped.groupOf,
      drawn: drawn.runs, drawnIds: drawn.ids, hiddenDrawn: drawn.hidden,
      columns, baseline: table.byId.get(view.baseline) ?? null,
    },
  };
}
