// Things to press: with words, or with a pictogram whose words are its tooltip.
import type { ButtonHTMLAttributes, Ref } from "react";
import { Icon, type IconName } from "./Icon";
import "./Button.css";

export interface ButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "className" | "style"> {
  kind?: "plain" | "primary" | "danger" | "quiet" | undefined;
  size?: "small" | undefined;
  ref?: Ref<HTMLButtonElement> | undefined;
}

export function Button({ kind = "plain", size, children, type = "button", ...rest }: ButtonProps) {
  return (
    <button {...rest} type={type} className={`ui-button ${kind}${size ? ` ${size}` : ""}`}>
      {children}
    </button>
  );
}

export interface IconButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "className" | "style" | "children"> {
  icon: IconName;
  /** What it does: for screen readers, and as its tooltip. */
  label: string;
  pressed?: boolean | undefined;
  size?: number | undefined;
  ref?: Ref<HTMLButtonElement> | undefined;
}

export function IconButton({ icon, label, pressed, size, type = "button", title, ...rest }: IconButtonProps) {
  return (
    <button {...rest} type={type} className="ui-icon-button" aria-label={label} aria-pressed={pressed} title={title ?? label}>
      <Icon name={icon} size={size} />
    </button>
  );
}
