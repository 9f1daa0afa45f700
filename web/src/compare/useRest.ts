// The height that is left in the window below the beginning of an element.
import { useLayoutEffect, useState, type RefObject } from "react";

const LEAST = 340;
const MOST = 760;
/** px below it. */
const FOOT = 26;

export function useRest(ref: RefObject<Element | null>): number {
  const [height, setHeight] = useState(460);
  useLayoutEffect(() => {
    const look = () => {
      const top = ref.current?.getBoundingClientRect().top ?? 0;
      setHeight(Math.max(LEAST, Math.min(MOST, Math.floor(window.innerHeight - top - FOOT))));
    };
    look();
    window.addEventListener("resize", look);
    return () => window.removeEventListener("resize", look);
  }, [ref]);
  return height;
}
