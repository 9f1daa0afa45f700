// The box for words that runs hold.
import { TextInput } from "../ui";
import { FILTER_INPUT } from "./keys";

export function WordsInput({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return (
    <TextInput
      id={FILTER_INPUT}
      value={value}
      onChange={onChange}
      label="Search runs"
      icon="search"
      placeholder="Name, tag, note or parameter"
      clearable
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.blur();
      }}
    />
  );
}
