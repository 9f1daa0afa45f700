// Tags and notes of runs, edited where they are shown.
import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { many } from "../model/format";
import type { RunRow, RunTable } from "../model/table";
import { Button, Icon, TextInput } from "../ui";
import { patchRuns } from "./changes";
import { draftOf, keepDraft } from "./drafts";
import { withTyped } from "./tags";

const PROPOSED = 12;

/** Tags of one run, or tags that are put on many: what only some of them have stays as it is. */
export function TagsForm({ runs, table, close }: { runs: readonly RunRow[]; table: RunTable; close: () => void }) {
  const queries = useQueryClient();
  const common = (runs[0]?.tags ?? []).filter((tag) => runs.every((run) => run.tags.includes(tag)));
  const [tags, setTags] = useState<readonly string[]>(common);
  const [typed, setTyped] = useState("");
  const known = [...new Set(table.runs.flatMap((run) => run.tags))]
    .filter((tag) => !tags.includes(tag) && tag.toLowerCase().includes(typed.trim().toLowerCase()))
    .slice(0, PROPOSED);
  const wantedNow = () => withTyped(tags, typed, table.runs.flatMap((run) => run.tags));
  const add = (tag: string) => {
    setTags([...tags, tag]);
    setTyped("");
  };

  function save(event: FormEvent): void {
    event.preventDefault();
    const wanted = wantedNow();
    const gone = common.filter((tag) => !wanted.includes(tag));
    const patches = new Map(
      runs.map((run) => [run.id, { tags: [...run.tags.filter((tag) => !gone.includes(tag) && !wanted.includes(tag)), ...wanted] }]),
    );
    void patchRuns(queries, patches, runs.length > 1 ? "tagged" : undefined);
    close();
  }

  return (
    <form className="run-form" onSubmit={save}>
      <p>{runs.length === 1 ? `Tags of ${runs[0]?.name}` : `Tags that ${many(runs.length, "run")} have in common`}</p>
      {tags.length > 0 && (
        <div className="run-tags">
          {tags.map((tag) => (
            <button key={tag} type="button" className="run-tag" title={`Remove ${tag}`} onClick={() => setTags(tags.filter((one) => one !== tag))}>
              {tag} <Icon name="close" size={11} />
              <span className="visually-hidden">: remove</span>
            </button>
          ))}
        </div>
      )}
      <TextInput
        value={typed}
        onChange={setTyped}
        label="New tag"
        placeholder="New tag, Enter adds it"
        onKeyDown={(event) => {
          if (event.key === "Enter" && typed.trim()) {
            event.preventDefault();
            setTags(wantedNow());
            setTyped("");
          }
        }}
      />
      {known.length > 0 && (
        <div className="run-tags" role="group" aria-label="Tags of other runs">
          {known.map((tag) => (
            <button key={tag} type="button" className="run-tag" onClick={() => add(tag)}>
              <Icon name="plus" size={11} /> {tag}
            </button>
          ))}
        </div>
      )}
      <div className="run-form-foot">
        <Button onClick={close}>Cancel</Button>
        <Button kind="primary" type="submit">
          Save
        </Button>
      </div>
    </form>
  );
}

export function NotesForm({ run, close }: { run: RunRow; close: () => void }) {
  const queries = useQueryClient();
  const [begun] = useState(() => draftOf(run.id));
  const [text, setText] = useState(begun ?? run.notes);
  const leave = () => {
    keepDraft(run.id, null);
    close();
  };
  const save = () => {
    if (text !== run.notes) void patchRuns(queries, new Map([[run.id, { description: text }]]));
    leave();
  };
  return (
    <form
      className="run-form"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <p>
        Notes of {run.name}
        {begun !== null && <span className="soft"> (your draft: Cancel drops it)</span>}
      </p>
      <textarea
        aria-label="Notes"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          keepDraft(run.id, event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
        }}
      />
      <div className="run-form-foot">
        <Button onClick={leave}>Cancel</Button>
        <Button kind="primary" type="submit">
          Save
        </Button>
      </div>
    </form>
  );
}
