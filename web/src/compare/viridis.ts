// A scale of colours that steps evenly for the eye, also for the colour-blind: viridis, without the end that the page swallows. Pure.

const STOPS: readonly (readonly [number, number, number])[] = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37],
];
/** The parts of it that stand out from a light and a dark page. */
const LIGHT: readonly [number, number] = [0, 0.86];
const DARK: readonly [number, number] = [0.22, 1];

/** `share` 0 … 1 as a colour; what is no number in `none`. */
export function viridis(share: number, dark: boolean, none: string): string {
  if (!Number.isFinite(share)) return none;
  const [low, high] = dark ? DARK : LIGHT;
  const at = (low + (high - low) * Math.max(0, Math.min(1, share))) * (STOPS.length - 1);
  const left = STOPS[Math.floor(at)] ?? STOPS[0];
  const right = STOPS[Math.ceil(at)] ?? left;
  const mix = (i: 0 | 1 | 2) => Math.round((left?.[i] ?? 0) + ((right?.[i] ?? 0) - (left?.[i] ?? 0)) * (at % 1));
  return `rgb(${mix(0)}, ${mix(1)}, ${mix(2)})`;
}
