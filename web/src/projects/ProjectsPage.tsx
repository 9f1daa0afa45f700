// All projects: where one begins.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api } from "../api/client";
import type { Project, Session } from "../api/types";
import { ago, count, many, moment } from "../model/format";
import { firstSnippet, whereOf } from "../run/snippetText";
import { projectHref } from "../runs/places";
import { useSession } from "../shell/session";
import { live, useLive } from "../state/live";
import { follow } from "../state/url";
import { CopyButton, Empty, Icon, Skeleton, TextInput, TroubleNote } from "../ui";
import "./ProjectsPage.css";

const SEARCHED_FROM = 9;
const LEAST_PAUSE = 2000;
/** ms between two looks at projects of which nothing is told: what is listened to is one namespace, the reader's own. */
const CALM_PAUSE = 10_000;

/** Whether there are other namespaces in the list, or may come to be. */
function seesOthers(session: Session | undefined, projects: readonly Project[]): boolean {
  const seen = session?.namespaces ?? null;
  if (session?.asks_for_token && (seen === null || seen.length > 1)) return true;
  return projects.some((one) => one.namespace !== (seen?.[0] ?? ""));
}

export function ProjectsPage() {
  const { session } = useSession();
  const asked = useQuery({
    queryKey: ["projects"],
    queryFn: ({ signal }) => api.projects(signal),
    refetchInterval: (query) => seesOthers(session, query.state.data ?? []) && CALM_PAUSE,
  });
  useLive("", "");
  useFresh();
  const [typed, setTyped] = useState("");
  useEffect(() => {
    document.title = "ml-dash";
  }, []);
  const projects = asked.data;
  if (!projects) {
    return (
      <main className="projects">
        {asked.error ? <TroubleNote error={asked.error} retry={() => void asked.refetch()} what="the projects" /> : <Skeleton lines={6} height={44} />}
      </main>
    );
  }
  if (!projects.length) {
    return (
      <main className="projects">
        <h1 className="visually-hidden">Projects</h1>
        <NoProjects />
      </main>
    );
  }
  const wanted = typed.trim().toLowerCase();
  const fits = projects.filter((one) => `${one.namespace} ${one.project}`.toLowerCase().includes(wanted));
  const namespaces = [...new Set(fits.map((one) => one.namespace))];
  const several = new Set(projects.map((one) => one.namespace)).size > 1;
  const runs = projects.reduce((sum, one) => sum + one.runs, 0);
  return (
    <main className="projects">
      <header>
        <h1>Projects</h1>
        <span className="soft num">
          {many(projects.length, "project")}, {many(runs, "run")}
        </span>
        {projects.length >= SEARCHED_FROM && (
          <TextInput value={typed} onChange={setTyped} label="Find a project" icon="search" placeholder="Find a project" clearable />
        )}
      </header>
      {namespaces.map((namespace) => (
        <section key={namespace} aria-label={namespace || "Projects"}>
          {several && <h2>{namespace || "Without a namespace"}</h2>}
          <ul>
            {fits.filter((one) => one.namespace === namespace).map((one) => <Line key={one.project} project={one} />)}
          </ul>
        </section>
      ))}
      {fits.length === 0 && <Empty icon="search" title="No project is called so" text="Type another part of its name." />}
    </main>
  );
}

function Line({ project }: { project: Project }) {
  return (
    <li>
      <a href={projectHref(project.namespace, project.project)} onClick={follow}>
        <Icon name="folder" size={18} />
        <span className="projects-name">{project.project}</span>
        {project.running > 0 && (
          <span className="projects-running num">
            <span className="live-dot" aria-hidden="true" /> {count(project.running)} running
          </span>
        )}
        <span className="projects-runs num">{many(project.runs, "run")}</span>
        <span className="projects-time soft" title={moment(project.updated_at)}>
          {ago(project.updated_at, Date.now() / 1000)}
        </span>
        <Icon name="chevron-right" size={14} />
      </a>
    </li>
  );
}

/** Ask again when runs have changed, at most every two seconds; and once when it begins to be told of that, for what changed before. */
function useFresh(): void {
  const queries = useQueryClient();
  useEffect(() => {
    let timer = 0;
    const again = () => {
      timer ||= window.setTimeout(() => {
        timer = 0;
        void queries.invalidateQueries({ queryKey: ["projects"] });
      }, LEAST_PAUSE);
    };
    const stopRuns = live.onRuns(again);
    const stopFirst = live.onAdvanced(() => {
      stopFirst();
      again();
    });
    return () => {
      stopRuns();
      stopFirst();
      window.clearTimeout(timer);
    };
  }, [queries]);
}

function NoProjects() {
  const { session } = useSession();
  const code = firstSnippet("tutorial", whereOf(session?.place, window.location.origin));
  return (
    <Empty icon="chart" title="Nothing has been tracked here yet" text="Run this in Python. The project appears here by itself.">
      <pre tabIndex={0}>{code}</pre>
      <CopyButton text={code} label="Copy the code" />
    </Empty>
  );
}
