// A list of any length, millions of rows of different heights: only those in sight are in the page. What is at the top of the window is
// the truth, and the scroll bar follows it (see geometry.ts); so rows may be added at either end, or become higher, and nothing jumps.
import { type ReactNode, type Ref, useCallback, useImperativeHandle, useLayoutEffect, useReducer, useRef } from "react";
import { aimed, type Anchor, anchorOf, endAnchor, type Geometry, scrollOf, settled, tallness, type Where, windowOf } from "./geometry";
import "./lines.css";

export interface LinesHandle {
  /** Bring a row into sight: in the middle, at the top, or ("near") not at all where it is in sight already. */
  show(row: number, where?: Where): void;
  toEnd(): void;
  focus(): void;
}

export interface Seen {
  first: number;
  last: number;
  atStart: boolean;
  atEnd: boolean;
}

interface Props {
  count: number;
  /** What a row's height is remembered by; a row keeps it when others are added before it. */
  keyAt: (row: number) => string | number;
  /** Where the row with a key is now. Needed where rows are added before others. */
  rowOf?: (key: string | number) => number;
  render: (row: number) => ReactNode;
  /** px of a usual row. */
  usual: number;
  /** Heights are all `usual`: nothing is measured. */
  uniform?: boolean;
  /** Begin at the end, and stay there while rows are added, until the reader scrolls away. */
  follow?: boolean;
  /** Above the rows, and always in sight. */
  header?: ReactNode;
  /** Told which rows are in sight. */
  onSeen?: (seen: Seen) => void;
  onKeyDown?: (event: React.KeyboardEvent<HTMLDivElement>) => void;
  role?: "list" | "tree" | "table" | "region";
  label: string;
  /** The id of the row that the keyboard is at. */
  active?: string | undefined;
  className?: string;
  ref?: Ref<LinesHandle>;
}

/** px that are drawn above and below what is in sight. */
const BEYOND = 500;
/** A list that is moved further than so many windows at once has been dragged by its bar, in proportion to its length. */
const DRAGGED = 3;
const LEAST_DRAGGED = 2000;
/** ms without a scroll event after which nobody scrolls. Where the browser tells the end itself this is only for what it forgets: in
 * the middle of a smooth scroll, moving the bar would stop it. */
const IDLE = "onscrollend" in window ? 1500 : 180;
const MOST_HEIGHTS = 50_000;

export function VirtualLines(props: Props) {
  const { count, keyAt, usual, uniform, follow = false, onSeen, role = "region" } = props;
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const scroller = useRef<HTMLDivElement>(null);
  const block = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string | number, number>());
  const anchor = useRef<Anchor>({ at: 0, offset: 0 });
  /** The key of the row at the anchor: it stays where it is when rows come before it. */
  const anchorKey = useRef<string | number | null>(null);
  const size = useRef({ view: 0, width: 0 });
  const atEnd = useRef(follow);
  const scroll = useRef(0);
  /** The timer that runs while the reader scrolls: the bar is not moved under a hand. */
  const moving = useRef(0);
  /** The row that is to be in sight. Where rows are known by their keys, it is kept there until the reader scrolls: what comes in later
   * may be higher than it was thought to be. */
  const asked = useRef<{ row: number; key: string | number; where: Where } | null>(null);

  const of: Geometry = {
    count,
    view: size.current.view,
    height: uniform ? () => usual : (row) => heights.current.get(keyAt(row)) ?? usual,
  };
  const current = useRef(of);
  current.current = of;
  const put = (next: Anchor) => {
    anchor.current = next;
    anchorKey.current = count > 0 ? keyAt(next.at) : null;
  };
  const refind = () => {
    const key = anchorKey.current;
    if (key === null || !props.rowOf || count === 0 || keyAt(anchor.current.at) === key) return;
    anchor.current = { at: props.rowOf(key), offset: anchor.current.offset };
  };

  if (of.view > 0) {
    refind();
    const wanted = asked.current;
    if (wanted && wanted.row < count) {
      if (props.rowOf) wanted.row = props.rowOf(wanted.key);
      anchor.current = aimed(wanted.row, wanted.where, anchor.current, of);
      atEnd.current = false;
    }
    put(atEnd.current ? endAnchor(of) : settled(anchor.current, of));
  }
  const shown = of.view > 0 && count > 0 ? windowOf(anchor.current, of, BEYOND) : null;

  /** Put the scroll bar where it belongs. True where it was elsewhere. */
  const resync = useCallback(
    (place: Geometry): boolean => {
      const element = scroller.current;
      if (!element) return false;
      const wanted = Math.round(scrollOf(anchor.current, place, usual));
      if (Math.abs(element.scrollTop - wanted) > 1) element.scrollTop = wanted;
      // Also where the browser has moved it, as the window became higher: the event that tells of it is no reader's.
      const went = element.scrollTop !== scroll.current;
      scroll.current = element.scrollTop;
      return went;
    },
    [usual],
  );

  const settle = () => {
    window.clearTimeout(moving.current);
    moving.current = 0;
    if (resync(current.current)) redraw();
  };

  const scrolled = () => {
    const element = scroller.current;
    if (!element || element.scrollTop === scroll.current) return;
    // The window has another height than what was drawn for: the browser has moved the bar, not the reader.
    if (element.clientHeight - (head.current?.offsetHeight ?? 0) !== current.current.view) return redraw();
    const moved = element.scrollTop - scroll.current;
    scroll.current = element.scrollTop;
    asked.current = null;
    const place = current.current;
    refind();
    const far = Math.abs(moved) > Math.max(LEAST_DRAGGED, DRAGGED * place.view);
    put(
      far
        ? anchorOf(element.scrollTop, place, usual)
        : settled({ at: anchor.current.at, offset: anchor.current.offset + moved }, place),
    );
    const now = windowOf(anchor.current, place, 0);
    atEnd.current = follow && now.atEnd;
    const most = element.scrollHeight - element.clientHeight;
    // At an end of the bar, but not of the list: without room to go on, the reader would be stuck.
    if ((element.scrollTop <= 0 && !now.atStart) || (element.scrollTop >= most && !now.atEnd)) resync(place);
    window.clearTimeout(moving.current);
    moving.current = window.setTimeout(settle, IDLE);
    redraw();
  };

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return undefined;
    const measure = () => {
      const view = element.clientHeight - (head.current?.offsetHeight ?? 0);
      const width = element.clientWidth;
      if (view === size.current.view && width === size.current.width) return;
      // In another width, lines break elsewhere.
      if (width !== size.current.width) heights.current.clear();
      size.current = { view, width };
      redraw();
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      observer.disconnect();
      window.clearTimeout(moving.current);
    };
  }, []);

  useLayoutEffect(() => {
    if (!shown) return;
    if (!uniform && block.current) {
      if (heights.current.size > MOST_HEIGHTS) heights.current.clear();
      let changed = false;
      for (const element of block.current.children) {
        const key = keyAt(Number((element as HTMLElement).dataset["row"]));
        const height = element.getBoundingClientRect().height;
        if (height > 0 && Math.abs((heights.current.get(key) ?? -1) - height) > 0.05) {
          heights.current.set(key, height);
          changed = true;
        }
      }
      if (changed) return redraw();
    }
    // All heights in sight are known now, so a row that was asked for is where it was wanted.
    if (asked.current && asked.current.row < count && !props.rowOf) asked.current = null;
    if (!moving.current && resync(of)) return redraw();
    const inSight = windowOf(anchor.current, of, 0);
    onSeen?.(inSight);
  });

  const show = (row: number, where: Where) => {
    asked.current = { row, key: keyAt(row), where };
    redraw();
  };
  const toEnd = () => {
    asked.current = null;
    atEnd.current = true;
    redraw();
  };
  const onKeyDown = (event: React.KeyboardEvent<HTMLDivElement>) => {
    props.onKeyDown?.(event);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !count) return;
    // At once: through a million rows, the browser's own way there would draw many that nobody reads.
    if (event.key === "Home") show(0, "top");
    else if (event.key === "End" && follow) toEnd();
    else if (event.key === "End") show(count - 1, "near");
    else return;
    event.preventDefault();
  };

  useImperativeHandle(
    props.ref,
    () => ({
      show: (row, where = "middle") => show(row, where),
      toEnd,
      focus: () => scroller.current?.focus({ preventScroll: true }),
    }),
    [keyAt],
  );

  const rows: ReactNode[] = [];
  if (shown) {
    for (let row = shown.first; row <= shown.last; row += 1) {
      rows.push(
        <div key={keyAt(row)} data-row={row} role="presentation" className="lines-row">
          {props.render(row)}
        </div>,
      );
    }
  }
  const inner = role === "table" ? "rowgroup" : "presentation";
  return (
    <div
      ref={scroller}
      className={`lines ${props.className ?? ""}`}
      onScroll={scrolled}
      onScrollEnd={settle}
      onKeyDown={onKeyDown}
      role={role}
      aria-label={props.label}
      aria-activedescendant={props.active}
      aria-rowcount={role === "table" ? count + 1 : undefined}
      tabIndex={0}
    >
      {props.header ? (
        <div ref={head} className="lines-head" role={inner}>
          {props.header}
        </div>
      ) : null}
      <div className="lines-space" role={inner} style={{ height: tallness(of, usual) }}>
        <div ref={block} className="lines-block" role="presentation" style={{ top: scroll.current + (shown?.top ?? 0) }}>
          {rows}
        </div>
      </div>
    </div>
  );
}
