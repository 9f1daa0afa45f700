// Which room is shown: by the path alone, or the door where the server lets nobody in unsigned.
import { ProjectsPage } from "../projects/ProjectsPage";
import { follow, usePlace } from "../state/url";
import { Empty, Toasts } from "../ui";
import { ErrorBoundary } from "./ErrorBoundary";
import { NamedRun, ProjectPage, RunPage } from "./later_rooms";
import { namedRun, roomOf } from "./rooms";
import { useSession, useSessionWatch } from "./session";
import { SignInPage } from "./SignInPage";
import { TopBar } from "./TopBar";
import "./App.css";

export function App() {
  const { path } = usePlace();
  const { room, name } = roomOf(path);
  const named = namedRun(path);
  const { session } = useSession();
  useSessionWatch();
  const asks = session?.asks_for_token === true && !session.signed_in;
  return (
    <div className="app">
      <a className="skip" href="#room" onClick={skip}>
        Skip to the content
      </a>
      <TopBar room={asks ? "" : room} />
      <div className="room" id="room" tabIndex={-1}>
        <ErrorBoundary key={path}>
          {asks || room === "sign-in" ? (
            <SignInPage />
          ) : (
            <Room room={room} name={name} named={named} />
          )}
        </ErrorBoundary>
      </div>
      <Toasts />
    </div>
  );
}

function Room({ room, name, named }: { room: string; name: string | null; named: ReturnType<typeof namedRun> }) {
  if (room === "p" && name) return <ProjectPage project={name} />;
  if (room === "run" && name) return <RunPage id={name} />;
  if (named) return <NamedRun {...named} />;
  if (!room) return <ProjectsPage />;
  return (
    <main>
      <Empty icon="search" title="There is nothing at this address" text="It may have been mistyped, or be one of another version.">
        <a href="/" onClick={follow}>All projects</a>
      </Empty>
    </main>
  );
}

function skip(event: React.MouseEvent): void {
  event.preventDefault();
  document.getElementById("room")?.focus();
}
