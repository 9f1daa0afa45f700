// Where runs are searched for by words, or filtered by an expression: which of the two is always told, never guessed.
import { useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { count, many } from "../model/format";
import { setView } from "../state/view";
import { Button, Segmented, useDebounced } from "../ui";
import { endsBare } from "./completion";
import { ExpressionInput } from "./ExpressionInput";
import { looksLikeExpression } from "./find";
import { FILTER_INPUT } from "./keys";
import type { ProjectModel } from "./useProject";
import { WordsInput } from "./WordsInput";
import "./FilterBox.css";

type Mode = "words" | "expression";
/** ms after the last key: until the server is asked, and until an error is told. */
const PAUSE = 250;
const PATIENCE = 1200;

export function FilterBox({ model }: { model: ProjectModel }) {
  const { view, match } = model;
  const [mode, setMode] = useState<Mode>(view.filter ? "expression" : "words");
  const [draft, setDraft] = useState(view.filter);
  const settled = useDebounced(draft, PAUSE);
  const sent = useRef(view.filter);
  const box = useRef<HTMLDivElement>(null);

  const [proposing, setProposing] = useState(false);
  useEffect(() => {
    // "params.l" on the way to "params.lr > 0.1" would leave no run: not while there is more to be chosen.
    if (settled === sent.current || (proposing && endsBare(settled))) return;
    sent.current = settled;
    setView({ filter: settled }, { replace: true });
  }, [settled, proposing]);
  // "Back", a link or a saved view: the address has changed without this box.
  useEffect(() => {
    if (view.filter === sent.current) return;
    sent.current = view.filter;
    setDraft(view.filter);
    if (view.filter) setMode("expression");
  }, [view.filter]);
  useEffect(() => {
    if (view.search && !view.filter) setMode("words");
  }, [view.search, view.filter]);

  function change(next: Mode, text: string): void {
    sent.current = next === "expression" ? text : "";
    // The box is there before the next key, which would otherwise be one of the page's.
    flushSync(() => {
      setMode(next);
      setDraft(sent.current);
      setView({ search: next === "words" ? text : "", filter: sent.current }, { replace: true });
    });
    box.current?.querySelector<HTMLInputElement>(`#${FILTER_INPUT}`)?.focus();
  }

  const filtered = view.search.trim() !== "" || view.filter.trim() !== "";
  // Half an expression is no mistake: its error is told when its writer pauses.
  const paused = useDebounced(draft, PATIENCE) === draft;
  const wrong = mode === "expression" && paused && draft === view.filter ? match.error : null;
  return (
    <div className="filter" ref={box} role="search">
      <div className="filter-line">
        <Segmented
          value={mode}
          label="How runs are found"
          onChange={(next: Mode) => change(next, mode === "words" ? view.search : draft)}
          options={[
            { value: "words", label: "Words", title: "Runs whose name, tags, notes or parameters hold these words" },
            { value: "expression", label: "Expression", title: 'Runs for which this is true: params.lr > 0.01 and status = "FAILED"' },
          ]}
        />
        {mode === "words" ? (
          <WordsInput value={view.search} onChange={(search) => setView({ search }, { replace: true })} />
        ) : (
          <ExpressionInput model={model} value={draft} onChange={setDraft} wrong={wrong ? match.at : null} invalid={wrong !== null} onProposals={setProposing} />
        )}
        <span className="filter-count num" role="status">
          {match.pending ? "…" : filtered ? `${count(model.runs.length)} of ${many(model.all.length, "run")}` : many(model.all.length, "run")}
        </span>
      </div>
      {mode === "expression" && view.search.trim() && (
        <p className="filter-note">
          Of these, only runs that hold “{view.search.trim()}”.{" "}
          <Button size="small" onClick={() => setView({ search: "" })}>
            All of them
          </Button>
        </p>
      )}
      {mode === "words" && looksLikeExpression(view.search) && (
        <p className="filter-note">
          This looks like an expression.{" "}
          <Button size="small" onClick={() => change("expression", view.search)}>
            Filter by it
          </Button>
        </p>
      )}
      {wrong && (
        <p className="filter-note wrong" id="filter-error" role="alert">
          {wrong.message}
          {match.ids && <span className="soft"> The list still shows the last filter that could be read.</span>}
        </p>
      )}
    </div>
  );
}
