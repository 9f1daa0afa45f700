// One of some, on or off: select, switch, segments, tabs.
import { follow } from "../state/url";
import { Icon, type IconName } from "./Icon";
import "./inputs.css";

export interface Option {
  value: string;
  label: string;
}

export interface SelectProps {
  value: string;
  onChange: (value: string) => void;
  label: string;
  options: readonly Option[];
  disabled?: boolean | undefined;
}

export function Select({ value, onChange, label, options, disabled }: SelectProps) {
  return (
    <span className="ui-select">
      <select value={value} aria-label={label} title={label} disabled={disabled} onChange={(event) => onChange(event.target.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
      <Icon name="chevron-down" size={14} />
    </span>
  );
}

export interface SwitchProps {
  checked: boolean;
  onChange: (checked: boolean) => void;
  label: string;
  disabled?: boolean | undefined;
}

export function Switch({ checked, onChange, label, disabled }: SwitchProps) {
  return (
    <label className="ui-switch">
      <input type="checkbox" role="switch" checked={checked} disabled={disabled} onChange={(event) => onChange(event.target.checked)} />
      <span className="ui-switch-track" aria-hidden="true" />
      {label}
    </label>
  );
}

export interface SegmentedProps<T extends string> {
  value: T;
  onChange: (value: T) => void;
  label: string;
  options: readonly { value: T; label: string; icon?: IconName | undefined; title?: string | undefined }[];
}

export function Segmented<T extends string>({ value, onChange, label, options }: SegmentedProps<T>) {
  return (
    <div className="ui-segmented" role="group" aria-label={label}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          title={option.title ?? (option.icon ? option.label : undefined)}
          onClick={() => onChange(option.value)}
        >
          {option.icon && <Icon name={option.icon} size={14} />}
          <span>{option.label}</span>
        </button>
      ))}
    </div>
  );
}

export interface TabsProps {
  value: string;
  items: readonly { value: string; label: string; href: string; icon?: IconName | undefined }[];
  label: string;
}

export function Tabs({ value, items, label }: TabsProps) {
  return (
    <nav className="ui-tabs" aria-label={label}>
      {items.map((item) => (
        <a key={item.value} href={item.href} onClick={follow} aria-current={item.value === value ? "page" : undefined}>
          {item.icon && <Icon name={item.icon} />}
          {item.label}
        </a>
      ))}
    </nav>
  );
}
