// Notes that were begun and neither saved nor cancelled: a click beside them, Escape or a look at another run must not lose them. They
// live as long as the page.

const drafts = new Map<string, string>();

export const draftOf = (run: string): string | null => drafts.get(run) ?? null;

/** null: it was saved, or is not wanted. */
export function keepDraft(run: string, text: string | null): void {
  if (text === null) drafts.delete(run);
  else drafts.set(run, text);
}
