// The parameters of runs beside each other: those in which they differ, and where each differs from the baseline. Virtual both ways.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import { whole } from "../model/format";
import type { RunRow, RunTable } from "../model/table";
import { runHref } from "../runs/places";
import { follow } from "../state/url";
import { setView, useView } from "../state/view";
import { Empty, IconButton, RunDot, Switch, useMedia } from "../ui";
import { quantityOf, textOf, valueText, varies } from "./quantity";
import { setCompare } from "./words";

/** px of the names and of a run. On a phone the baseline must leave room for another one. */
const WIDE = { name: 220, column: 176 };
const NARROW = { name: 120, column: 116 };
const ROW = 32;

export function Differences({ table, runs, every }: { table: RunTable; runs: readonly RunRow[]; every: boolean }) {
  const { baseline: chosen } = useView();
  const baseline = runs.find((run) => run.id === chosen) ?? runs[0];
  const ordered = useMemo(() => (baseline ? [baseline, ...runs.filter((run) => run !== baseline)] : []), [runs, baseline]);
  const all = useMemo(() => table.params.map((name) => quantityOf(name, name, ordered.map((run) => table.param(run, name)))), [table, ordered]);
  const rows = useMemo(() => (every ? all : all.filter(varies)), [all, every]);
  const { name, column } = useMedia("(max-width: 760px)") ? NARROW : WIDE;
  const area = useRef<HTMLDivElement>(null);
  const lines = useVirtualizer({ count: rows.length, getScrollElement: () => area.current, estimateSize: () => ROW, overscan: 6 });
  const columns = useVirtualizer({ count: ordered.length - 1, getScrollElement: () => area.current, estimateSize: () => column, horizontal: true, overscan: 3 });
  useEffect(() => columns.measure(), [columns, column]);
  const wide = name + column + columns.getTotalSize();

  return (
    <>
      <div className="compare-bar">
        <Switch label="Show parameters that are the same" checked={every} onChange={(on) => setCompare({ every: on })} />
        <span className="soft num">{rows.length} of {all.length} parameters</span>
      </div>
      {rows.length === 0 ? (
        <Empty icon="check" title={all.length ? "These runs have the same parameters" : "These runs have no parameters"} text={all.length ? "Switch on what is the same to see them." : <>Set some with <code>experiment.params.set(lr=0.1)</code>.</>} />
      ) : (
        <div ref={area} className="differences" role="region" aria-label="Differences of parameters" tabIndex={0} style={{ "--name": `${name}px`, "--column": `${column}px` } as React.CSSProperties}>
          <div role="table" aria-rowcount={rows.length + 1} aria-colcount={ordered.length + 1} style={{ width: wide, height: lines.getTotalSize() + 44 }}>
            <div className="differences-head" role="row" style={{ width: wide }}>
              <span role="columnheader" className="name">Parameter</span>
              {baseline && <Head run={baseline} baseline style={{ left: name }} />}
              {columns.getVirtualItems().map(({ index, start }) => {
                const run = ordered[index + 1];
                return run && <Head key={run.id} run={run} style={{ left: name + column + start }} />;
              })}
            </div>
            {lines.getVirtualItems().map((line) => {
              const quantity = rows[line.index];
              if (!quantity) return null;
              const own = textOf(quantity.values[0]);
              return (
                <div key={quantity.reference} role="row" className="differences-row" style={{ top: line.start + 44, width: wide }}>
                  <span role="rowheader" className="name mono" title={quantity.label}>{quantity.label}</span>
                  <span role="cell" className="base num" style={{ left: name }} title={own}>{valueText(quantity, 0)}</span>
                  {columns.getVirtualItems().map(({ key, index, start }) => {
                    const value = quantity.values[index + 1];
                    const differs = textOf(value) !== own;
                    return (
                      <span key={key} role="cell" className={`num${differs ? " differs" : ""}`} title={typeof value === "number" ? whole(value) : textOf(value)} style={{ left: name + column + start }}>
                        {valueText(quantity, index + 1)}
                        {differs && <span className="visually-hidden"> (differs)</span>}
                      </span>
                    );
                  })}
                </div>
              );
            })}
          </div>
        </div>
      )}
    </>
  );
}

function Head({ run, style, baseline = false }: { run: RunRow; style: React.CSSProperties; baseline?: boolean }) {
  return (
    <span role="columnheader" className={baseline ? "base" : ""} style={style}>
      <RunDot run={run} />
      <span className="titles">
        <a href={runHref(run)} onClick={follow} title={run.name}>{run.name}</a>
        {baseline && <small>baseline</small>}
      </span>
      {!baseline && <IconButton icon="star" size={13} label={`Make ${run.name} the baseline`} onClick={() => setView({ baseline: run.id })} />}
    </span>
  );
}
