// Beside a panel that fills the page: each run's last, least and greatest value, and where those are. All exact, also of what is not drawn.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { api } from "../api/client";
import { count, short, whole } from "../model/format";
import { numberOf } from "../model/table";
import { seriesReference } from "../runs/references";
import { useView } from "../state/view";
import { Skeleton } from "../ui";
import type { Chart } from "./chart";
import { cursor } from "./cursor";
import type { Sample } from "./data/sample";
import type { DrawnRun } from "./drawn";
import type { PanelOf } from "./panels";
import { valuedFirst } from "./valued";

const MOST_ROWS = 200;

interface Extreme {
  value: number;
  index: number;
}

function extreme(sample: Sample, values: Float64Array, places: Float64Array | null, better: (a: number, b: number) => boolean): Extreme | null {
  let found = -1;
  for (let i = 0; i < sample.n; i += 1) {
    const value = values[i] as number;
    if (Number.isFinite(value) && (found < 0 || better(value, values[found] as number))) found = i;
  }
  return found < 0 ? null : { value: values[found] as number, index: (places ?? sample.starts)[found] as number };
}

interface ValueRow {
  run: DrawnRun;
  last: number | undefined;
  min: Extreme | null;
  max: Extreme | null;
}

export function Legend({ panel, runs, chart }: { panel: PanelOf; runs: readonly DrawnRun[]; chart: Chart | null }) {
  const { zoom } = useView();
  const [, again] = useState(0);
  useEffect(() => chart?.onPainted(() => again((count) => count + 1)), [chart]);
  // An element that goes away while the pointer is on it is not told that the pointer has left.
  useEffect(() => () => cursor.choose(null), []);
  const shown = useMemo(() => runs.slice(0, MOST_ROWS), [runs]);
  const reference = seriesReference(panel.kind, panel.name, panel.field, "last");
  const lasts = useQuery({
    queryKey: ["lasts", reference, shown.map((run) => run.id), panel.points],
    queryFn: ({ signal }) => api.summaries(shown.map((run) => run.id), [reference], signal),
    placeholderData: (before) => before,
  });
  const found = chart?.found;
  const rows = valuedFirst(shown.map((run, i): ValueRow => {
    const sample = found?.get(run.id)?.overview;
    return {
      run,
      last: sample && stopsExact(sample) ? (sample.mean[sample.n - 1] as number) : numberOf(lasts.data?.[reference]?.[i] ?? undefined),
      min: sample ? extreme(sample, sample.min, sample.argmin, (a, b) => a < b) : null,
      max: sample ? extreme(sample, sample.max, sample.argmax, (a, b) => a > b) : null,
    };
  }));
  return (
    <aside className="full-legend" aria-label="Values of the runs">
      <table>
        <caption className="soft">{zoom ? "Least and greatest of the whole series" : "Exact, also between the points that are drawn"}</caption>
        <thead>
          <tr><th scope="col">Run</th><th scope="col">Last</th><th scope="col">Min</th><th scope="col">Max</th></tr>
        </thead>
        <tbody>
          {rows.map(({ run, last, min, max }) => (
            <tr key={run.id} onPointerEnter={() => cursor.choose(run.id)} onPointerLeave={() => cursor.choose(null)}>
              <th scope="row" title={run.name}><div><span className="chart-tip-dot" style={{ background: run.color }} /><span>{run.name}</span></div></th>
              <td className="num" title={last === undefined ? "" : whole(last)}>{last === undefined ? "–" : short(last)}</td>
              <Value of={min} />
              <Value of={max} />
            </tr>
          ))}
        </tbody>
      </table>
      {!found && <Skeleton lines={6} />}
      {runs.length > shown.length && <p className="soft">and {runs.length - shown.length} more</p>}
    </aside>
  );
}

const stopsExact = (sample: Sample): boolean => sample.n > 0 && (sample.starts[sample.n - 1] as number) === sample.stop - 1;

function Value({ of: found }: { of: Extreme | null }) {
  if (!found) return <td>–</td>;
  return (
    <td className="num" title={`${whole(found.value)} at index ${count(found.index)}`}>
      {short(found.value)}
      <small>at {count(found.index)}</small>
    </td>
  );
}
