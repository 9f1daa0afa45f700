// Pointer and keys on a chart: hover, drag to zoom, touch to read. Says what the reader wants; changes nothing itself.
import type { Chart } from "./chart";
import { px, valueAt } from "./draw/scale";

export interface Wishes {
  zoom: (range: [number, number]) => void;
  reset: () => void;
  full: () => void;
  /** What a keyboard's user hears. */
  say: (text: string) => void;
}

/** A drag shorter than this (px) is a click. */
const LEAST_DRAG = 5;
const CLOSER = 0.5;

export function listen(host: HTMLElement, chart: Chart, wishes: () => Wishes): () => void {
  const control = new AbortController();
  const { signal } = control;
  const band = document.createElement("div");
  band.className = "chart-band";
  band.hidden = true;
  host.append(band);
  let began: number | null = null;
  let dragged = false;

  const place = (event: PointerEvent) => {
    const box = host.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const inside = (x: number): number => Math.max(chart.frame?.left ?? 0, Math.min(chart.frame?.right ?? 0, x));
  const end = () => {
    began = null;
    band.hidden = true;
  };

  host.addEventListener("pointermove", (event) => {
    const at = place(event);
    const { frame } = chart;
    if (!frame) return;
    if (began === null || event.pointerType !== "mouse") {
      const over = at.x >= frame.left - 8 && at.x <= frame.right + 8 && at.y <= frame.bottom + 8;
      chart.point(over ? { x: inside(at.x), y: at.y } : null);
      return;
    }
    const x = inside(at.x);
    dragged ||= Math.abs(x - began) >= LEAST_DRAG;
    if (!dragged) return;
    chart.point(null);
    band.hidden = false;
    band.style.left = `${Math.min(x, began)}px`;
    band.style.width = `${Math.abs(x - began)}px`;
    band.style.top = `${frame.top}px`;
    band.style.height = `${frame.bottom - frame.top}px`;
  }, { signal });
  host.addEventListener("pointerdown", (event) => {
    const { frame } = chart;
    const at = place(event);
    dragged = false;
    if (!frame || event.button !== 0) return;
    if (event.pointerType !== "mouse") return chart.point({ x: inside(at.x), y: at.y });
    began = inside(at.x);
    host.setPointerCapture(event.pointerId);
  }, { signal });
  host.addEventListener("pointerup", (event) => {
    const { frame } = chart;
    if (began !== null && dragged && frame) {
      const ends = [began, inside(place(event).x)].sort((a, b) => a - b).map((x) => valueAt(frame.x, x));
      wishes().zoom(ends as [number, number]);
    }
    end();
  }, { signal });
  host.addEventListener("pointercancel", () => {
    end();
    chart.point(null);
  }, { signal });
  // What a finger covers is read when it has gone: until it comes down somewhere else.
  host.addEventListener("pointerleave", (event) => {
    if (began === null && event.pointerType === "mouse") chart.point(null);
  }, { signal });
  document.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" && event.target instanceof Node && !host.contains(event.target)) chart.point(null);
  }, { signal, capture: true });
  host.addEventListener("dblclick", () => wishes().reset(), { signal });
  host.addEventListener("blur", () => chart.point(null), { signal });
  host.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key(event.key, event.shiftKey ? 10 : 1)) event.preventDefault();
  }, { signal });

  /** Whether the key means something here. */
  function key(name: string, by: number): boolean {
    const { frame } = chart;
    if (!frame) return false;
    if (name === "ArrowRight" || name === "ArrowLeft") wishes().say(chart.step(name === "ArrowRight" ? by : -by));
    else if (name === "+" || name === "=") wishes().zoom(around(chart, CLOSER));
    else if (name === "-") wider();
    else if (name === "Escape" && began !== null) end();
    else if (name === "Escape" && chart.drawn?.zoom) wishes().reset();
    else if (name === "Enter") wishes().full();
    else return false;
    return true;
  }

  /** Never beyond what there is: there nothing is to be seen, and no way back is to be found. */
  function wider(): void {
    const { whole, frame } = chart;
    if (!chart.drawn?.zoom || !whole || !frame) return;
    const [low, high] = around(chart, 1 / CLOSER);
    // What is rounded for the address must not leave a view that lacks a px of everything.
    const all = px(frame.x, low) <= px(frame.x, whole.min) + LEAST_DRAG && px(frame.x, high) >= px(frame.x, whole.max) - LEAST_DRAG;
    if (all) wishes().reset();
    else wishes().zoom([Math.max(low, whole.min), Math.min(high, whole.max)]);
  }

  return () => {
    control.abort();
    band.remove();
  };
}

/** The view around the cursor, or around its middle, `share` as wide; in px, so that it holds for any axis. */
function around(chart: Chart, share: number): [number, number] {
  const { frame } = chart;
  if (!frame) return [0, 1];
  const middle = chart.cursorAt ?? (frame.left + frame.right) / 2;
  const width = (frame.right - frame.left) * share;
  const left = middle - (width * (middle - frame.left)) / (frame.right - frame.left);
  return [valueAt(frame.x, left), valueAt(frame.x, left + width)];
}
