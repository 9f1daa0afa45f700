// Who the run is, how it does, and what can be done with it.
import { useQueryClient } from "@tanstack/react-query";
import type { Run } from "../api/types";
import { ago, duration, many, moment } from "../model/format";
import type { RunRow } from "../model/table";
import { archiveRuns, deleteRuns } from "../runs/changes";
import { useCrumbs } from "../shell/crumbs";
import { useMayWrite } from "../shell/session";
import { navigate, usePlace } from "../state/url";
import { copyText, Icon, IconButton, Menu, RunDot, StatusBadge, toast } from "../ui";
import { Notes } from "./Notes";
import { TagList } from "./TagList";
import { type Among, worked } from "./useRun";

interface Props {
  run: Run;
  among: Among;
  tab: string;
}

export function RunHeader({ run, among, tab }: Props) {
  const [namespace, project, name] = run.key;
  const { row, now, status } = among;
  const mayWrite = useMayWrite();
  const projectHref = `/p/${encodeURIComponent(project)}${namespace ? `?ns=${encodeURIComponent(namespace)}` : ""}`;
  useCrumbs([{ label: project, href: projectHref }]);
  const last = run.attempts.at(-1);
  const hosts = [...new Set(run.attempts.map((one) => one.host).filter(Boolean))];
  return (
    <header className="run-header">
      <div className="run-title">
        <RunDot run={row} size={14} />
        <h1 title={name}>{name}</h1>
        <StatusBadge status={status} />
        {run.archived && <span className="chip"><Icon name="archive" size={12} /> Archived</span>}
        {run.write_protected && <span className="chip" title="It was made to be written once."><Icon name="lock" size={12} /> Write-protected</span>}
        <span className="run-actions">
          <Neighbour run={among.newer} icon="chevron-left" what="Newer run" />
          <Neighbour run={among.older} icon="chevron-right" what="Older run" />
          <Actions run={run} row={row} among={among} projectHref={projectHref} mayWrite={mayWrite} />
        </span>
      </div>
      <div className="run-facts soft">
        <span className="num" title="Time that was worked on it, pauses between attempts left out">
          <Icon name="clock" size={13} /> {duration(worked(run, now))}
        </span>
        <span title={`${moment(run.created_at)} · ${run.created_at}`}>created {ago(run.created_at, now)}</span>
        {run.attempts.length > 1 && <span>{many(run.attempts.length, "attempt")}</span>}
        {hosts.length > 0 && <span title={hosts.join(", ")}>on {last?.host || hosts[0]}{hosts.length > 1 ? ` and ${hosts.length - 1} more` : ""}</span>}
        <TagList run={run} mayWrite={mayWrite} known={among.tags} />
        {tab !== "overview" && run.description && <Notes run={run} mayWrite={mayWrite} short />}
      </div>
    </header>
  );
}

function Neighbour({ run, icon, what }: { run: RunRow | null; icon: "chevron-left" | "chevron-right"; what: string }) {
  const { query } = usePlace();
  const hrefOf = (to: RunRow): string => {
    const words = new URLSearchParams();
    // The same part of the other run; what was looked for within this one stays behind.
    for (const kept of ["ns", "tab", "base", "panels", "x", "logx", "logy", "smooth"]) for (const value of query.getAll(kept)) words.append(kept, value);
    return `/run/${encodeURIComponent(to.id)}${words.size ? `?${words}` : ""}`;
  };
  return (
    <IconButton
      icon={icon}
      label={run ? `${what}: ${run.name}` : `${what}: there is none`}
      disabled={!run}
      onClick={() => run && navigate(hrefOf(run))}
    />
  );
}

function Actions({ run, row, among, projectHref, mayWrite }: { run: Run; row: RunRow; among: Among; projectHref: string; mayWrite: boolean }) {
  const queries = useQueryClient();
  const copy = async (text: string, what: string) =>
    toast((await copyText(text)) ? `${what} copied.` : "The browser does not let this page use the clipboard.", {});
  const base = among.byId.get(new URLSearchParams(window.location.search).get("base") ?? "");
  return (
    <Menu
      label={`What to do with ${row.name}`}
      trigger={(props) => <IconButton icon="more" label="More" {...props} />}
      items={[
        { label: "Copy id", icon: "copy", hint: run.id.slice(0, 8), onSelect: () => void copy(run.id, "The id") },
        { label: "Copy name", icon: "copy", onSelect: () => void copy(row.name, "The name") },
        { label: "Copy link", icon: "link", onSelect: () => void copy(window.location.href, "The link") },
        {
          label: "Compare in its project",
          icon: "compare",
          onSelect: () => navigate(`${projectHref}${projectHref.includes("?") ? "&" : "?"}view=compare&runs=${[run.id, ...(base ? [base.id] : [])].join(",")}`),
        },
        {
          label: run.archived ? "Take out of the archive" : "Archive",
          icon: "archive",
          disabled: !mayWrite,
          separatorBefore: true,
          onSelect: () => archiveRuns(queries, [{ ...row, archived: run.archived }], !run.archived),
        },
        { label: "Delete", icon: "trash", danger: true, disabled: !mayWrite || run.write_protected, ...(run.write_protected && { hint: "write-protected" }), onSelect: () => deleteRuns(queries, [row]) },
      ]}
    />
  );
}
