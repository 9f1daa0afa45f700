// The page's colours for what is drawn on a canvas.
import { useMemo } from "react";
import { useTheme } from "../state/theme";
import type { Ink } from "./draw/pen";

export function useInk(): Ink {
  const theme = useTheme();
  return useMemo(() => {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    return {
      background: color("--bg-raised"),
      text: color("--text"),
      soft: color("--text-soft"),
      grid: color("--grid"),
      axis: color("--line-strong"),
      dark: theme === "dark",
    };
  }, [theme]);
}
