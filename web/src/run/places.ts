// Addresses within a run's page.
export const tabHref = (run: string, tab: string, words: Record<string, string> = {}): string =>
  `/run/${encodeURIComponent(run)}?${new URLSearchParams({ tab, ...words })}`;
