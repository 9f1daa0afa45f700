// How this run is read elsewhere: in Python, and in a terminal.
import type { Run } from "../api/types";
import { useSession } from "../shell/session";
import { CopyButton } from "../ui";
import { commandSnippet, loadSnippet, resumeSnippet, runsSnippet, tellingSeries, whereOf } from "./snippetText";
import { type Among, useSeries } from "./useRun";

export function Snippet({ run }: { run: Run; among: Among }) {
  const { session } = useSession();
  const series = useSeries(run.id);
  const where = whereOf(session?.place, window.location.origin);
  const first = tellingSeries(series.data ?? []);
  const token = session?.asks_for_token && "url" in where;
  return (
    <div className="pad snippets">
      <p className="soft">
        {"folder" in where ? <>The runs lie in <code>{where.folder}</code> on the machine of the server. From another machine, use <code>remote={window.location.origin}</code> in its place.</> : <>From any machine that reaches <code>{where.url}</code>.</>}
      </p>
      {token && <p className="note">This server asks for a token. Put yours in the environment, not in the code: <code>export ML_DASH_API_KEY=mld_…</code></p>}
      <Code title="Read it in Python" text={loadSnippet(run, where, first)} />
      <Code title="All runs of the project, as a data frame" text={runsSnippet(run, where)} />
      <Code title="In a terminal" text={commandSnippet(run, where, first)} />
      {!run.write_protected && <Code title="Go on with it: the same name resumes the run" text={resumeSnippet(run, where)} />}
    </div>
  );
}

function Code({ title, text }: { title: string; text: string }) {
  return (
    <section className="code">
      <header><h2>{title}</h2><CopyButton text={text} label={`Copy: ${title}`} /></header>
      <pre tabIndex={0}>{text}</pre>
    </section>
  );
}
