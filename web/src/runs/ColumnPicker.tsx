// Which columns the table has, and in which order: shown ones to be moved or removed, all others to be found and added.
import { useDeferredValue, useMemo, useState, type KeyboardEvent } from "react";
import { setView } from "../state/view";
import { Button, Icon, IconButton, Popover, TextInput } from "../ui";
import { allColumns, usualColumns, varying, type Choice } from "./columns";
import { paramReference } from "./references";
import { moved } from "./TableHead";
import type { ProjectModel } from "./useProject";
import "./ColumnPicker.css";

const SHOWN = 150;
const PARTS: readonly { part: Choice["part"]; title: string }[] = [
  { part: "run", title: "Run" },
  { part: "parameters", title: "Parameters" },
  { part: "results", title: "Results" },
];

export function ColumnPicker({ model }: { model: ProjectModel }) {
  return (
    <Popover
      label="Columns"
      trigger={(props) => (
        <Button {...props} kind="quiet">
          <Icon name="columns" />
          Columns
          <span className="soft num">{model.columns.length}</span>
        </Button>
      )}
    >
      {() => <Picker model={model} />}
    </Popover>
  );
}

function Picker({ model }: { model: ProjectModel }) {
  const { table, columns, all } = model;
  const [typed, setTyped] = useState("");
  const wanted = useDeferredValue(typed.trim().toLowerCase());
  const ids = columns.map((column) => column.id);
  const shown = new Set(ids);
  const choices = useMemo(() => allColumns(table), [table]);
  const differing = useMemo(() => varying(table, all), [table, all]);
  const set = (next: readonly string[]) => setView({ columns: [...next] }, { replace: true });
  const toggle = (id: string) => set(shown.has(id) ? ids.filter((one) => one !== id) : [...ids, id]);
  const fits = choices.filter((choice) => `${choice.label} ${choice.note}`.toLowerCase().includes(wanted));
  const onlyDiffering = () => {
    const rest = columns.filter((column) => column.part !== "parameters");
    const facts = rest.filter((column) => column.part === "run").map((column) => column.id);
    const results = rest.filter((column) => column.part === "results").map((column) => column.id);
    set([...facts, ...table.params.filter((name) => differing.has(name)).map(paramReference), ...results]);
  };

  return (
    <div className="picker">
      <div className="picker-side">
        <p className="picker-title">Shown</p>
        <Order model={model} set={set} />
        <div className="picker-foot">
          <Button size="small" onClick={onlyDiffering} title="Of the parameters, only those in which runs differ">
            Parameters that differ
          </Button>
          <Button size="small" kind="quiet" onClick={() => setView({ columns: null }, { replace: true })} disabled={sameAs(ids, usualColumns(table))}>
            Usual ones
          </Button>
        </div>
      </div>
      <div className="picker-side">
        <TextInput value={typed} onChange={setTyped} label="Find a column" icon="search" placeholder="Find a column" clearable />
        <div className="picker-all">
          {PARTS.map(({ part, title }) => {
            const those = fits.filter((choice) => choice.part === part);
            if (!those.length) return null;
            return (
              <fieldset key={part}>
                <legend>{title}</legend>
                {those.slice(0, SHOWN).map((choice) => (
                  <label key={choice.id}>
                    <input type="checkbox" checked={shown.has(choice.id)} onChange={() => toggle(choice.id)} />
                    <span>{choice.label}</span>
                    {choice.note && <span className="grid-note">{choice.note}</span>}
                    {part === "parameters" && !differing.has(choice.label) && <span className="picker-same">same in all</span>}
                  </label>
                ))}
                {those.length > SHOWN && <p className="soft">{those.length - SHOWN} more: type a part of the name.</p>}
              </fieldset>
            );
          })}
          {fits.length === 0 && <p className="soft">No column is called so.</p>}
        </div>
      </div>
    </div>
  );
}

const sameAs = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((one, i) => one === b[i]);

/** The shown columns in their order: dragged, or moved by the arrows while Shift is held. */
function Order({ model, set }: { model: ProjectModel; set: (ids: readonly string[]) => void }) {
  const ids = model.columns.map((column) => column.id);
  const [dragged, setDragged] = useState<string | null>(null);
  const onKey = (event: KeyboardEvent, id: string, at: number) => {
    const by = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
    if (!by || !event.shiftKey) return;
    event.preventDefault();
    set(moved(ids, id, at + by));
  };
  return (
    <ol className="picker-order">
      {model.columns.map((column, at) => (
        <li
          key={column.id}
          className={dragged === column.id ? "dragged" : ""}
          draggable
          onDragStart={(event) => {
            event.dataTransfer.effectAllowed = "move";
            event.dataTransfer.setData("text/plain", column.id);
            setDragged(column.id);
          }}
          onDragOver={(event) => {
            if (!dragged) return;
            event.preventDefault();
            if (dragged !== column.id) set(moved(ids, dragged, at));
          }}
          onDrop={(event) => event.preventDefault()}
          onDragEnd={() => setDragged(null)}
        >
          <button type="button" className="picker-grip" aria-label={`Move ${column.label}: Shift with the arrows up and down`} title="Drag, or Shift with ↑ ↓" onKeyDown={(event) => onKey(event, column.id, at)}>
            <Icon name="grip" size={14} />
          </button>
          <span className="picker-label" title={column.label}>
            {column.label}
          </span>
          {column.note && <span className="grid-note">{column.note}</span>}
          <IconButton icon="close" size={13} label={`Remove ${column.label}`} onClick={() => set(ids.filter((id) => id !== column.id))} />
        </li>
      ))}
    </ol>
  );
}
