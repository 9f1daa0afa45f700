// A panel beside the button that opens it: in the browser's top layer, so that nothing clips it, and inside the window.
import { useCallback, useEffect, useId, useRef, useState, type RefObject } from "react";
import { flushSync } from "react-dom";

/** What the opening button gets; clicking outside and Escape are the browser's work. */
export interface TriggerProps {
  popoverTarget: string;
  "aria-haspopup": "menu" | "dialog";
  "aria-expanded": boolean;
}

const EDGE = 8;

function place(panel: HTMLElement, trigger: Anchor): void {
  const at = trigger.getBoundingClientRect();
  panel.style.maxHeight = "";
  const { offsetWidth: width, scrollHeight: height } = panel;
  const below = window.innerHeight - at.bottom - EDGE;
  const above = at.top - EDGE;
  const under = height <= below || below >= above;
  panel.style.maxHeight = `${Math.max(120, (under ? below : above) - 4)}px`;
  const tall = Math.min(panel.offsetHeight, under ? below : above);
  panel.style.top = `${Math.round(under ? at.bottom + 4 : at.top - tall - 4)}px`;
  const wanted = at.left + width > window.innerWidth - EDGE ? at.right - width : at.left;
  panel.style.left = `${Math.round(Math.max(EDGE, Math.min(wanted, window.innerWidth - width - EDGE)))}px`;
}

export interface Floating {
  open: boolean;
  close: () => void;
  trigger: TriggerProps;
  panel: {
    id: string;
    popover: "auto";
    ref: RefObject<HTMLDivElement | null>;
    onBeforeToggle: (event: React.ToggleEvent<HTMLDivElement>) => void;
    onToggle: (event: React.ToggleEvent<HTMLDivElement>) => void;
    onClick: (event: React.MouseEvent) => void;
    onKeyDown?: (event: React.KeyboardEvent) => void;
  };
}

/** Where a panel stands that many buttons share: beside the one that was pressed. */
export type Anchor = Element | { getBoundingClientRect(): DOMRect };

/** `onShown` is called when the panel stands in its place: for focus. `anchor` is for panels that no button opens by itself. */
export function useFloating(
  role: "menu" | "dialog",
  onShown: (panel: HTMLElement) => void,
  anchor?: RefObject<Anchor | null>,
): Floating {
  const id = `pop-${useId().replace(/[^a-zA-Z0-9]/g, "")}`;
  const ref = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const triggerOf = useCallback((): Anchor | null => anchor?.current ?? document.querySelector(`[popovertarget="${id}"]`), [id, anchor]);

  useEffect(() => {
    if (!open) return;
    const again = () => {
      const trigger = triggerOf();
      if (ref.current && trigger) place(ref.current, trigger);
    };
    window.addEventListener("resize", again);
    const grows = new ResizeObserver(again);
    if (ref.current) grows.observe(ref.current);
    return () => {
      window.removeEventListener("resize", again);
      grows.disconnect();
    };
  }, [open, triggerOf]);

  return {
    open,
    close: () => ref.current?.hidePopover(),
    trigger: { popoverTarget: id, "aria-haspopup": role, "aria-expanded": open },
    panel: {
      id,
      popover: "auto",
      ref,
      onBeforeToggle: (event) => {
        // A panel inside this one tells too: React lets the event rise.
        if (event.target !== event.currentTarget) return;
        const opens = event.newState === "open";
        if (opens) event.currentTarget.style.visibility = "hidden";
        else if (event.currentTarget.contains(document.activeElement)) {
          // The browser gives the focus back where it finds it in the panel; what the panel holds goes before that.
          const trigger = triggerOf();
          if (trigger instanceof HTMLElement) trigger.focus({ preventScroll: true });
        }
        flushSync(() => setOpen(opens));
      },
      onToggle: (event) => {
        if (event.target !== event.currentTarget || event.newState !== "open") return;
        const panel = event.currentTarget;
        const trigger = triggerOf();
        if (trigger) place(panel, trigger);
        panel.style.visibility = "";
        onShown(panel);
      },
      onClick: (event) => event.stopPropagation(),
    },
  };
}
