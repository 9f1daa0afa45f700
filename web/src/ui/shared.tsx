// One menu or panel for many rows: opened beside the button that was pressed, about the thing that its row shows. Rows stay light.
import { useCallback, useMemo, useRef, useState, type ReactNode } from "react";
import { useFloating, type Anchor } from "./floating";
import { focusInto } from "./focus";
import { focusFirst, MenuPanel, type MenuItem } from "./Menu";
import "./Floating.css";

export interface SharedPanel<T> {
  /** To be put once beside the rows. */
  element: ReactNode;
  open: (anchor: Anchor, subject: T) => void;
}

/** A press on the button of a panel that is open closes it by itself; within this time (ms) it is not opened again. */
const SAME_PRESS = 300;

/** What was pressed last, unless a key was since. */
let pressed: EventTarget | null = null;
document.addEventListener("pointerdown", (event) => (pressed = event.target), true);
document.addEventListener("keydown", () => (pressed = null), true);
const pressedIn = (anchor: Anchor | null): boolean => anchor instanceof Element && pressed instanceof Node && anchor.contains(pressed);

/** Told to screen readers; and a button that is shown only while one is at its row has to stay, or no focus can go back to it. */
function expand(anchor: Anchor | null, open: boolean): void {
  if (anchor instanceof Element) anchor.setAttribute("aria-expanded", String(open));
}

function useSubject<T>(role: "menu" | "dialog", onShown: (panel: HTMLElement) => void) {
  const anchor = useRef<Anchor | null>(null);
  const closed = useRef({ by: null as Anchor | null, at: 0 });
  const [subject, setSubject] = useState<{ of: T } | null>(null);
  const floating = useFloating(role, onShown, anchor);
  const { panel } = floating;
  const onBeforeToggle = panel.onBeforeToggle;
  panel.onBeforeToggle = (event) => {
    if (event.target === event.currentTarget && event.newState === "closed") {
      closed.current = { by: pressedIn(anchor.current) ? anchor.current : null, at: performance.now() };
      if (anchor.current instanceof HTMLElement && event.currentTarget.contains(document.activeElement)) anchor.current.focus();
      expand(anchor.current, false);
    }
    onBeforeToggle(event);
  };
  const open = useCallback(
    (to: Anchor, of: T) => {
      if (closed.current.by === to && performance.now() - closed.current.at < SAME_PRESS) return;
      anchor.current = to;
      expand(to, true);
      setSubject({ of });
      panel.ref.current?.showPopover();
    },
    [panel.ref],
  );
  return { floating, subject, open };
}

export function useSharedMenu<T>(label: string, items: (subject: T) => readonly MenuItem[]): SharedPanel<T> {
  const { floating, subject, open } = useSubject<T>("menu", focusFirst);
  const element = <MenuPanel label={label} floating={floating} items={subject ? () => items(subject.of) : []} />;
  return useMemo(() => ({ element, open }), [element, open]);
}

export function useSharedPanel<T>(label: string, render: (subject: T, close: () => void) => ReactNode): SharedPanel<T> {
  const { floating, subject, open } = useSubject<T>("dialog", focusInto);
  const element = (
    <div {...floating.panel} className="ui-floating ui-popover" role="dialog" aria-label={label} onKeyDown={(event) => event.stopPropagation()}>
      {floating.open && subject && render(subject.of, floating.close)}
    </div>
  );
  return useMemo(() => ({ element, open }), [element, open]);
}
