// What went wrong and what its reader can do: one page for every kind of trouble that a request can meet.
import { ApiError, type Trouble } from "../api/client";
import { follow } from "../state/url";
import { Button } from "./Button";
import { Empty } from "./Empty";
import type { IconName } from "./Icon";

export interface TroubleNoteProps {
  error: unknown;
  retry?: (() => void) | undefined;
  /** What could not be shown: "the runs". */
  what: string;
}

const WAYS: Record<Trouble, { icon: IconName; title: (what: string) => string; advice: string }> = {
  offline: {
    icon: "offline",
    title: (what) => `The server does not answer, so ${what} cannot be shown`,
    advice: "It may have stopped, or the network is down. Start it again with `ml-dash ui`, or try again in a moment.",
  },
  "sign-in": { icon: "lock", title: (what) => `Sign in to see ${what}`, advice: "The session has ended, or the token was revoked." },
  forbidden: {
    icon: "lock",
    title: (what) => `Your token may not see ${what}`,
    advice: "Ask whoever runs the server for a token with the rights or the namespace that this needs.",
  },
  missing: { icon: "search", title: (what) => `There is nothing here: ${what} cannot be found`, advice: "It may have been deleted or renamed." },
  invalid: { icon: "warning", title: (what) => `The server cannot read this request for ${what}`, advice: "Change the filter or the columns, or open the project anew." },
  busy: { icon: "clock", title: (what) => `The server is busy and did not send ${what}`, advice: "It asks for a pause. Try again in a few seconds." },
  server: { icon: "warning", title: (what) => `The server failed over ${what}`, advice: "Its log tells more; `ml-dash doctor` checks the files." },
};

export function TroubleNote({ error, retry, what }: TroubleNoteProps) {
  const trouble: Trouble = error instanceof ApiError ? error.trouble : "server";
  const way = WAYS[trouble];
  const said = error instanceof Error ? error.message : String(error);
  return (
    <div role="alert">
      <Empty icon={way.icon} title={way.title(what)} text={<>{trouble !== "offline" && <p className="mono">{said}</p>}{way.advice}</>}>
        {retry && <Button onClick={retry}>Try again</Button>}
        {trouble === "sign-in" && (
          <a href={`/sign-in?to=${encodeURIComponent(window.location.pathname + window.location.search)}`} onClick={follow}>
            Sign in
          </a>
        )}
        {trouble === "missing" && <a href="/" onClick={follow}>All projects</a>}
      </Empty>
    </div>
  );
}
