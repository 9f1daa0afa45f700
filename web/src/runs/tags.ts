// Tags as people type them. Pure.

/** `tags` with those that were typed, commas between them; one that `known` runs have may hold commas itself. */
export function withTyped(tags: readonly string[], typed: string, known: readonly string[] = []): string[] {
  const whole = typed.trim();
  const more = known.includes(whole) ? [whole] : whole.split(",").map((one) => one.trim());
  return [...new Set([...tags, ...more.filter(Boolean)])];
}
