// A project without runs: how the first one comes.
import { firstSnippet, whereOf } from "../run/snippetText";
import { useSession } from "../shell/session";
import { follow } from "../state/url";
import { CopyButton, Empty } from "../ui";

export function FirstRun({ project }: { project: string }) {
  const { session } = useSession();
  const code = firstSnippet(project, whereOf(session?.place, window.location.origin));
  return (
    <Empty icon="play" title="No runs yet" text="Run this in Python. The run appears here as soon as it begins.">
      <pre tabIndex={0}>{code}</pre>
      <CopyButton text={code} label="Copy the code" />
      <a href="/" onClick={follow}>All projects</a>
    </Empty>
  );
}
