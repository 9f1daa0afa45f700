// A line of text to be typed.
import type { InputHTMLAttributes, Ref } from "react";
import { IconButton } from "./Button";
import { Icon, type IconName } from "./Icon";
import "./inputs.css";

export interface TextInputProps extends Omit<InputHTMLAttributes<HTMLInputElement>, "value" | "onChange" | "className" | "style"> {
  value: string;
  onChange: (value: string) => void;
  label: string;
  icon?: IconName | undefined;
  /** Offer a button that empties it. */
  clearable?: boolean | undefined;
  invalid?: boolean | undefined;
  ref?: Ref<HTMLInputElement> | undefined;
}

export function TextInput({ value, onChange, label, icon, clearable, invalid, type = "text", ...rest }: TextInputProps) {
  return (
    <span className={`ui-input${invalid ? " invalid" : ""}`}>
      {icon && <Icon name={icon} />}
      <input
        autoComplete="off"
        spellCheck={false}
        {...rest}
        type={type}
        value={value}
        aria-label={label}
        aria-invalid={invalid || undefined}
        onChange={(event) => onChange(event.target.value)}
      />
      {clearable && value && <IconButton icon="close" size={14} label={`Clear ${label.toLowerCase()}`} onClick={() => onChange("")} />}
    </span>
  );
}
