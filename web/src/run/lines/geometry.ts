// Where the rows of a very long list lie, without a number a row: what is at the top of the window is known exactly, everything else is
// reckoned from there by the heights that are known. Pure.

/** The row at the top of the window, and how many px of it are above. */
export interface Anchor {
  at: number;
  offset: number;
}

export interface Geometry {
  count: number;
  /** px of the window. */
  view: number;
  height(row: number): number;
}

/** [first, last] and where the first one begins, in px below the top of the window. */
export interface Window {
  first: number;
  last: number;
  top: number;
  atStart: boolean;
  atEnd: boolean;
}

/** Browsers lay nothing out beyond some 16 million px; past this, a pixel of the scroll bar is more than one of the list. */
export const TALLEST = 8_000_000;

/** The anchor at which the last row ends at the bottom of the window; the first row's, where all rows fit. */
export function endAnchor({ count, view, height }: Geometry): Anchor {
  let at = count;
  let left = view;
  while (at > 0 && left > 0) {
    at -= 1;
    left -= height(at);
  }
  return { at, offset: Math.max(0, -left) };
}

/** The same place, with an offset inside its row, and neither before the first row nor beyond the end. */
export function settled(anchor: Anchor, of: Geometry): Anchor {
  if (of.count === 0) return { at: 0, offset: 0 };
  let { at, offset } = anchor;
  at = Math.min(Math.max(0, at), of.count - 1);
  while (offset < 0 && at > 0) {
    at -= 1;
    offset += of.height(at);
  }
  if (offset < 0) offset = 0;
  while (at < of.count - 1 && offset >= of.height(at)) {
    offset -= of.height(at);
    at += 1;
  }
  const end = endAnchor(of);
  return at > end.at || (at === end.at && offset > end.offset) ? end : { at, offset };
}

/** The rows to draw for a settled anchor: those in the window, and `beyond` px above and below. */
export function windowOf(anchor: Anchor, of: Geometry, beyond: number): Window {
  let first = anchor.at;
  let top = -anchor.offset;
  while (first > 0 && top > -beyond) {
    first -= 1;
    top -= of.height(first);
  }
  let last = anchor.at;
  let bottom = -anchor.offset + (of.count ? of.height(anchor.at) : 0);
  while (last < of.count - 1 && bottom < of.view + beyond) {
    last += 1;
    bottom += of.height(last);
  }
  const end = endAnchor(of);
  return {
    first,
    last: Math.min(last, of.count - 1),
    top,
    atStart: anchor.at === 0 && anchor.offset <= 1,
    atEnd: anchor.at > end.at || (anchor.at === end.at && anchor.offset >= end.offset - 1),
  };
}

/** Rows that fit into the window, by their usual height. */
const fitting = (of: Geometry, usual: number): number => Math.max(1, of.view / usual);

/** Height of what scrolls. */
export function tallness(of: Geometry, usual: number): number {
  return Math.max(of.view, Math.min(of.count * usual, TALLEST));
}

/** Where the scroll bar stands for an anchor. */
export function scrollOf(anchor: Anchor, of: Geometry, usual: number): number {
  const rows = of.count - fitting(of, usual);
  if (rows <= 0) return 0;
  const part = (anchor.at + anchor.offset / of.height(anchor.at)) / rows;
  return Math.min(1, part) * (tallness(of, usual) - of.view);
}

/** The anchor for a scroll bar that somebody has moved far: in proportion. */
export function anchorOf(scroll: number, of: Geometry, usual: number): Anchor {
  const range = tallness(of, usual) - of.view;
  if (range <= 0 || scroll <= 0) return { at: 0, offset: 0 };
  if (scroll >= range - 1) return endAnchor(of);
  const place = (scroll / range) * Math.max(0, of.count - fitting(of, usual));
  const at = Math.floor(place);
  return settled({ at, offset: (place - at) * of.height(at) }, of);
}

export type Where = "middle" | "top" | "near";

/** The anchor that brings a row into sight. */
export function aimed(row: number, where: Where, now: Anchor, of: Geometry): Anchor {
  const height = of.height(row);
  if (where === "top") return settled({ at: row, offset: 0 }, of);
  if (where === "middle") return settled({ at: row, offset: -Math.max(0, (of.view - height) / 2) }, of);
  const { first, last, top } = windowOf(now, of, 0);
  let begins = top;
  for (let one = first; one < row && one <= last; one += 1) begins += of.height(one);
  if (row < first || begins < 0) return settled({ at: row, offset: 0 }, of);
  if (row <= last && begins + height <= of.view) return now;
  return settled({ at: row, offset: -Math.max(0, of.view - height) }, of);
}
