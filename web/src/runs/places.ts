// Addresses inside a project. Pure.
import { currentPlace } from "../state/url";
import { writeView, type View } from "../state/view";

export const runHref = (run: { id: string }): string => `/run/${encodeURIComponent(run.id)}`;

export function projectHref(namespace: string, project: string): string {
  const query = namespace ? `?ns=${encodeURIComponent(namespace)}` : "";
  return `/p/${project.split("/").map(encodeURIComponent).join("/")}${query}`;
}

/** This place with some properties of the view changed: for links. */
export function viewHref(view: Partial<View>): string {
  const { path, query } = currentPlace();
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(writeView(view))) {
    next.delete(name);
    for (const one of typeof value === "string" ? [value] : (value ?? [])) next.append(name, one);
  }
  const text = next.toString();
  return path + (text ? `?${text}` : "");
}
