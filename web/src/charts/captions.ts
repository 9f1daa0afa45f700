// What stands below a panel's name: how much of it is drawn, and everything that is not. Pure.
import { count, many as some } from "../model/format";
import type { ChartStatus } from "./drawn";

export function captionOf(status: ChartStatus, zoomed: boolean): string {
  const { state, exact, seen, buckets, points, here, runs, lines } = status;
  if (state === "loading") return "loading …";
  if (state === "empty") return "no points";
  if (state === "ready" && !seen) return "no points in this range";
  if (state !== "ready") return "";
  const many = runs > 1 ? `${count(runs)} runs · ` : "";
  const means = lines < runs ? `${lines === 1 ? "mean" : `${lines} means`} ± std of ` : "";
  const most = runs > 1 ? "up to " : "";
  if (exact && zoomed && here < points) return `${means}${many}all ${most}${count(here)} points here`;
  if (exact) return `${means}${many}${runs > 1 ? `${most}${some(points, "point")}, all drawn` : points === 1 ? "1 point" : `all ${count(points)} points`}`;
  const where = zoomed && here < points ? " here" : "";
  return `${means}${many}${count(buckets)} of ${most}${count(where ? here : points)} points${where}${lines < runs ? "" : " · min/max exact"}`;
}

/** What is not in the picture, said openly. */
export function notesOf(status: ChartStatus, { logY, usual, noField }: { logY: boolean; usual: boolean; noField: string | null }): string[] {
  const said: string[] = [];
  if (status.state === "ready" && !status.finite) said.push("no finite value among them");
  if (noField) said.push(`by index: it has no ${noField}`);
  if (logY && status.unplaced > 0) said.push(`≤ 0 at ${some(status.unplaced, "place")}: at the bottom edge`);
  if (status.leftOut > 0) said.push(`x ≤ 0 at ${some(status.leftOut, "place")}: left out`);
  if (usual) said.push("outliers out of sight");
  return said;
}
