// Light or dark: the system's, or what the reader has chosen. What draws on a canvas asks here.
import { useSyncExternalStore } from "react";
import { read, write } from "./stored";

export type Theme = "light" | "dark";
export type ThemeChoice = Theme | "system";
const STORED = "ml-dash.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
let choice: ThemeChoice = stored();

function stored(): ThemeChoice {
  const told = read(STORED);
  return told === "light" || told === "dark" ? told : "system";
}

export function currentTheme(): Theme {
  return choice === "system" ? (system.matches ? "dark" : "light") : choice;
}

function apply(): void {
  document.documentElement.dataset["theme"] = currentTheme();
  for (const listener of listeners) listener();
}

export function chooseTheme(next: ThemeChoice): void {
  choice = next;
  write(STORED, next === "system" ? null : next);
  apply();
}

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
export const useTheme = (): Theme => useSyncExternalStore(subscribe, currentTheme);
export const useThemeChoice = (): ThemeChoice => useSyncExternalStore(subscribe, () => choice);

system.addEventListener("change", apply);
apply();
