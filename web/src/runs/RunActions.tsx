// What can be done with one run: its menu, its colour, its tags and notes. One of each for all rows of a page.
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useMemo, type ReactNode } from "react";
import { chooseColor, colorOf, DARK_COLORS, PALETTE_COLORS, useColors } from "../model/colors";
import type { RunRow } from "../model/table";
import { useMayWrite } from "../shell/session";
import { useTheme } from "../state/theme";
import { setView } from "../state/view";
import { Button, copyText, Icon, toast, useSharedMenu, useSharedPanel, type MenuItem } from "../ui";
import { archiveRuns, deleteRuns } from "./changes";
import { drawOnly, setDrawn } from "./drawing";
import { NotesForm, TagsForm } from "./forms";
import type { Chosen } from "./chosen";
import type { ProjectModel } from "./useProject";
import "./RunActions.css";

export interface RunActions {
  /** Whether the reader may change runs: asked here once, not by every cell. */
  mayWrite: boolean;
  menu: (anchor: Element | { getBoundingClientRect(): DOMRect }, run: RunRow) => void;
  color: (anchor: Element, run: RunRow) => void;
  tags: (anchor: Element, runs: readonly RunRow[]) => void;
  notes: (anchor: Element, run: RunRow) => void;
}

const Actions = createContext<RunActions | null>(null);

export function useRunActions(): RunActions {
  const actions = useContext(Actions);
  if (!actions) throw new Error("rows of runs need <RunActionsProvider> around them");
  return actions;
}

export function RunActionsProvider({ model, chosen, children }: { model: ProjectModel; chosen: Chosen; children: ReactNode }) {
  const queries = useQueryClient();
  const mayWrite = useMayWrite();
  const color = useSharedPanel<RunRow>("Colour of the run", (run, close) => <Colors run={run} close={close} />);
  const tags = useSharedPanel<readonly RunRow[]>("Tags", (runs, close) => <TagsForm runs={runs} table={model.table} close={close} />);
  const notes = useSharedPanel<RunRow>("Notes", (run, close) => <NotesForm run={run} close={close} />);
  const menu = useSharedMenu<RunRow>("Run", (run): MenuItem[] => {
    const drawn = model.drawnIds.has(run.id);
    const base = model.view.baseline === run.id;
    const reads: MenuItem[] = [
      { label: drawn ? "Hide in charts" : "Draw in charts", icon: drawn ? "eye-off" : "eye", hint: "e", onSelect: () => setDrawn(model, [run.id], !drawn) },
      { label: "Draw only this run", icon: "chart", onSelect: () => drawOnly([run.id]) },
      { label: base ? "No longer the baseline" : "Make it the baseline", icon: "pin", hint: "b", onSelect: () => setView({ baseline: base ? "" : run.id }) },
      { label: chosen.ids.has(run.id) ? "Leave it" : "Choose it", icon: "check", hint: "x", onSelect: () => chosen.toggle(run.id) },
      { label: "Copy its id", icon: "copy", separatorBefore: true, onSelect: async () => toast((await copyText(run.id)) ? "Copied the id." : run.id) },
    ];
    const locked = run.writeProtected ? "write-protected" : undefined;
    const writes: MenuItem[] = [
      {
        label: run.archived ? "Take out of the archive" : "Archive",
        icon: "archive",
        separatorBefore: true,
        onSelect: () => archiveRuns(queries, [run], !run.archived),
      },
      { label: "Delete", icon: "trash", danger: true, disabled: run.writeProtected, hint: locked, onSelect: () => deleteRuns(queries, [run]) },
    ];
    return mayWrite ? [...reads, ...writes] : reads;
  });
  const actions = useMemo<RunActions>(
    () => ({ mayWrite, menu: menu.open, color: color.open, tags: tags.open, notes: notes.open }),
    [mayWrite, menu.open, color.open, tags.open, notes.open],
  );
  return (
    <Actions value={actions}>
      {children}
      {menu.element}
      {color.element}
      {tags.element}
      {notes.element}
    </Actions>
  );
}

function Colors({ run, close }: { run: RunRow; close: () => void }) {
  useColors();
  const shown = useTheme() === "dark" ? DARK_COLORS : PALETTE_COLORS;
  const own = colorOf(run);
  const choose = (color: string | null) => {
    chooseColor(run.id, color);
    close();
  };
  return (
    <div className="run-colors">
      <p>Colour of {run.name}</p>
      <div role="group" aria-label="Colours">
        {PALETTE_COLORS.map((color, i) => (
          <button
            key={color}
            type="button"
            aria-label={`Colour ${i + 1}`}
            aria-pressed={color === own.light}
            style={{ background: shown[i] }}
            onClick={() => choose(color)}
          >
            {color === own.light && <Icon name="check" size={14} />}
          </button>
        ))}
      </div>
      <Button size="small" kind="quiet" onClick={() => choose(null)}>
        Its own colour again
      </Button>
    </div>
  );
}
