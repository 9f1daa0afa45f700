// The run's own charts.
import { useMemo } from "react";
import type { Run } from "../api/types";
import { ChartGrid } from "../charts/ChartGrid";
import { Empty, Skeleton, TroubleNote } from "../ui";
import { type Among, seriesNames, useSeries } from "./useRun";

export function RunCharts({ run, among }: { run: Run; among: Among }) {
  const asked = useSeries(run.id);
  const { row, series: known } = among;
  const runs = useMemo(() => [row], [row]);
  const series = useMemo(() => seriesNames(asked.data ?? [], known), [asked.data, known]);
  if (asked.error && !asked.data) return <TroubleNote error={asked.error} what="the series" retry={() => void asked.refetch()} />;
  if (!asked.data) return <div className="pad"><Skeleton height={220} /></div>;
  if (!series.length) {
    const call = run.kind === "session" ? `session.track("loss").append(value=0.5, step=0)` : `experiment.metrics("loss").append(value=0.5, step=0)`;
    return <Empty icon="chart" title="No series yet"><p>A series is made by its first point: <code>{call}</code></p></Empty>;
  }
  return <ChartGrid runs={runs} series={series} groupOf={null} baseline={null} />;
}
