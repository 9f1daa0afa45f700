// What people wrote of the run; written anew in place.
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Run } from "../api/types";
import { patchRuns } from "../runs/changes";
import { draftOf, keepDraft } from "../runs/drafts";
import { Button, IconButton } from "../ui";

interface Props {
  run: Run;
  mayWrite: boolean;
  /** Two lines of it. */
  short?: boolean;
}

export function Notes({ run, mayWrite, short }: Props) {
  const queries = useQueryClient();
  const [draft, setDraft] = useState<string | null>(null);
  const save = () => {
    if (draft !== null && draft !== (run.description ?? "")) {
      void patchRuns(queries, new Map([[run.id, { description: draft }]]));
    }
    leave();
  };
  const leave = () => {
    keepDraft(run.id, null);
    setDraft(null);
  };
  if (draft !== null) {
    return (
      <div className="notes-edit">
        <textarea
          autoFocus
          aria-label="Notes"
          value={draft}
          rows={Math.min(14, Math.max(4, draft.split("\n").length + 1))}
          onChange={(event) => {
            setDraft(event.target.value);
            keepDraft(run.id, event.target.value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape") setDraft(null);
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
          }}
        />
        <div className="notes-buttons">
          <Button kind="primary" size="small" onClick={save}>Save</Button>
          <Button size="small" onClick={leave}>Cancel</Button>
          <span className="soft">Ctrl+Enter saves</span>
        </div>
      </div>
    );
  }
  return (
    <div className={`notes${short ? " short" : ""}`}>
      {run.description ? <p title={short ? run.description : undefined}>{short ? run.description.replace(/\s+/g, " ") : run.description}</p> : <p className="soft">{mayWrite ? "No notes yet: what was tried, and what came of it." : "No notes."}</p>}
      {mayWrite && <IconButton icon="pencil" label={draftOf(run.id) !== null ? "Go on with your draft of the notes" : run.description ? "Edit the notes" : "Write notes"} size={14} onClick={() => setDraft(draftOf(run.id) ?? run.description ?? "")} />}
    </div>
  );
}
