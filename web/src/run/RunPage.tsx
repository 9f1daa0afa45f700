// One run, whole: its header, and a tab of it.
import { useEffect, useRef } from "react";
import type { Run } from "../api/types";
import { ApiError } from "../api/client";
import { useDoomed } from "../runs/changes";
import { follow, usePlace } from "../state/url";
import { Empty, later, Skeleton, Tabs, TroubleNote } from "../ui";
import { RunHeader } from "./RunHeader";
import { useAmong, useFreshRun, useRun } from "./useRun";
import "./run.css";

const waiting = () => <div className="pad"><Skeleton lines={8} /></div>;
const ROOMS = {
  overview: { label: "Overview", Room: later(() => import("./overview/Overview").then((room) => room.Overview), waiting) },
  parameters: { label: "Parameters", Room: later(() => import("./values/Parameters").then((room) => room.Parameters), waiting) },
  charts: { label: "Charts", Room: later(() => import("./RunCharts").then((room) => room.RunCharts), waiting) },
  logs: { label: "Logs", Room: later(() => import("./logs/LogsTab").then((room) => room.LogsTab), waiting) },
  files: { label: "Files", Room: later(() => import("./files/FilesTab").then((room) => room.FilesTab), waiting) },
  metadata: { label: "Metadata", Room: later(() => import("./values/Metadata").then((room) => room.Metadata), waiting) },
  snippet: { label: "Code", Room: later(() => import("./Snippet").then((room) => room.Snippet), waiting) },
} as const;
type TabName = keyof typeof ROOMS;

const tabOf = (name: string | null): TabName => (name && Object.hasOwn(ROOMS, name) ? (name as TabName) : "overview");

export function RunPage({ id }: { id: string }) {
  const asked = useRun(id);
  if (asked.data) return <Found key={id} run={asked.data} error={asked.error} />;
  if (asked.error) {
    const missing = asked.error instanceof ApiError && asked.error.trouble === "missing";
    return (
      <main className="run-page">
        {missing ? (
          <Empty icon="search" title="There is no such run" text="It may have been deleted, its address may be wrong, or your token does not cover its namespace.">
            <a href="/" onClick={follow}>All projects</a>
          </Empty>
        ) : (
          <TroubleNote error={asked.error} what="this run" retry={() => void asked.refetch()} />
        )}
      </main>
    );
  }
  return (
    <main className="run-page" aria-busy="true">
      <div className="pad"><Skeleton height={26} /><Skeleton lines={8} /></div>
    </main>
  );
}

function Found({ run, error }: { run: Run; error: Error | null }) {
  const { path, query } = usePlace();
  const [namespace, project, name] = run.key;
  const left = useFreshRun(run.id, namespace, project);
  const among = useAmong(run);
  const doomed = useDoomed().has(run.id);
  // Whose deletion it is: once it has happened nothing else tells.
  const own = useRef(false);
  if (doomed) own.current = true;
  const tab = tabOf(query.get("tab"));
  const { Room } = ROOMS[tab];
  const missing = error instanceof ApiError && error.trouble === "missing";

  // On a narrow page the tabs scroll: the one that is shown is to be seen.
  useEffect(() => {
    document.querySelector(".run-page > .ui-tabs a[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [tab]);
  useEffect(() => {
    const before = document.title;
    document.title = `${name} · ${project} · ml-dash`;
    return () => {
      document.title = before;
    };
  }, [name, project]);

  if (doomed || missing || left) {
    const projectHref = `/p/${encodeURIComponent(project)}${namespace ? `?ns=${encodeURIComponent(namespace)}` : ""}`;
    return (
      <main className="run-page">
        <Empty icon="trash" title={`“${name}” is deleted`} text={doomed && !left ? "The note at the foot of the page takes it back, for a few seconds." : own.current ? "It is gone for good." : "Somebody has deleted it while you were looking."}>
          <a href={projectHref} onClick={follow}>The runs of {project}</a>
        </Empty>
      </main>
    );
  }
  const hrefOf = (one: TabName): string => {
    const words = new URLSearchParams();
    for (const kept of ["ns", "base"]) {
      const value = query.get(kept);
      if (value) words.set(kept, value);
    }
    if (one !== "overview") words.set("tab", one);
    return `${path}${words.size ? `?${words}` : ""}`;
  };
  return (
    <main className={`run-page on-${tab}`}>
      <RunHeader run={run} among={among} tab={tab} />
      <Tabs
        value={tab}
        label="Parts of the run"
        items={(Object.keys(ROOMS) as TabName[]).map((one) => ({ value: one, label: ROOMS[one].label, href: hrefOf(one) }))}
      />
      <div className="run-body">
        <Room run={run} among={among} />
      </div>
    </main>
  );
}
