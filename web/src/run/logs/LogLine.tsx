// One line of the log: its number, time, level, message; metadata and long messages open.
import { memo } from "react";
import type { Json } from "../../api/types";
import { count, moment } from "../../model/format";
import { Button, CopyButton, IconButton } from "../../ui";
import { asJson } from "../values/params";
import { isGroup, oneLine } from "../values/valueRows";
import { overwritten, plainOf } from "./ansi";
import { LogText, Traceback } from "./LogText";
import type { LogEntry } from "./source";
import { lineTime, type TimeStyle } from "./times";

const MOST_LINES = 14;
const MOST_LETTERS = 4000;

interface Props {
  index: number;
  row: LogEntry | undefined;
  search: string;
  times: TimeStyle;
  /** Unix ms of the run's first line. */
  begin: number;
  open: boolean;
  current: boolean;
  href: string;
  onToggle: (index: number) => void;
  onChoose: (index: number) => void;
}

export const LogLine = memo(function LogLine({ index, row, search, times, begin, open, current, href, onToggle, onChoose }: Props) {
  if (!row) {
    return (
      <div className="log-line waiting" role="listitem">
        <span className="log-number num">{index >= 0 ? index : ""}</span>
        <span className="log-message soft">…</span>
      </div>
    );
  }
  const cut = open ? row.message : shortened(row.message);
  const fields = Object.entries(row.metadata ?? {});
  const more = fields.length > 0 || cut !== row.message;
  return (
    <div className={`log-line level-${row.level}${current ? " current" : ""}`} role="listitem" aria-current={current || undefined}>
      <a
        className="log-number num"
        href={href}
        tabIndex={current ? 0 : -1}
        title={`Line ${index}: a link to it`}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          onChoose(index);
        }}
      >
        {index}
      </a>
      <time className="log-time num" dateTime={row.timestamp} title={`${moment(row.timestamp)} · ${row.timestamp}`}>
        {lineTime(row.timestamp, times, begin)}
      </time>
      <span className={`log-level ${row.level}`}>{row.level}</span>
      <div className="log-message">
        <span className="log-text"><LogText text={cut} search={search} /></span>
        {!open && fields.length > 0 && <Preview fields={fields} />}
        {!open && cut !== row.message && (
          <Button kind="quiet" size="small" onClick={() => onToggle(index)}>{leftOut(row.message, cut)}</Button>
        )}
        {open && <Details row={row} fields={fields} search={search} />}
      </div>
      <span className="log-actions">
        {more && (
          <IconButton
            icon={open ? "chevron-down" : "chevron-right"}
            label={open ? `Close line ${index}` : `Open line ${index}: ${[...fields.map(([name]) => name), cut !== row.message && "all of it"].filter(Boolean).join(", ")}`}
            aria-expanded={open}
            onClick={() => onToggle(index)}
          />
        )}
        <span className="log-copy"><CopyButton text={plainOf(row.message)} label={`Copy line ${index}`} /></span>
      </span>
    </div>
  );
});

/** Some small values in the line itself, the rest by their number. */
function Preview({ fields }: { fields: [string, Json][] }) {
  const small = fields.filter(([, value]) => !isGroup(value) && oneLine(value).length <= 24 && !oneLine(value).includes("\n")).slice(0, 3);
  const left = fields.length - small.length;
  const text = [...small.map(([name, value]) => `${name}=${oneLine(value)}`), left > 0 && (fields.some(([name]) => name === "traceback") ? "traceback …" : `+${left}`)];
  return <span className="log-fields">{text.filter(Boolean).join("  ")}</span>;
}

function Details({ row, fields, search }: { row: LogEntry; fields: [string, Json][]; search: string }) {
  const drawnOver = overwritten(row.message) !== row.message.replace(/\r\n/g, "\n");
  return (
    <div className="log-details">
      {fields.map(([name, value]) => (
        <div key={name} className="log-field">
          <span className="soft">{name}</span>
          {name === "traceback" && typeof value === "string" ? (
            <pre tabIndex={0}><Traceback text={value} search={search} /></pre>
          ) : isGroup(value) ? (
            <pre tabIndex={0}>{asJson(value)}</pre>
          ) : (
            <span className="log-value">{oneLine(value)}</span>
          )}
        </div>
      ))}
      {drawnOver && <p className="soft">A terminal draws over parts of this line; what stays is shown. Copy it from the file to see all.</p>}
    </div>
  );
}

function shortened(message: string): string {
  let cut = message.length > MOST_LETTERS ? message.slice(0, MOST_LETTERS) : message;
  const lines = cut.split("\n");
  if (lines.length > MOST_LINES + 2) cut = lines.slice(0, MOST_LINES).join("\n");
  return cut;
}

function leftOut(message: string, cut: string): string {
  const lines = message.split("\n").length - cut.split("\n").length;
  return lines > 0 ? `Show ${count(lines)} more lines` : `Show all ${count(message.length)} letters`;
}
