// The address bar as the page's one state: read it, change it, be told of changes. Knows no view.
import { useSyncExternalStore } from "react";

export interface Place {
  path: string;
  query: URLSearchParams;
}

const listeners = new Set<() => void>();
let place: Place = read();

function read(): Place {
  return { path: window.location.pathname, query: new URLSearchParams(window.location.search) };
}

function told(): void {
  place = read();
  for (const listener of listeners) listener();
}

window.addEventListener("popstate", told);

/** Go to `href`. `replace` while something is typed or dragged, so that "back" undoes choices, not keystrokes. */
export function navigate(href: string, { replace = false }: { replace?: boolean } = {}): void {
  if (href === window.location.pathname + window.location.search) return;
  window.history[replace ? "replaceState" : "pushState"](null, "", href);
  told();
}

/** Query parameters by name; a list comes once for each, null is none. */
export type Words = Record<string, string | readonly string[] | null>;

/** Change some query parameters of this place. */
export function setQuery(changes: Words, options: { replace?: boolean } = {}): void {
  const next = new URLSearchParams(place.query);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of typeof value === "string" ? [value] : (value ?? [])) if (one) next.append(name, one);
  }
  const text = next.toString();
  navigate(place.path + (text ? `?${text}` : ""), options);
}

export function currentPlace(): Place {
  return place;
}

export function usePlace(): Place {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => place,
  );
}

/** For `<a>`: a plain click goes without loading the page anew; any other click is the browser's. */
export function follow(event: React.MouseEvent<HTMLAnchorElement>): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  navigate(event.currentTarget.pathname + event.currentTarget.search);
}
