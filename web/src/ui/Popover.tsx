// A panel for a small form beside the button that opens it.
import type { ReactNode } from "react";
import { useFloating, type TriggerProps } from "./floating";
import { focusInto } from "./focus";
import "./Floating.css";

export type { TriggerProps };

export interface PopoverProps {
  trigger: (props: TriggerProps) => ReactNode;
  /** What the panel is, for screen readers. */
  label: string;
  children: (close: () => void) => ReactNode;
}

export function Popover({ trigger, label, children }: PopoverProps) {
  const floating = useFloating("dialog", focusInto);
  return (
    <>
      {trigger(floating.trigger)}
      <div
        {...floating.panel}
        className="ui-floating ui-popover"
        role="dialog"
        aria-label={label}
        onKeyDown={(event) => event.stopPropagation()}
      >
        {floating.open && children(floating.close)}
      </div>
    </>
  );
}
