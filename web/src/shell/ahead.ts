// What the first room needs, begun at once: its code and its data come side by side, not one after the other.
import type { QueryClient } from "@tanstack/react-query";
import { fetchAhead } from "../runs/fetch";
import { TABS } from "../runs/tabs";
import { currentPlace } from "../state/url";
import { readView } from "../state/view";
import { ProjectPage, RunPage } from "./later_rooms";
import { roomOf } from "./rooms";

/** Settles when the room can be drawn whole. Failures are told by who needs the thing. */
export async function begin(queries: QueryClient): Promise<void> {
  const { path, query } = currentPlace();
  const { room, name } = roomOf(path);
  if (room === "run") await RunPage.ahead();
  if (room !== "p" || !name) return;
  const view = readView(query);
  await Promise.all([ProjectPage.ahead(), TABS[view.tab].ahead(), fetchAhead(queries, view, name)]);
}
