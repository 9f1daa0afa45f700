// A chart into a file of the reader's: PNG, SVG, CSV.
import type { Chart } from "../chart";
import type { Pen } from "../draw/pen";
import { tickKind } from "../said";
import { csvOf, rowsOf } from "./csv";
import { paintPicture, sizeOf, type Picture } from "./picture";
import { SvgPen } from "./svg";

export type Format = "png" | "svg" | "csv";

/** px of the file for one of the page. */
const SHARP = 2;
const LEAST_WIDTH = 720;
const LEAST_HEIGHT = 360;

export async function saveChart(chart: Chart, title: string, caption: string, format: Format): Promise<void> {
  const { frame, drawn, lines } = chart;
  if (!frame || !drawn) return;
  const name = title.replace(/[^\p{L}\p{N}._-]+/gu, "-");
  if (format === "csv") return saveAs(new Blob([csvOf(rowsOf(lines, frame.x.min, frame.x.max), tickKind(drawn.x, lines) === "time")], { type: "text/csv" }), `${name}.csv`);
  const picture: Picture = {
    title, caption, lines, frame, kind: tickKind(drawn.x, lines), ink: drawn.ink,
    width: Math.max(drawn.width, LEAST_WIDTH), height: Math.max(drawn.height, LEAST_HEIGHT),
  };
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) return;
  const [width, height] = sizeOf(context, picture);
  if (format === "svg") return saveAs(new Blob([svgOf(picture, width, height, context)], { type: "image/svg+xml" }), `${name}.svg`);
  canvas.width = width * SHARP;
  canvas.height = height * SHARP;
  context.scale(SHARP, SHARP);
  paintPicture(context, picture, (x, y, draw) => {
    context.save();
    context.translate(x, y);
    draw();
    context.restore();
  });
  const blob = await new Promise<Blob | null>((made) => canvas.toBlob(made, "image/png"));
  if (blob) saveAs(blob, `${name}.png`);
}

export function svgOf(picture: Picture, width: number, height: number, measure: Pen): string {
  const pen = new SvgPen(width, height, measure);
  paintPicture(pen, picture, (x, y, draw) => pen.moved(x, y, draw));
  return pen.toString();
}

function saveAs(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download has begun when the click is over; some browsers read on for a moment.
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
