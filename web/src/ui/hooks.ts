// Small facts that several components need of the page.
import { useEffect, useLayoutEffect, useState, type RefObject } from "react";

/** The width of an element in px, 0 before it is known. */
export function useWidth(ref: RefObject<Element | null>): number {
  const [width, setWidth] = useState(0);
  // Before the first paint: what is laid out by it must not come one frame later.
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    setWidth(element.getBoundingClientRect().width);
    const watch = new ResizeObserver(([entry]) => {
      if (entry) setWidth(entry.contentRect.width);
    });
    watch.observe(element);
    return () => watch.disconnect();
  }, [ref]);
  return width;
}

/** `value`, after it has stayed the same for `ms`. */
export function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(value), ms);
    return () => window.clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** Whether a media query holds, for example "(max-width: 760px)". */
export function useMedia(text: string): boolean {
  const [holds, setHolds] = useState(() => window.matchMedia(text).matches);
  useEffect(() => {
    const media = window.matchMedia(text);
    const told = () => setHolds(media.matches);
    told();
    media.addEventListener("change", told);
    return () => media.removeEventListener("change", told);
  }, [text]);
  return holds;
}
