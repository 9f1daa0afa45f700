// What a path of the page is about. Pure.

/** What the address /runs/<project>/<name> names; null for any other path. */
export function namedRun(path: string): { project: string; name: string } | null {
  const [, room, project, name, ...more] = path.split("/");
  if (room !== "runs" || !project || !name || more.length) return null;
  try {
    return { project: decodeURIComponent(project), name: decodeURIComponent(name) };
  } catch {
    return null;
  }
}

/** The room of a path and what it is about; a path that cannot be read is the first room. */
export function roomOf(path: string): { room: string; name: string } {
  const [, room = "", ...rest] = path.split("/");
  try {
    return { room, name: rest.map(decodeURIComponent).join("/") };
  } catch {
    return { room: "", name: "" };
  }
}
