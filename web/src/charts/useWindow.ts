// Which part of a tall element is in the window, whatever it is that scrolls.
import { useLayoutEffect, useState, type RefObject } from "react";

/** px above and below the window that count as in it: panels are made before they come into sight. */
const AROUND = 250;
/** Told in steps of so many px: not every one makes a difference. */
const STEP = 60;

export function useWindow(ref: RefObject<Element | null>): readonly [from: number, to: number] {
  const [part, setPart] = useState<readonly [number, number]>([0, 1200]);
  useLayoutEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      const top = ref.current?.getBoundingClientRect().top ?? 0;
      const from = Math.floor((-top - AROUND) / STEP) * STEP;
      const to = Math.ceil((window.innerHeight - top + AROUND) / STEP) * STEP;
      setPart((before) => (before[0] === from && before[1] === to ? before : [from, to]));
    };
    const soon = () => {
      if (!frame) frame = requestAnimationFrame(look);
    };
    look();
    window.addEventListener("scroll", soon, { capture: true, passive: true });
    window.addEventListener("resize", soon);
    const moves = new ResizeObserver(soon);
    moves.observe(document.body);
    if (ref.current?.parentElement) moves.observe(ref.current.parentElement);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", soon, { capture: true });
      window.removeEventListener("resize", soon);
      moves.disconnect();
    };
  }, [ref]);
  return part;
}
