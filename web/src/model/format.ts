// Numbers, spans of time and sizes as people read them. Pure.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** At most `digits` significant digits, without the noise of binary fractions: 0.1234, 12,340, 1.234e-7. */
export function short(value: number, digits = 4): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e") as [string, string];
    return `${minus(String(Number(mantissa)))}e${exponent.replace("+", "")}`;
  }
  return grouped(Number.isInteger(value) ? value : Number(value.toPrecision(digits)));
}

const minus = (text: string): string => text.replace("-", "−");

/** With commas between thousands and at most `decimals` decimals. By hand: the first use of a browser's own formatter takes 10 ms, which
 *  are in the way of the first chart. */
export function grouped(value: number, decimals = 12): string {
  const size = Number(Math.abs(value).toFixed(decimals));
  // Neither form has an exponent: `toFixed` has none below 1e21, from where on all are whole.
  const text = Number.isInteger(size) ? BigInt(size).toString() : size < 1e-6 ? size.toFixed(decimals) : String(size);
  const [whole = "", after = ""] = text.split(".");
  const all = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (after && `.${after.replace(/0+$/, "")}`);
  return value < 0 && all !== "0" ? `−${all}` : all;
}

/** The number whole, as it is copied. */
export function whole(value: number | bigint): string {
  if (typeof value === "bigint") return String(value);
  return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

/** The beginning of a text that is longer than `most`; never half a character. */
export const cut = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, most).replace(/[\ud800-\udbff]$/, "")}…`);

export const count = (value: number): string => grouped(value, 0);

/** "1 run", "2 runs". */
export const many = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

export function duration(seconds: number): string {
  if (!(seconds >= 0)) return "";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < MINUTE) return `${short(seconds, 3)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} m ${Math.floor(seconds % MINUTE)} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} m`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

/** "3 m ago", by the server's clock `now` (unix s). */
export function ago(time: string, now: number): string {
  const seconds = now - Date.parse(time) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < 10) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} m ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  return `${Math.floor(seconds / DAY)} d ago`;
}

/** The reader's own time zone, to the second: "2026-11-23 14:05:09". */
export function moment(time: string | number): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return "";
  const two = (value: number) => String(value).padStart(2, "0");
  return (
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  );
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; value >= 1000 && at < units.length - 1; at += 1) value /= 1000;
  return `${at ? short(value, 3) : value} ${units[at]}`;
}
