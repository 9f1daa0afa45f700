// What a reader does to panels, as changes of the view.
import { currentPlace } from "../state/url";
import { readView, setView } from "../state/view";
import { foldName } from "./layout";
import type { PanelActions } from "./Panel";

const turned = (list: readonly string[], key: string): string[] => (list.includes(key) ? list.filter((one) => one !== key) : [...list, key]);
const now = () => readView(currentPlace().query);

const briefly = (value: number, span: number): number => {
  const further = Math.ceil(Math.log10(Math.abs(value) / span));
  return Number(value.toPrecision(Math.max(4, Math.min(17, 4 + further))));
};

/** Digits beyond a thousandth of what is in sight say nothing, and make addresses long. On a logarithmic axis each end has its own: rounded
 *  by the other's, a low one would be 0. */
export function roundedRange([low, high]: readonly [number, number], log = false): [number, number] {
  const span = Math.abs(high - low);
  if (!(span > 0)) return [low, high];
  if (log) return [briefly(low, span), briefly(high, span)];
  const digits = Math.max(0, Math.min(20, 3 - Math.floor(Math.log10(span))));
  return [Number(low.toFixed(digits)), Number(high.toFixed(digits))];
}

export const ACTIONS: PanelActions = {
  zoom: (range) => {
    if (range === null && now().zoom === null) return;
    setView({ zoom: range && roundedRange(range, now().logX) });
  },
  pin: (key) => setView({ pinned: turned(now().pinned, key) }),
  turnY: (key) => setView({ turnedY: turned(now().turnedY, key) }),
  usualY: (key) => setView({ usualY: turned(now().usualY, key) }),
  full: (key) => setView({ full: key ?? "" }),
};

export const fold = (group: string): void => setView({ folded: turned(now().folded, foldName(group)) });
