// Where there is nothing to show: what is missing and what to do next.
import type { ReactNode } from "react";
import { Icon, type IconName } from "./Icon";
import "./Empty.css";

export interface EmptyProps {
  icon?: IconName | undefined;
  title: string;
  /** What to do next. */
  text?: ReactNode | undefined;
  /** Text, or buttons and links. */
  children?: ReactNode | undefined;
}

export function Empty({ icon, title, text, children }: EmptyProps) {
  return (
    <div className="ui-empty">
      {icon && <Icon name={icon} size={28} />}
      <h2>{title}</h2>
      {text && <div className="ui-empty-text">{text}</div>}
      {children && <div className="ui-empty-rest">{children}</div>}
    </div>
  );
}
