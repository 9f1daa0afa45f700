// A value of a run in the table: short in sight, whole as the tooltip; beside a baseline, the difference to it.
import type { Json } from "../api/types";
import { ago, cut, duration, moment, short, whole } from "../model/format";
import { numberOf, type RunRow } from "../model/table";
import { StatusBadge } from "../ui";
import { factText } from "./columns";
import { useRunActions } from "./RunActions";
import type { PlacedColumn } from "./TableGrid";

export interface CellProps {
  run: RunRow;
  placed: PlacedColumn;
  now: number;
  baseline: RunRow | null;
  marks: boolean;
  tab: number;
}

const TIMES: ReadonlySet<string> = new Set(["created_at", "updated_at", "ended_at"]);

/** Characters of a text in a cell, and in its tooltip: a parameter may be a whole file. */
const MOST_SHOWN = 300;
const MOST_TITLE = 1000;
const exact = (value: Json | undefined, number: number): string => whole(typeof value === "bigint" ? value : number);

export function Cell({ run, placed, now, baseline, marks, tab }: CellProps) {
  const { column, at, left, width, same } = placed;
  const value = column.value(run);
  const number = column.part === "run" && column.id !== "duration" && column.id !== "attempts" ? undefined : numberOf(value);
  const differs = marks && baseline && column.part === "parameters" && factText("", value) !== factText("", column.value(baseline));
  const place = { left, width };
  const kind = `grid-cell${column.numeric ? " number" : ""}${differs ? " differs" : ""}${same ? " same" : ""}`;
  const head = { role: "cell", "aria-colindex": at + 2, className: kind, style: place } as const;

  if (column.id === "tags" || column.id === "description") {
    return (
      <div {...head}>
        <Edited run={run} which={column.id} tab={tab} />
      </div>
    );
  }
  if (column.id === "status") {
    return (
      <div {...head}>
        <StatusBadge status={run.status} />
      </div>
    );
  }
  if (TIMES.has(column.id) && typeof value === "string") {
    return (
      <div {...head} title={moment(value)}>
        {ago(value, now)}
      </div>
    );
  }
  if (column.id === "duration") {
    return (
      <div {...head} title={number === undefined ? undefined : `${whole(number)} s`}>
        {number === undefined ? "" : duration(number)}
      </div>
    );
  }
  if (number === undefined) {
    const text = factText(column.id, value);
    return (
      <div {...head} title={cut(text, MOST_TITLE)}>
        {cut(text, MOST_SHOWN)}
      </div>
    );
  }
  const other = baseline && column.part !== "run" ? column.value(baseline) : undefined;
  const base = numberOf(other);
  return (
    <div {...head} title={base === undefined ? exact(value, number) : `${exact(value, number)}, the baseline ${exact(other, base)}`}>
      {base !== undefined && <Difference value={number - base} />}
      {short(number)}
    </div>
  );
}

function Difference({ value }: { value: number }) {
  if (Number.isNaN(value)) return null;
  return <span className="grid-difference">{value === 0 ? "=" : `${value > 0 ? "+" : ""}${short(value, 3)}`}</span>;
}

/** Tags or notes: pressed, they become a form. */
function Edited({ run, which, tab }: { run: RunRow; which: "tags" | "description"; tab: number }) {
  const actions = useRunActions();
  const shown = which === "tags" ? run.tags.map((tag) => <span key={tag} className="run-tag">{tag}</span>) : cut(run.notes, MOST_SHOWN);
  const text = cut(which === "tags" ? run.tags.join(", ") : run.notes, MOST_TITLE);
  if (!actions.mayWrite) return <span title={text}>{shown}</span>;
  return (
    <button
      type="button"
      className="grid-edit"
      tabIndex={tab}
      title={text || (which === "tags" ? "Add tags" : "Add notes")}
      onClick={(event) => (which === "tags" ? actions.tags(event.currentTarget, [run]) : actions.notes(event.currentTarget, run))}
    >
      <span className="visually-hidden">{which === "tags" ? `Edit the tags of ${run.name}: ` : `Edit the notes of ${run.name}: `}</span>
      {text ? shown : <span className="grid-edit-empty">{which === "tags" ? "+ tag" : "+ note"}</span>}
    </button>
  );
}
