// The box for an expression: proposals under it while it is written, and the part that is wrong underlined.
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { flushSync } from "react-dom";
import { TextInput } from "../ui";
import { columnOf } from "./columns";
import { complete, literal, type Completion, type Vocabulary } from "./completion";
import { FILTER_INPUT } from "./keys";
import type { ProjectModel } from "./useProject";
import "./ExpressionInput.css";

export interface ExpressionInputProps {
  model: ProjectModel;
  value: string;
  onChange: (value: string) => void;
  /** [begin, end) of what is wrong. */
  wrong: readonly [number, number] | null;
  invalid: boolean;
  /** Proposals are offered from now on, or no more. */
  onProposals: (open: boolean) => void;
}

const VALUES_AT_MOST = 30;
const STATUSES = ["RUNNING", "COMPLETED", "FAILED", "CANCELLED", "LOST"];

function vocabularyOf(model: ProjectModel): Vocabulary {
  return {
    params: model.table.params,
    series: model.series,
    values: (reference) => {
      if (reference === "status") return STATUSES.flatMap((one) => literal(one) ?? []);
      const column = columnOf(reference, model.source);
      if (!column || column.part === "results" || reference === "name") return [];
      const counts = new Map<string, number>();
      for (const run of model.table.runs) {
        const own = column.value(run);
        for (const one of Array.isArray(own) ? own : [own]) {
          const written = literal(one);
          if (written) counts.set(written, (counts.get(written) ?? 0) + 1);
        }
      }
      return [...counts].sort((a, b) => b[1] - a[1]).slice(0, VALUES_AT_MOST).map(([text]) => text);
    },
  };
}

export function ExpressionInput({ model, value, onChange, wrong, invalid, onProposals }: ExpressionInputProps) {
  const { table, source } = model;
  const words = useMemo(() => vocabularyOf(model), [table, source]);
  const [completion, setCompletion] = useState<Completion | null>(null);
  const [at, setAt] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const mirror = useRef<HTMLDivElement>(null);
  const list = useId();
  const proposals = completion?.proposals ?? [];
  const open = proposals.length > 0;
  useEffect(() => onProposals(open), [open, onProposals]);

  function propose(text: string, caret: number): void {
    setCompletion(complete(text, caret, words));
    setAt(0);
  }

  function take(index: number): void {
    const chosen = proposals[index];
    if (!completion || !chosen) return;
    const next = value.slice(0, completion.from) + chosen.text + value.slice(completion.to).replace(/^\s+/, chosen.text.endsWith(" ") ? "" : "$&");
    const caret = completion.from + chosen.text.length;
    // At once, not with the next frame: what is typed until then would come to stand before the caret that is set too late.
    flushSync(() => {
      onChange(next);
      propose(next, caret);
    });
    input.current?.setSelectionRange(caret, caret);
  }

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>): void {
    if (event.key === "Escape") {
      if (open) setCompletion(null);
      else event.currentTarget.blur();
      event.preventDefault();
      return;
    }
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      propose(value, event.currentTarget.selectionStart ?? value.length);
      return;
    }
    if (!open) return;
    if (event.key === "ArrowDown") setAt((at + 1) % proposals.length);
    else if (event.key === "ArrowUp") setAt((at + proposals.length - 1) % proposals.length);
    else if (event.key === "Tab" && !event.shiftKey) take(at);
    else if (event.key === "Enter") take(at);
    else return;
    event.preventDefault();
  }

  const scrolled = () => {
    if (mirror.current && input.current) mirror.current.scrollLeft = input.current.scrollLeft;
  };
  return (
    <div className="expression">
      <TextInput
        id={FILTER_INPUT}
        ref={input}
        value={value}
        label="Filter expression"
        placeholder='params.lr > 0.01 and status = "FAILED"'
        icon="filter"
        clearable
        invalid={invalid}
        role="combobox"
        aria-expanded={open}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={open ? `${list}-${at}` : undefined}
        aria-describedby={invalid ? "filter-error" : undefined}
        onChange={(text) => {
          onChange(text);
          propose(text, input.current?.selectionStart ?? text.length);
        }}
        onFocus={() => !value && propose("", 0)}
        onClick={(event) => propose(value, event.currentTarget.selectionStart ?? value.length)}
        onBlur={() => setCompletion(null)}
        onKeyDown={onKeyDown}
        onScroll={scrolled}
      />
      {wrong && (
        <div className="expression-mirror" ref={mirror} aria-hidden="true">
          {value.slice(0, wrong[0])}
          <mark>{value.slice(wrong[0], Math.max(wrong[1], wrong[0] + 1)) || " "}</mark>
          {value.slice(wrong[1])}
        </div>
      )}
      <ul className="expression-list" id={list} role="listbox" aria-label="Proposals" hidden={!open}>
        {proposals.map((one, i) => (
          <li
            key={`${one.kind} ${one.label}`}
            id={`${list}-${i}`}
            role="option"
            aria-selected={i === at}
            ref={(line) => {
              if (i === at) line?.scrollIntoView({ block: "nearest" });
            }}
            onPointerDown={(event) => {
              event.preventDefault();
              take(i);
            }}
          >
            <span className="mono">{one.label}</span>
            <span className="soft">{one.kind}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
