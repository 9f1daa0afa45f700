// Saved views: keep what is seen under a name, open it again, rename and delete.
import { useState } from "react";
import { currentPlace, navigate, usePlace } from "../state/url";
import { Button, Dialog, Icon, IconButton, Menu, TextInput, toast, type MenuItem } from "../ui";
import { roomOf } from "./rooms";
import { deleteView, renameView, saveView, useViews, viewAddress, type SavedView } from "./views";
import "./ViewsMenu.css";

export function ViewsMenu() {
  const views = useViews();
  const here = usePlace();
  const [open, setOpen] = useState<"save" | "manage" | null>(null);
  const own = views.filter((view) => view.path === here.path);
  const others = views.filter((view) => view.path !== here.path);
  const entry = (view: SavedView, label: string, separatorBefore: boolean): MenuItem => ({
    label,
    separatorBefore,
    checked: view.path === here.path && view.query === here.query.toString(),
    onSelect: () => navigate(viewAddress(view, currentPlace())),
  });
  const items: MenuItem[] = [
    { label: "Save this view…", icon: "save", onSelect: () => setOpen("save") },
    { label: "Rename or delete…", icon: "pencil", disabled: views.length === 0, onSelect: () => setOpen("manage") },
    ...own.map((view, i) => entry(view, view.name, i === 0)),
    ...others.map((view, i) => entry(view, `${view.name} (from ${roomOf(view.path).name})`, i === 0)),
  ];
  return (
    <>
      <Menu
        label="Saved views"
        items={items}
        trigger={(props) => (
          <Button {...props} kind="quiet" size="small" title="Saved views">
            <Icon name="star" />
            <span className="views-word">Views</span>
            <Icon name="chevron-down" size={13} />
          </Button>
        )}
      />
      <Save open={open === "save"} close={() => setOpen(null)} />
      <Manage open={open === "manage"} close={() => setOpen(null)} views={views} />
    </>
  );
}

function Save({ open, close }: { open: boolean; close: () => void }) {
  const [name, setName] = useState("");
  const save = () => {
    const { path, query } = currentPlace();
    saveView({ name: name.trim(), path, query: query.toString() });
    toast(`Saved “${name.trim()}”.`);
    setName("");
    close();
  };
  return (
    <Dialog
      title="Save this view"
      open={open}
      onClose={close}
      actions={
        <>
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" disabled={!name.trim()} onClick={save}>
            Save
          </Button>
        </>
      }
    >
      <form
        className="views-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) save();
        }}
      >
        <TextInput value={name} onChange={setName} label="Name of the view" placeholder="For example: losses of the last sweep" />
        <p className="soft">
          Kept in this browser: runs, filter, columns, axes and panels as they are now. To give it to somebody else, copy the link.
        </p>
      </form>
    </Dialog>
  );
}

function Manage({ open, close, views }: { open: boolean; close: () => void; views: readonly SavedView[] }) {
  return (
    <Dialog title="Saved views" open={open} onClose={close}>
      {views.length === 0 && <p className="soft">None any more.</p>}
      <ul className="views-list">
        {views.map((view) => (
          <Line key={`${view.path} ${view.name}`} view={view} />
        ))}
      </ul>
    </Dialog>
  );
}

function Line({ view }: { view: SavedView }) {
  const [name, setName] = useState(view.name);
  const done = () => {
    if (name.trim() && name.trim() !== view.name) renameView(view, name.trim());
  };
  return (
    <li>
      <TextInput value={name} onChange={setName} label={`Name of ${view.name}`} onBlur={done} onKeyDown={(event) => event.key === "Enter" && done()} />
      <span className="soft">{roomOf(view.path).name}</span>
      <IconButton
        icon="trash"
        label={`Delete ${view.name}`}
        onClick={() => {
          deleteView(view);
          toast(`Deleted the view “${view.name}”.`, { action: { label: "Undo", onSelect: () => saveView(view) } });
        }}
      />
    </li>
  );
}
