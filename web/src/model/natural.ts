// The order of names as people count: run-2 before run-10, whatever their case. Pure.
let collator: Intl.Collator | null = null;

/** For `sort`. Made when first needed: a browser takes some ms for it. */
export function natural(a: string, b: string): number {
  collator ??= new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  return collator.compare(a, b);
}
