// A question or a form before everything else: the browser's own dialog, which keeps the focus and closes on Escape.
import { useEffect, useId, useRef, type ReactNode } from "react";
import { IconButton } from "./Button";
import { focusInto } from "./focus";
import "./Dialog.css";

export interface DialogProps {
  title: string;
  open: boolean;
  onClose: () => void;
  /** Buttons at the foot. */
  actions?: ReactNode | undefined;
  children: ReactNode;
}

export function Dialog({ title, open, onClose, actions, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    if (open && ref.current && !ref.current.open) {
      ref.current.showModal();
      const body = ref.current.querySelector(".ui-dialog-body");
      // The browser would go to the closing button, which stands first.
      if (body?.querySelector("input, textarea")) focusInto(body);
    }
    if (!open) ref.current?.close();
  }, [open]);
  return (
    <dialog
      ref={ref}
      className="ui-dialog"
      aria-labelledby={heading}
      onClose={onClose}
      onKeyDown={(event) => event.stopPropagation()}
      onPointerDown={(event) => {
        if (event.target === event.currentTarget) onClose();
      }}
    >
      {open && (
        <div className="ui-dialog-box">
          <header>
            <h2 id={heading}>{title}</h2>
            <IconButton icon="close" label="Close" onClick={onClose} />
          </header>
          <div className="ui-dialog-body">{children}</div>
          {actions && <footer>{actions}</footer>}
        </div>
      )}
    </dialog>
  );
}
