// When a line was logged: by the reader's clock, or since the run's first line. Pure.
import { moment } from "../../model/format";

export type TimeStyle = "clock" | "date" | "since";

export function lineTime(timestamp: string, style: TimeStyle, begin: number): string {
  const at = Date.parse(timestamp);
  if (Number.isNaN(at)) return "";
  if (style === "since") return since(at - begin);
  const whole = `${moment(at)}.${String(at % 1000).padStart(3, "0")}`;
  return style === "date" ? whole : whole.slice(11);
}

function since(ms: number): string {
  const sign = ms < 0 ? "−" : "+";
  const all = Math.abs(ms);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const days = Math.floor(all / 86_400_000);
  const clock = `${two((all / 3_600_000) % 24)}:${two((all / 60_000) % 60)}:${two((all / 1000) % 60)}.${String(all % 1000).padStart(3, "0")}`;
  return `${sign}${days ? `${days}d ` : ""}${clock}`;
}
