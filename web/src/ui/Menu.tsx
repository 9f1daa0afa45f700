// A menu beside the button that opens it: arrows, Home, End, type-ahead, Escape.
import { useEffect, useRef, type KeyboardEvent, type ReactNode } from "react";
import { Icon, type IconName } from "./Icon";
import { useFloating, type Floating, type TriggerProps } from "./floating";
import "./Floating.css";

export interface MenuItem {
  label: string;
  onSelect: () => void;
  icon?: IconName | undefined;
  danger?: boolean | undefined;
  disabled?: boolean | undefined;
  /** A tick; where it is given at all, the item is one that is on or off. */
  checked?: boolean | undefined;
  separatorBefore?: boolean | undefined;
  /** Small text after the label: a key, a count. */
  hint?: string | undefined;
}

export interface MenuProps {
  label: string;
  trigger: (props: TriggerProps) => ReactNode;
  items: readonly MenuItem[] | (() => readonly MenuItem[]);
}

/** Letters typed within this time (ms) make one word. */
const WORD_TIME = 600;

function itemsIn(panel: Element): HTMLButtonElement[] {
  return [...panel.querySelectorAll<HTMLButtonElement>("button[role^=menuitem]:not(:disabled)")];
}

export function Menu({ label, trigger, items }: MenuProps) {
  const floating = useFloating("menu", focusFirst);
  return (
    <>
      {trigger(floating.trigger)}
      <MenuPanel label={label} floating={floating} items={items} />
    </>
  );
}

export const focusFirst = (panel: HTMLElement): void => itemsIn(panel)[0]?.focus();

/** The menu itself, wherever it stands. */
export function MenuPanel({ label, floating, items }: { label: string; floating: Floating; items: MenuProps["items"] }) {
  const typed = useRef({ text: "", at: 0 });
  useEffect(() => {
    if (!floating.open) typed.current = { text: "", at: 0 };
  }, [floating.open]);

  function onKeyDown(event: KeyboardEvent): void {
    event.stopPropagation();
    const all = itemsIn(event.currentTarget);
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const go = (to: number) => {
      event.preventDefault();
      all[(to + all.length) % all.length]?.focus();
    };
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at < 0 ? -1 : at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(-1);
    else if (event.key === "Tab") floating.close();
    else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
      const fresh = event.timeStamp - typed.current.at > WORD_TIME;
      typed.current = { text: (fresh ? "" : typed.current.text) + event.key.toLowerCase(), at: event.timeStamp };
      const found = all.findIndex((item) => (item.textContent ?? "").trim().toLowerCase().startsWith(typed.current.text));
      if (found >= 0) go(found);
    }
  }

  const shown = floating.open ? (typeof items === "function" ? items() : items) : [];
  return (
    <div {...floating.panel} className="ui-floating ui-menu" role="menu" aria-label={label} onKeyDown={onKeyDown}>
      {shown.map((item, i) => (
        <MenuLine key={`${i} ${item.label}`} item={item} close={floating.close} />
      ))}
    </div>
  );
}

function MenuLine({ item, close }: { item: MenuItem; close: () => void }) {
  const ticks = item.checked !== undefined;
  return (
    <>
      {item.separatorBefore && <div className="ui-menu-line" role="separator" />}
      <button
        type="button"
        role={ticks ? "menuitemcheckbox" : "menuitem"}
        aria-checked={item.checked}
        className={item.danger ? "danger" : ""}
        disabled={item.disabled}
        tabIndex={-1}
        onClick={() => {
          close();
          item.onSelect();
        }}
      >
        <span className="ui-menu-icon">
          {ticks ? item.checked && <Icon name="check" /> : item.icon && <Icon name={item.icon} />}
        </span>
        <span className="ui-menu-label">{item.label}</span>
        {item.hint && <span className="ui-menu-hint">{item.hint}</span>}
      </button>
    </>
  );
}
