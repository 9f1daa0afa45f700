// A run's tags; who may change the run adds and removes them here.
import { useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import type { Run } from "../api/types";
import { patchRuns } from "../runs/changes";
import { withTyped } from "../runs/tags";
import { Button, Icon } from "../ui";

interface Props {
  run: Run;
  mayWrite: boolean;
  /** Tags of other runs, to choose from. */
  known: readonly string[];
}

export function TagList({ run, mayWrite, known }: Props) {
  const queries = useQueryClient();
  const [adding, setAdding] = useState(false);
  const [text, setText] = useState("");
  const list = useId();
  const set = (tags: string[]) => void patchRuns(queries, new Map([[run.id, { tags }]]));
  const add = () => {
    const tags = withTyped(run.tags, text, known);
    if (tags.length > run.tags.length) set(tags);
    setText("");
  };
  return (
    <span className="tags">
      {run.tags.map((tag) => (
        <span key={tag} className="chip tag" title={tag}>
          <span className="tag-text">{tag}</span>
          {mayWrite && (
            <button type="button" aria-label={`Remove tag ${tag}`} title="Remove tag" onClick={() => set(run.tags.filter((one) => one !== tag))}>
              <Icon name="close" size={11} />
            </button>
          )}
        </span>
      ))}
      {mayWrite && !adding && (
        <Button kind="quiet" size="small" onClick={() => setAdding(true)}>
          <Icon name="plus" size={12} /> {run.tags.length ? "Tag" : "Add a tag"}
        </Button>
      )}
      {adding && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            add();
          }}
        >
          <input
            className="tag-input"
            autoFocus
            aria-label="New tag"
            placeholder="New tag, then Enter"
            list={list}
            value={text}
            maxLength={200}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              setText("");
              setAdding(false);
            }}
            onBlur={() => {
              add();
              setAdding(false);
            }}
          />
          <datalist id={list}>{known.filter((one) => !run.tags.includes(one)).map((one) => <option key={one} value={one} />)}</datalist>
        </form>
      )}
    </span>
  );
}
