// A choice among very many quantities: typed into, so that thousands of series are no endless list.
import { useMemo, useState } from "react";
import { Button, Icon, Popover, TextInput } from "../ui";
import type { Choice } from "./useQuantities";

const MOST = 60;

export interface PickerProps {
  label: string;
  /** What stands on the button. */
  shown: string;
  choices: readonly Choice[];
  chosen: readonly string[];
  onChoose: (reference: string) => void;
  /** A choice of none, and what it is called. */
  none?: string | undefined;
}

export function Picker({ label, shown, choices, chosen, onChoose, none }: PickerProps) {
  return (
    <Popover
      label={label}
      trigger={(props) => (
        <Button {...props} title={label}>
          <span className="picker-text">{shown}</span> <Icon name="chevron-down" size={14} />
        </Button>
      )}
    >
      {(close) => (
        <Choices
          {...{ label, choices, chosen, none }}
          onChoose={(reference) => {
            close();
            onChoose(reference);
          }}
        />
      )}
    </Popover>
  );
}

function Choices({ label, choices, chosen, onChoose, none }: Omit<PickerProps, "shown">) {
  const [text, setText] = useState("");
  const found = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return choices.filter((choice) => words.every((word) => choice.label.toLowerCase().includes(word)));
  }, [choices, text]);
  return (
    <div className="picker">
      <TextInput value={text} onChange={setText} label={`Find: ${label}`} placeholder="Find a parameter or result" icon="search" clearable autoFocus />
      <ul className="picker-list">
        {none !== undefined && !text && (
          <li><button type="button" aria-pressed={chosen.length === 0} onClick={() => onChoose("")}>{none}</button></li>
        )}
        {found.slice(0, MOST).map(({ reference, label: name }) => (
          <li key={reference}>
            <button type="button" aria-pressed={chosen.includes(reference)} onClick={() => onChoose(reference)}>
              {name}
              {chosen.includes(reference) && <Icon name="check" size={14} />}
            </button>
          </li>
        ))}
      </ul>
      {found.length > MOST && <p className="soft">and {found.length - MOST} more: type a part of the name</p>}
      {found.length === 0 && <p className="soft">Nothing has this in its name.</p>}
    </div>
  );
}
