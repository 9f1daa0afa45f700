// A room that has failed: what happened, and the ways out. What else is on the page goes on.
import { Component, type ReactNode } from "react";
import { Button, CopyButton, Empty } from "../ui";

interface State {
  error: Error | null;
}

/** Parts of the page are fetched when they are needed; after an update the server has other ones. */
const UPDATED = /dynamically imported module|Importing a module script failed|error loading dynamically|preload CSS/i;

export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(thrown: unknown): State {
    return { error: thrown instanceof Error ? thrown : new Error(String(thrown)) };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (!error) return this.props.children;
    const updated = UPDATED.test(error.message);
    return (
      <main>
        <Empty
          icon="warning"
          title={updated ? "A part of the page could not be loaded" : "This page has failed"}
          text={
            updated
              ? "The dashboard may have been updated, or the server has stopped. Load the page again."
              : "Nothing of your runs is lost: this is only the page. Load it again; if it fails again, tell us what stands below."
          }
        >
          <Button kind="primary" onClick={() => window.location.reload()}>
            Load again
          </Button>
          <Button onClick={() => window.location.assign("/")}>All projects</Button>
          {!updated && (
            <>
              <CopyButton text={`${error.message}\n${error.stack ?? ""}\n${window.location.href}`} label="Copy the details" />
              <pre tabIndex={0}>{error.message}</pre>
            </>
          )}
        </Empty>
      </main>
    );
  }
}
