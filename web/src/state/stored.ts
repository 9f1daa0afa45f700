// What this browser keeps for its reader. Where it keeps nothing (storage forbidden, or full), the page works all the same, for as long as it is open.

export function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** JSON that was kept; null where there is none that can be read. */
export function readJson(key: string): unknown {
  try {
    return JSON.parse(read(key) ?? "null");
  } catch {
    return null;
  }
}

/** null keeps nothing. */
export function write(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Nothing hangs on it but what is there the next time.
  }
}

/** Another tab of this browser has kept something else. */
export function onOthersWrite(key: string, tell: () => void): void {
  // `null` is all at once.
  globalThis.window?.addEventListener("storage", (event) => {
    if (event.key === key || event.key === null) tell();
  });
}
