// A canvas that fits its place, with another above it for what follows the pointer. Drawing is the caller's.
import { useLayoutEffect, useRef } from "react";
import { Canvases } from "../charts/canvases";

export interface SurfaceProps {
  label: string;
  width: number;
  height: number;
  /** Both are called when they change, with an empty canvas. */
  draw: (pen: CanvasRenderingContext2D) => void;
  above: ((pen: CanvasRenderingContext2D) => void) | null;
  /** "cancel": the browser has taken the finger for scrolling; what was begun is not meant. */
  onPointer: (kind: "down" | "move" | "up" | "leave" | "cancel", x: number, y: number) => void;
  cursor: string;
}

export function Surface({ label, width, height, draw, above, onPointer, cursor }: SurfaceProps) {
  const host = useRef<HTMLDivElement>(null);
  const canvases = useRef<Canvases | null>(null);
  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    canvases.current = new Canvases(element);
    return () => element.replaceChildren();
  }, []);
  useLayoutEffect(() => {
    const made = canvases.current;
    if (!made || width < 20) return;
    made.resize(width, height);
    made.clearBelow();
    draw(made.below);
  }, [draw, width, height]);
  useLayoutEffect(() => {
    const made = canvases.current;
    if (!made) return;
    made.showAbove(above !== null);
    above?.(made.above);
  }, [above, width, height, draw]);
  const at = (event: React.PointerEvent, kind: "down" | "move" | "up") => {
    const box = event.currentTarget.getBoundingClientRect();
    onPointer(kind, event.clientX - box.left, event.clientY - box.top);
  };
  return (
    <div
      ref={host}
      className="surface"
      role="img"
      aria-label={label}
      style={{ width, height, cursor }}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        at(event, "down");
      }}
      onPointerMove={(event) => at(event, "move")}
      onPointerUp={(event) => at(event, "up")}
      onPointerCancel={() => onPointer("cancel", NaN, NaN)}
      onPointerLeave={() => onPointer("leave", NaN, NaN)}
    />
  );
}
