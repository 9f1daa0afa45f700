// How this run is read elsewhere: texts that can be run as they are. Pure.
import type { Run } from "../api/types";
import { pythonText } from "./values/params";

export type Where = { folder: string } | { url: string };

/** A place as the server tells it: an absolute path is a folder on its machine, anything else is reached at this address. */
export function whereOf(place: string | undefined, origin: string): Where {
  return place && /^(\/|[A-Za-z]:[\\/])/.test(place) ? { folder: place } : { url: origin };
}

const place = (where: Where): string => ("folder" in where ? `local_path=${pythonText(where.folder)}` : `remote=${pythonText(where.url)}`);

function seriesCall(run: Run, series: string | null): string {
  const call = run.kind === "session" ? "track" : "metrics";
  const name = series ? pythonText(series) : '"train/loss"';
  return `run.${call}(${name})`;
}

/** A first run of a project. */
export function firstSnippet(project: string, where: Where): string {
  return `from ml_dash import Experiment

with Experiment(name="first", project=${pythonText(project)}, ${place(where)}).run as experiment:
    experiment.params.set(learning_rate=0.1)
    for step in range(100):
        experiment.metrics("train/loss").append(value=1 / (1 + step), step=step)`;
}

/** Load the run and read a series, its parameters, its log and its files. */
export function loadSnippet(run: Run, where: Where, series: string | null): string {
  const [, project, name] = run.key;
  const module = run.kind === "session" ? "dreamlake" : "ml_dash";
  const loaded = `${module}.load(${pythonText(name)}, ${pythonText(project)}, ${place(where)})`;
  const lines = [
    `import ${module}`,
    "",
    `run = ${loaded}`,
    "run.status, run.tags",
    "run.params.get()",
  ];
  if (series) {
    lines.push(`points = ${seriesCall(run, series)}`, "points[-1]", "points.to_pandas()", );
  }
  lines.push("run.logs.read(start_index=-10)", "run.file().list()");
  return `${lines.join("\n")}\n`;
}

/** All runs of the project. */
export function runsSnippet(run: Run, where: Where): string {
  const [, project] = run.key;
  const session = run.kind === "session";
  const call = session ? "dreamlake.sessions" : "ml_dash.runs";
  return (
    `import ${session ? "dreamlake" : "ml_dash"}\n\n` +
    `runs = ${call}(${place(where)}, ${session ? "workspace" : "project"}=${pythonText(project)})\nruns.to_pandas()\n`
  );
}

/** Go on with the run: its name again resumes it. */
export function resumeSnippet(run: Run, where: Where): string {
  const [, project, name] = run.key;
  const named = `name=${pythonText(name)}`;
  if (run.kind === "session") {
    return (
      `from dreamlake import Session\n\nwith Session(${named}, workspace=${pythonText(project)}, ${place(where)}) as session:\n` +
      `    session.track("train/loss").append(value=0.5, step=0)\n`
    );
  }
  return (
    `from ml_dash import Experiment\n\nwith Experiment(${named}, project=${pythonText(project)}, ${place(where)}).run as experiment:\n` +
    `    experiment.metrics("train/loss").append(value=0.5, step=0)\n`
  );
}

/** The series that says most: a loss that has points, else the longest. */
export function tellingSeries(series: readonly { name: string; count: number }[]): string | null {
  const found = series.filter((one) => one.count > 0).sort((a, b) => b.count - a.count);
  return (found.find((one) => /loss/i.test(one.name)) ?? found[0])?.name ?? null;
}

/** A word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export function commandSnippet(run: Run, where: Where, series: string | null): string {
  const [, project, name] = run.key;
  const at = "folder" in where ? `--dir ${shellWord(where.folder)}` : `--remote ${shellWord(where.url)}`;
  const one = shellWord(`${project}/${name}`);
  return [
    `ml-dash show ${one} ${at}`,
    ...(series ? [`ml-dash plot ${one} ${shellWord(series)} ${at}`] : []),
    `ml-dash tail ${one} --logs ${at}`,
    `ml-dash export ${one} ${at}`,
    "",
  ].join("\n");
}
