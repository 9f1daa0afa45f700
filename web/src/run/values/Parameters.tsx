// A run's parameters: a list or a tree, searched, copied, and set against those of a baseline.
import { useDeferredValue, useMemo, useState } from "react";
import type { Json, Run } from "../../api/types";
import { many } from "../../model/format";
import { jsonText } from "../../model/json";
import { setQuery, usePlace } from "../../state/url";
import { copyText, Empty, IconButton, Menu, Segmented, Select, Switch, TextInput, toast } from "../../ui";
import { VirtualLines } from "../lines/VirtualLines";
import { type Among, useRun } from "../useRun";
import { asJson, asPython, asYaml, compared, nested, type ParamRow } from "./params";
import { Tree } from "./Tree";
import { kindOf, oneLine, pruned, rowsOf, isGroup } from "./valueRows";
import "./params.css";

const ROW = 28;
const MOST_BASES = 500;

export function Parameters({ run, among }: { run: Run; among: Among }) {
  const { query } = usePlace();
  const search = query.get("find") ?? "";
  const tree = query.get("as") === "tree";
  const onlyDifferent = query.get("only") === "1";
  const baseId = query.get("base") ?? "";
  const asked = useRun(baseId || run.id);
  const base = baseId && baseId !== run.id ? asked.data : undefined;
  const sought = useDeferredValue(search.trim().toLowerCase());
  const all = useMemo(() => compared(run.params, base?.params ?? null), [run.params, base]);
  const differing = base ? all.filter((row) => row.difference !== "same").length : 0;
  const rows = useMemo(
    () => all.filter((row) => (!onlyDifferent || !base || row.difference !== "same") && (!sought || holds(row, sought))),
    [all, onlyDifferent, base, sought],
  );
  const bases = among.runs.filter((one) => one.id !== run.id).slice(0, MOST_BASES);
  const known = !baseId || baseId === run.id || bases.some((one) => one.id === baseId);

  if (!Object.keys(run.params).length && !base) {
    const call = run.kind === "session" ? "session.parameters().set(learning_rate=0.001)" : "experiment.params.set(learning_rate=0.001)";
    return <Empty icon="settings" title="No parameters"><p>Set them at any time: <code>{call}</code></p></Empty>;
  }
  const copy = async (text: string, as: string) =>
    toast((await copyText(text)) ? `${many(Object.keys(run.params).length, "parameter")} copied as ${as}.` : "The browser does not let this page use the clipboard.");
  const shape = (): Json => (tree ? nested(run.params) : { ...run.params });
  return (
    <div className="fill column">
      <div className="value-bar">
        <TextInput value={search} onChange={(text) => setQuery({ find: text || null }, { replace: true })} label="Search parameters" placeholder="Search names and values" icon="search" clearable />
        <Segmented
          value={tree ? "tree" : "list"}
          onChange={(as) => setQuery({ as: as === "tree" ? "tree" : null })}
          label="Shape"
          options={[{ value: "list", label: "List" }, { value: "tree", label: "Tree" }]}
        />
        <Menu
          label="Copy the parameters"
          trigger={(props) => <IconButton icon="copy" label="Copy" {...props} />}
          items={[
            { label: "As JSON", onSelect: () => void copy(asJson(shape()), "JSON") },
            { label: "As YAML", onSelect: () => void copy(asYaml(shape()), "YAML") },
            { label: "As a Python dict", onSelect: () => void copy(asPython(shape()), "a Python dict") },
          ]}
        />
        <label className="base-choice">
          <span className="soft">Compared with</span>
          <Select
            value={baseId === run.id ? "" : baseId}
            onChange={(id) => setQuery({ base: id || null, ...(id ? {} : { only: null }) })}
            label="Baseline"
            options={[{ value: "", label: "no baseline" }, ...(known ? [] : [{ value: baseId, label: base?.key[2] ?? baseId.slice(0, 8) }]), ...bases.map((one) => ({ value: one.id, label: one.name }))]}
          />
        </label>
        {base && !tree && <Switch checked={onlyDifferent} onChange={(on) => setQuery({ only: on ? "1" : null })} label={`Only differences (${differing})`} />}
      </div>
      {baseId && !base && asked.error ? <p className="note">The baseline cannot be read: {asked.error.message}</p> : null}
      {tree ? <ParamTree run={run} base={base ?? null} search={sought} /> : rows.length ? <List rows={rows} base={base ?? null} /> : <Nothing search={search} />}
    </div>
  );
}

function Nothing({ search }: { search: string }) {
  return <Empty icon="search" title={search ? "No parameter has this text" : "The parameters are the same"} />;
}

function List({ rows, base }: { rows: readonly ParamRow[]; base: Run | null }) {
  return (
    <VirtualLines
      className={`params${base ? " based" : ""}`}
      role="table"
      label="Parameters"
      count={rows.length}
      usual={ROW}
      keyAt={(at) => rows[at]?.name ?? at}
      header={
        <div className="param-row head" role="row">
          <span role="columnheader">name</span>
          <span role="columnheader">value</span>
          {base && <span role="columnheader" title={base.key[2]}>baseline: {base.key[2]}</span>}
        </div>
      }
      render={(at) => {
        const row = rows[at];
        if (!row) return null;
        return (
          <div className={`param-row ${row.difference}`} role="row">
            <span role="cell" className="param-name" title={row.name}>
              {row.name}{" "}
              {row.difference !== "same" && <span className="param-mark">{row.difference === "missing" ? "only in the baseline" : row.difference === "added" ? "only here" : "differs"}</span>}
            </span>
            <ParamValue value={row.value} />
            {base && <ParamValue value={row.base} />}
          </div>
        );
      }}
    />
  );
}

function ParamValue({ value }: { value: Json | undefined }) {
  if (value === undefined) return <span role="cell" className="soft">none</span>;
  const text = isGroup(value) ? jsonText(value) : oneLine(value);
  return <span role="cell" className={`param-value value ${kindOf(value)}`}>{text}</span>;
}

function ParamTree({ run, base, search }: { run: Run; base: Run | null; search: string }) {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const tree = useMemo(() => nested(run.params), [run.params]);
  const shown = useMemo(() => (search ? pruned(tree, search) : tree), [tree, search]);
  const rows = useMemo(() => (shown === null ? [] : rowsOf(shown, closed, 64)), [shown, closed]);
  if (!rows.length) return <Nothing search={search} />;
  return (
    <div className="value-rows">
      <Tree
        label="Parameters as a tree"
        rows={rows}
        onToggle={(row) =>
          setClosed((now) => {
            const next = new Set(now);
            if (!next.delete(row.key)) next.add(row.key);
            return next;
          })
        }
        render={(row) => {
          const name = row.key.split("\u0000").slice(1).join(".");
          const other = base && Object.hasOwn(base.params, name) ? base.params[name] : undefined;
          const leaf = Object.hasOwn(run.params, name);
          const differs = base && leaf && jsonText(other) !== jsonText(row.value);
          return (
            <>
              <span className={`value-name${row.item ? " item" : ""}`} title={name}>{row.name}</span>
              <span className={`value ${kindOf(row.value)}`}>{oneLine(row.value)}</span>
              {differs && <span className="param-mark">{other === undefined ? "only here" : `baseline: ${isGroup(other) ? jsonText(other) : oneLine(other)}`}</span>}
            </>
          );
        }}
      />
    </div>
  );
}

function holds(row: ParamRow, search: string): boolean {
  return [row.name, row.value, row.base].some((one) => one !== undefined && (typeof one === "string" ? one : jsonText(one)).toLowerCase().includes(search));
}
