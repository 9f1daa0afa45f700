// The side of a page that can be made wider, narrower or put away; on a phone it is a drawer over the page.
import { useCallback, useEffect, useRef, useState, type ReactNode } from "react";
import { readJson, write } from "../state/stored";
import { useMedia } from "../ui";
import "./SidePanel.css";

const STORED = "ml-dash.panel";
const LEAST = 200;
const MOST = 640;
const USUAL = 290;

interface Kept {
  open: boolean;
  /** Beside the table, whose first column lists the runs already. */
  openByTable: boolean;
  width: number;
}

function kept(): Kept {
  const told = (readJson(STORED) ?? {}) as Partial<Kept>;
  return {
    open: told.open !== false,
    openByTable: told.openByTable === true,
    width: Math.min(MOST, Math.max(LEAST, Number(told.width) || USUAL)),
  };
}

export interface Panel {
  narrow: boolean;
  open: boolean;
  width: number;
  setOpen: (open: boolean) => void;
  setWidth: (width: number) => void;
}

/** `byTable`: the table is shown beside it. */
export function usePanel(byTable: boolean): Panel {
  const narrow = useMedia("(max-width: 760px)");
  const [wide, setWide] = useState(kept);
  const [drawer, setDrawer] = useState(false);
  useEffect(() => write(STORED, JSON.stringify(wide)), [wide]);
  return {
    narrow,
    open: narrow ? drawer : byTable ? wide.openByTable : wide.open,
    width: wide.width,
    setOpen: useCallback(
      (open: boolean) => (narrow ? setDrawer(open) : setWide((now) => ({ ...now, [byTable ? "openByTable" : "open"]: open }))),
      [narrow, byTable],
    ),
    setWidth: useCallback((width: number) => setWide((now) => ({ ...now, width: Math.min(MOST, Math.max(LEAST, Math.round(width))) })), []),
  };
}

export function SidePanel({ panel, label, children }: { panel: Panel; label: string; children: ReactNode }) {
  const { narrow, open, width, setOpen, setWidth } = panel;
  const drag = useRef<{ from: number; width: number } | null>(null);
  const drawer = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!narrow || !open) return;
    const before = document.activeElement;
    drawer.current?.focus();
    return () => {
      if (before instanceof HTMLElement && (document.activeElement === document.body || document.activeElement === null)) before.focus();
    };
  }, [narrow, open]);
  if (!open) return null;
  if (narrow) {
    // Not the browser's modal dialog: the menus of its runs and the news at the foot of the page stand outside of it, and must work.
    return (
      <>
        <div className="drawer-rest" onPointerDown={() => setOpen(false)} />
        <div
          ref={drawer}
          className="drawer"
          role="dialog"
          aria-label={label}
          tabIndex={-1}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.stopPropagation();
            setOpen(false);
          }}
        >
          {children}
        </div>
      </>
    );
  }
  return (
    <section className="side-panel" aria-label={label} style={{ width }}>
      {children}
      <div
        className="side-panel-edge"
        role="separator"
        aria-orientation="vertical"
        aria-label={`Width of ${label.toLowerCase()}`}
        aria-valuenow={width}
        aria-valuemin={LEAST}
        aria-valuemax={MOST}
        tabIndex={0}
        onKeyDown={(event) => {
          const by = event.key === "ArrowLeft" ? -20 : event.key === "ArrowRight" ? 20 : 0;
          if (!by) return;
          event.preventDefault();
          setWidth(width + by);
        }}
        onDoubleClick={() => setWidth(USUAL)}
        onPointerDown={(event) => {
          drag.current = { from: event.clientX, width };
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          if (drag.current) setWidth(drag.current.width + event.clientX - drag.current.from);
        }}
        onPointerUp={() => {
          drag.current = null;
        }}
      />
    </section>
  );
}
