// The bar above everything: where one is, the ways through a project, whether it is live, views that are kept, the theme.
import { useQueryClient } from "@tanstack/react-query";
import { Fragment, type ReactNode } from "react";
import { viewHref } from "../runs/places";
import { useLiveState, type LiveState } from "../state/live";
import { chooseTheme, useTheme, useThemeChoice, type ThemeChoice } from "../state/theme";
import { follow, usePlace } from "../state/url";
import { readView } from "../state/view";
import { copyText, IconButton, Menu, Tabs, toast } from "../ui";
import { useShownCrumbs } from "./crumbs";
import { signOut, useSession } from "./session";
import { ViewsMenu } from "./ViewsMenu";
import "./TopBar.css";

const TABS = [
  { value: "charts", label: "Charts", icon: "chart" },
  { value: "table", label: "Table", icon: "table" },
  { value: "compare", label: "Compare", icon: "compare" },
] as const;

export function TopBar({ room }: { room: string }) {
  const { query } = usePlace();
  const crumbs = useShownCrumbs();
  const inProject = room === "p";
  return (
    <header className={`top${inProject ? " with-tabs" : ""}`}>
      <div className="top-place">
        <a className="top-home" href="/" onClick={follow} aria-label="ml-dash: all projects">
          <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" />
            <path d="M6 22l6-9 5 5 9-11" />
          </svg>
          <span>ml-dash</span>
        </a>
        {crumbs.map((crumb, i) => (
          <Fragment key={crumb.href}>
            <span className="top-slash" aria-hidden="true">
              /
            </span>
            <Crumbed last={inProject && i === crumbs.length - 1}>
              <a className="top-crumb" href={crumb.href} onClick={follow} title={crumb.label}>
                {crumb.label}
              </a>
            </Crumbed>
          </Fragment>
        ))}
      </div>
      {inProject && (
        <Tabs label="Views" value={readView(query).tab} items={TABS.map((tab) => ({ ...tab, href: viewHref({ tab: tab.value }) }))} />
      )}
      <div className="top-tools">
        <LiveDot />
        {inProject && <ViewsMenu />}
        <IconButton
          icon="link"
          label="Copy a link to this view"
          onClick={async () => {
            const copied = await copyText(window.location.href);
            toast(copied ? "Copied a link to what you see." : "The browser does not let this page use the clipboard. The link is in the address bar.");
          }}
        />
        <ThemeMenu />
        <Account />
      </div>
    </header>
  );
}

/** The last place is what the page is about: its heading. */
function Crumbed({ last, children }: { last: boolean; children: ReactNode }) {
  return last ? <h1 className="top-here">{children}</h1> : children;
}

const STATES: Record<Exclude<LiveState, "off">, { word: string; meaning: string }> = {
  live: { word: "Live", meaning: "New points and runs appear by themselves." },
  connecting: { word: "Connecting", meaning: "Connecting to the server for live changes." },
  waiting: { word: "Not live", meaning: "The connection is lost; it is tried again by itself, and nothing is missed." },
};

function LiveDot() {
  const state = useLiveState();
  if (state === "off") return null;
  const { word, meaning } = STATES[state];
  return (
    <span className={`live ${state}`} title={meaning}>
      <span className="live-dot" aria-hidden="true" />
      <span className="live-word">{word}</span>
    </span>
  );
}

const THEMES: readonly { choice: ThemeChoice; label: string; icon: "sun" | "moon" | "display" }[] = [
  { choice: "light", label: "Light", icon: "sun" },
  { choice: "dark", label: "Dark", icon: "moon" },
  { choice: "system", label: "As the system", icon: "display" },
];

function ThemeMenu() {
  const theme = useTheme();
  const choice = useThemeChoice();
  return (
    <Menu
      label="Theme"
      items={THEMES.map((one) => ({ label: one.label, checked: one.choice === choice, onSelect: () => chooseTheme(one.choice) }))}
      trigger={(props) => <IconButton {...props} icon={theme === "dark" ? "moon" : "sun"} label="Theme" />}
    />
  );
}

function Account() {
  const queries = useQueryClient();
  const { session } = useSession();
  if (!session?.asks_for_token || !session.signed_in) return null;
  return (
    <Menu
      label="Signed in"
      items={[
        { label: `Token ${session.token ?? ""}: may ${session.scope ?? "read"}`, disabled: true, onSelect: () => undefined },
        { label: "Sign out", icon: "sign-out", onSelect: () => void signOut(queries) },
      ]}
      trigger={(props) => <IconButton {...props} icon="lock" label="Signed in with a token" />}
    />
  );
}
