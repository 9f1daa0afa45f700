// Short news at the foot of the page: what has been done, and how to undo it. `toast` may be called from anywhere.
import { useSyncExternalStore } from "react";
import { Button, IconButton } from "./Button";
import { Icon } from "./Icon";
import "./toasts.css";

export interface ToastOptions {
  kind?: "info" | "error" | undefined;
  action?: { label: string; onSelect: () => void } | undefined;
  /** How long it stays; an error stays longer. */
  seconds?: number | undefined;
}

interface Toast extends ToastOptions {
  id: number;
  text: string;
}

let shown: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function show(toasts: readonly Toast[]): void {
  shown = toasts;
  for (const listener of listeners) listener();
}

function dismiss(id: number): void {
  show(shown.filter((one) => one.id !== id));
}

/** Tell something; what is returned takes it back. */
export function toast(text: string, options: ToastOptions = {}): () => void {
  const id = next++;
  show([...shown.slice(-3), { ...options, id, text }]);
  window.setTimeout(() => dismiss(id), 1000 * (options.seconds ?? (options.kind === "error" ? 10 : 5)));
  return () => dismiss(id);
}

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export function Toasts() {
  const toasts = useSyncExternalStore(subscribe, () => shown);
  return (
    <div className="ui-toasts" role="status" aria-live="polite">
      {toasts.map(({ id, text, kind, action }) => (
        <div key={id} className={`ui-toast ${kind ?? "info"}`}>
          {kind === "error" && <Icon name="warning" />}
          <span>{text}</span>
          {action && (
            <Button
              size="small"
              onClick={() => {
                dismiss(id);
                action.onSelect();
              }}
            >
              {action.label}
            </Button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}
