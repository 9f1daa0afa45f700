// The places of a project's runs, by which they have their colours: by creation, and kept when an older run is deleted. What this browser saw
// disappear is remembered here; who was not there sees the runs in the places that the server tells.

import { readJson, write } from "../state/stored";

interface Gone {
  id: string;
  place: number;
}

const STORED = "ml-dash.gone";
/** Of a project; the oldest are forgotten. */
const MOST = 1000;

/** The places that the runs had in the last answer. */
const seen = new Map<string, ReadonlyMap<string, number>>();
let stored: Record<string, Gone[]> | null = null;

function load(): Record<string, Gone[]> {
  const told = readJson(STORED);
  return told && typeof told === "object" ? (told as Record<string, Gone[]>) : {};
}

/** Places for ordinals, as `gone` leaves room for those who went: each still has its place. Pure. */
export function placesOf(ordinals: readonly number[], gone: readonly Gone[]): number[] {
  const taken = [...new Set(gone.map(({ place }) => place))].sort((a, b) => a - b);
  const order = ordinals.map((_, at) => at).sort((a, b) => (ordinals[a] ?? 0) - (ordinals[b] ?? 0));
  const places = [...ordinals];
  let before = 0;
  for (const at of order) {
    while (before < taken.length && (taken[before] ?? 0) <= (ordinals[at] ?? 0) + before) before += 1;
    places[at] = (ordinals[at] ?? 0) + before;
  }
  return places;
}

/** The places of a project's runs, as the server has just told them. */
export function keepPlaces(project: string, ids: readonly string[], ordinals: readonly number[]): number[] {
  stored ??= load();
  const there = new Set(ids);
  const known = stored[project] ?? [];
  const left = [...(seen.get(project) ?? [])].filter(([id]) => !there.has(id)).map(([id, place]) => ({ id, place }));
  const gone = [...known.filter(({ id }) => !there.has(id)), ...left].slice(-MOST);
  if (gone.length !== known.length || left.length) {
    stored = { ...stored, [project]: gone };
    if (!gone.length) delete stored[project];
    write(STORED, JSON.stringify(stored));
  }
  const places = placesOf(ordinals, gone);
  seen.set(project, new Map(ids.map((id, at) => [id, places[at] ?? 0])));
  return places;
}
