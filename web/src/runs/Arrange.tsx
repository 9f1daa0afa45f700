// How the runs are ordered and grouped: small menus beside the filter and above the list.
import { useState } from "react";
import { setView } from "../state/view";
import { Button, Icon, IconButton, Menu, Popover, TextInput, type MenuItem } from "../ui";
import { allColumns, columnOf, varying } from "./columns";
import { paramReference } from "./references";
import type { ProjectModel } from "./useProject";
import "./Arrange.css";

const ORDERS: readonly { sort: string; label: string }[] = [
  { sort: "", label: "Newest first" },
  { sort: "created_at", label: "Oldest first" },
  { sort: "name", label: "By name" },
  { sort: "status", label: "By status" },
  { sort: "-duration", label: "Longest first" },
  { sort: "-updated_at", label: "Last changed first" },
];

export function OrderMenu({ model }: { model: ProjectModel }) {
  const { sort } = model.view;
  const known = ORDERS.some((one) => one.sort === sort);
  const items: MenuItem[] = ORDERS.map((one) => ({ label: one.label, checked: one.sort === sort, onSelect: () => setView({ sort: one.sort }) }));
  if (!known) {
    const id = sort.replace(/^-/, "");
    const column = columnOf(id, model.source);
    const label = column ? `${column.label}${column.note ? ` ${column.note}` : ""}` : id;
    items.push(
      { label: `${label}, rising`, checked: sort === id, separatorBefore: true, onSelect: () => setView({ sort: id }) },
      { label: `${label}, falling`, checked: sort === `-${id}`, onSelect: () => setView({ sort: `-${id}` }) },
    );
  }
  return (
    <Menu
      label="Order of the runs"
      items={items}
      trigger={(props) => <IconButton {...props} icon={sort && !sort.startsWith("-") ? "sort-up" : "sort-down"} label="Order of the runs" pressed={sort !== ""} />}
    />
  );
}

const SHOWN = 60;

export function GroupButton({ model }: { model: ProjectModel }) {
  const { group } = model.view;
  const column = group ? columnOf(group, model.source) : null;
  return (
    <Popover
      label="Group runs by"
      trigger={(props) => (
        <Button {...props} kind={group ? "plain" : "quiet"} title="Group runs by a parameter or property">
          <Icon name="group" />
          <span className="group-button-text">{column ? `By ${column.label}` : "Group"}</span>
        </Button>
      )}
    >
      {(close) => <GroupChoices model={model} close={close} />}
    </Popover>
  );
}

function GroupChoices({ model, close }: { model: ProjectModel; close: () => void }) {
  const [typed, setTyped] = useState("");
  const differing = varying(model.table, model.all);
  const facts = allColumns(model.table).filter((one) => one.part === "run" && ["status", "tags", "kind"].includes(one.id));
  const params = [...model.table.params]
    .sort((a, b) => Number(differing.has(b)) - Number(differing.has(a)))
    .map((name) => ({ id: paramReference(name), label: name, same: !differing.has(name) }));
  const wanted = typed.trim().toLowerCase();
  const fits = [...facts.map((one) => ({ ...one, same: false })), ...params].filter((one) => one.label.toLowerCase().includes(wanted));
  const choose = (group: string) => {
    setView({ group, closed: [] });
    close();
  };
  return (
    <div className="group-choices">
      <TextInput
        value={typed}
        onChange={setTyped}
        label="Find a property"
        icon="search"
        placeholder="Property or parameter"
        onKeyDown={(event) => {
          const [only] = fits;
          if (event.key === "Enter" && only) choose(only.id);
        }}
      />
      <ul>
        {model.view.group && (
          <li>
            <button type="button" onClick={() => choose("")}>
              <Icon name="close" size={14} /> Not grouped
            </button>
          </li>
        )}
        {fits.slice(0, SHOWN).map((one) => (
          <li key={one.id}>
            <button type="button" aria-pressed={one.id === model.view.group} onClick={() => choose(one.id)}>
              <span>{one.label}</span>
              {one.same && <span className="soft">same in all</span>}
            </button>
          </li>
        ))}
      </ul>
      {fits.length === 0 && <p className="soft">Nothing is called so.</p>}
      {fits.length > SHOWN && <p className="soft">{fits.length - SHOWN} more: type a part of the name.</p>}
    </div>
  );
}
