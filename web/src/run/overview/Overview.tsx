// What one wants to know of a run at first sight.
import type { Json, Run, SeriesInfo } from "../../api/types";
import { ago, bytes, count, duration, many, moment, short, whole } from "../../model/format";
import { jsonText } from "../../model/json";
import { numberOf } from "../../model/table";
import { useMayWrite } from "../../shell/session";
import { follow } from "../../state/url";
import { Skeleton, StatusBadge, TroubleNote } from "../../ui";
import { Notes } from "../Notes";
import { tabHref } from "../places";
import { type Among, useFiles, useSeries, worked } from "../useRun";
import { isGroup, kindOf, oneLine } from "../values/valueRows";
import { NewestPictures } from "./NewestPictures";
import { RecentLines } from "./RecentLines";
import "./overview.css";

const MOST_SERIES = 60;
const MOST_PARAMS = 14;
const MOST_ATTEMPTS = 12;

interface Props {
  run: Run;
  among: Among;
}

export function Overview({ run, among }: Props) {
  const files = useFiles(run.id, among.status === "RUNNING");
  const mayWrite = useMayWrite();
  return (
    <div className="overview">
      <div className="overview-main">
        <section>
          <h2>Notes</h2>
          <Notes run={run} mayWrite={mayWrite} />
        </section>
        <LastValues run={run} among={among} />
        <RecentLines run={run} />
        <NewestPictures run={run.id} files={files.data ?? []} />
      </div>
      <div className="overview-side">
        <Facts run={run} among={among} files={files.data?.length ?? (files.error ? -1 : null)} size={files.data?.reduce((sum, file) => sum + file.sizeBytes, 0) ?? 0} />
        <FirstParams run={run} />
        <Attempts run={run} among={among} />
      </div>
    </div>
  );
}

function Facts({ run, among, files, size }: Props & { files: number | null; size: number }) {
  const { now, status } = among;
  const ended = status === "RUNNING" ? null : run.attempts.map((one) => one.ended_at ?? "").sort().at(-1);
  const facts: [string, React.ReactNode][] = [
    ["status", <StatusBadge key="s" status={status} />],
    ["worked", duration(worked(run, now))],
    ["created", <When key="c" time={run.created_at} now={now} />],
    ...(ended ? [["ended", <When key="e" time={ended} now={now} />] as [string, React.ReactNode]] : []),
    ["changed", <When key="u" time={run.updated_at} now={now} />],
    ["files", files === null ? "…" : files < 0 ? "cannot be read now" : files ? <a key="f" href={tabHref(run.id, "files")} onClick={follow}>{many(files, "file")}, {bytes(size)}</a> : "none"],
    ["kind", run.kind === "session" ? "session (dreamlake)" : "experiment"],
    ["id", <span key="i" className="mono">{run.id}</span>],
  ];
  return (
    <section>
      <h2>Facts</h2>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function When({ time, now }: { time: string; now: number }) {
  return <time dateTime={time} title={`${moment(time)} · ${time}`}>{ago(time, now)}</time>;
}

function Attempts({ run, among }: Props) {
  if (!run.attempts.length) return null;
  const shown = run.attempts.slice(-MOST_ATTEMPTS);
  const from = run.attempts.length - shown.length;
  return (
    <section>
      <h2>Attempts</h2>
      <div className="scroll-x" tabIndex={0} role="region" aria-label="Attempts">
        <table className="small-table">
          <thead>
            <tr><th>#</th><th>status</th><th>host</th><th>pid</th><th>began</th><th>took</th><th>first index</th></tr>
          </thead>
          <tbody>
            {shown.map((one, i) => {
              const first = Object.entries(one.first ?? {}).filter(([, points]) => points > 0);
              const end = one.ended_at ?? null;
              return (
                <tr key={one.id}>
                  <td className="num">{from + i + 1}</td>
                  <td><StatusBadge status={one.status ?? (end ? "COMPLETED" : among.status === "RUNNING" ? "RUNNING" : "LOST")} /></td>
                  <td>{one.host || "?"}</td>
                  <td className="num">{one.pid || "?"}</td>
                  <td><When time={one.started_at} now={among.now} /></td>
                  <td className="num" title={end ? `ended ${moment(end)}` : "not ended"}>{end ? duration((Date.parse(end) - Date.parse(one.started_at)) / 1000) : "…"}</td>
                  <td className="num" title={first.map(([name, points]) => `${name}: ${count(points)}`).join("\n") || "the beginning of all series"}>
                    {first.length ? firstIndex(first) : "0"}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {from > 0 && <p className="soft">{many(from, "earlier attempt")} left out.</p>}
    </section>
  );
}

/** Where most series stood; all of them are told on hover. */
function firstIndex(first: [string, number][]): string {
  const points = first.filter(([name]) => !name.startsWith("logs/")).map(([, n]) => n);
  if (!points.length) return "0";
  const least = Math.min(...points);
  const most = Math.max(...points);
  return least === most ? count(least) : `${count(least)}–${count(most)}`;
}

function LastValues({ run, among }: Props) {
  const asked = useSeries(run.id);
  const series = asked.data ?? [];
  const shown = series.slice(0, MOST_SERIES);
  return (
    <section>
      <h2>Last values</h2>
      {asked.error && !asked.data ? (
        <TroubleNote error={asked.error} what="the series" retry={() => void asked.refetch()} />
      ) : !asked.data ? (
        <Skeleton lines={6} />
      ) : !series.length ? (
        <p className="soft">No series yet. Their last values will stand here.</p>
      ) : (
        <>
          <table className="small-table last-values">
            <thead>
              <tr><th>series</th><th>last point</th><th className="right">points</th><th className="right when">when</th></tr>
            </thead>
            <tbody>{shown.map((one) => <LastValue key={`${one.kind} ${one.name}`} run={run.id} series={one} now={among.now} />)}</tbody>
          </table>
          {series.length > shown.length && <p className="soft">{many(series.length - shown.length, "more series").replace("seriess", "series")} in the <a href={tabHref(run.id, "charts")} onClick={follow}>charts</a>.</p>}
        </>
      )}
    </section>
  );
}

const AXES = new Set(["step", "epoch"]);

function LastValue({ run, series, now }: { run: string; series: SeriesInfo; now: number }) {
  const fields = Object.entries(series.last ?? {}).sort(([a], [b]) => Number(AXES.has(a)) - Number(AXES.has(b)));
  return (
    <tr>
      <td className="series-name">
        <a href={tabHref(run, "charts", { panels: series.name })} onClick={follow} title={series.description ?? `The chart of ${series.name}`}>{series.name || "(unnamed)"}</a>
      </td>
      <td>
        <span className="last-fields">
          {fields.map(([field, value]) => (
            <span key={field} className={AXES.has(field) ? "soft" : undefined}>
              {(field !== "value" || AXES.has(field)) && <span className="soft">{field} </span>}
              <LastField value={value} />
            </span>
          ))}
        </span>
      </td>
      <td className="right num">{count(series.count)}</td>
      <td className="right when soft">{series.last_at ? <When time={series.last_at} now={now} /> : ""}</td>
    </tr>
  );
}

function LastField({ value }: { value: Json }) {
  const number = numberOf(value);
  if (number !== undefined) return <span className={`num${Number.isFinite(number) ? "" : " bad"}`} title={whole(typeof value === "bigint" ? value : number)}>{short(number)}</span>;
  const text = isGroup(value) ? jsonText(value) : oneLine(value);
  return <span title={text.slice(0, 1000)}>{text.slice(0, 60)}{text.length > 60 ? "…" : ""}</span>;
}

function FirstParams({ run }: { run: Run }) {
  // In the order in which they were set: what matters comes first.
  const rows = Object.entries(run.params);
  const shown = rows.slice(0, MOST_PARAMS);
  return (
    <section>
      <h2>Parameters</h2>
      {!rows.length && <p className="soft">None.</p>}
      <dl className="facts">
        {shown.map(([name, value]) => {
          const text = isGroup(value) ? jsonText(value) : oneLine(value);
          const shown = typeof value === "number" ? short(value, 6) : text.slice(0, 200);
          return (
            <div key={name}>
              <dt title={name}>{name}</dt>
              <dd className={`value ${kindOf(value)}`} title={text.slice(0, 1000)}>{shown}</dd>
            </div>
          );
        })}
      </dl>
      {rows.length > 0 && <p><a href={tabHref(run.id, "parameters")} onClick={follow}>{rows.length > shown.length ? `All ${count(rows.length)} parameters` : "Compare and copy"}</a></p>}
    </section>
  );
}
