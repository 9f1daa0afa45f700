// Where the focus goes when a panel or a dialog opens.

/** In the order of preference: what is to be typed, what is chosen, anything. */
const PREFERRED = ["input:not([type=checkbox]), textarea", "[aria-pressed=true]", "select, input, button, a[href]"] as const;

export function focusInto(panel: ParentNode): void {
  for (const selector of PREFERRED) {
    const found = panel.querySelector<HTMLElement>(selector);
    if (found) return found.focus();
  }
}
