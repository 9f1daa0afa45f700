// A chart as a picture of its own: title, plot, and below it which line is which. Knows neither screen nor file.
import { frameOf, type Frame } from "../draw/frame";
import type { Line } from "../draw/line";
import { paint } from "../draw/paint";
import { font, type Ink, type Pen } from "../draw/pen";
import type { TickKind } from "../draw/ticks";

export interface Picture {
  title: string;
  caption: string;
  width: number;
  /** Of the plot alone. */
  height: number;
  lines: readonly Line[];
  frame: Frame;
  kind: TickKind;
  ink: Ink;
}

const MARGIN = 16;
const HEAD = 46;
const ROW = 18;
const SIZE = 12;
const LONGEST = 40;
/** A legend of hundreds would be longer than the chart; the CSV names all. */
const MOST_NAMED = 60;

interface Place {
  line: Line;
  name: string;
  x: number;
  y: number;
}

function legend(pen: Pen, picture: Picture): { places: Place[]; height: number; unnamed: number } {
  pen.font = font(SIZE);
  const places: Place[] = [];
  let x = 0;
  let y = 0;
  for (const line of picture.lines.slice(0, MOST_NAMED)) {
    const name = line.name.length > LONGEST ? `${line.name.slice(0, LONGEST - 1)}…` : line.name;
    const wide = pen.measureText(name).width + 44;
    if (x > 0 && x + wide > picture.width) [x, y] = [0, y + ROW];
    places.push({ line, name, x, y });
    x += wide;
  }
  const unnamed = picture.lines.length - places.length;
  return { places, height: y + ROW * (unnamed ? 2 : 1) + 8, unnamed };
}

export function sizeOf(pen: Pen, picture: Picture): [width: number, height: number] {
  return [picture.width + 2 * MARGIN, HEAD + picture.height + legend(pen, picture).height + 2 * MARGIN];
}

/** `moved` is called to draw what follows from another origin. */
export function paintPicture(pen: Pen, picture: Picture, moved: (x: number, y: number, draw: () => void) => void): void {
  const [width, height] = sizeOf(pen, picture);
  const { ink } = picture;
  pen.globalAlpha = 1;
  pen.fillStyle = ink.background;
  pen.fillRect(0, 0, width, height);
  pen.textAlign = "left";
  pen.textBaseline = "top";
  pen.font = font(15, 600);
  pen.fillStyle = ink.text;
  pen.fillText(picture.title, MARGIN, MARGIN);
  pen.font = font(11);
  pen.fillStyle = ink.soft;
  pen.fillText(picture.caption, MARGIN, MARGIN + 20);
  const { x, y } = picture.frame;
  const frame = frameOf(pen, picture.width, picture.height, x, y, picture.kind);
  moved(MARGIN, MARGIN + HEAD, () => paint(pen, frame, picture.lines, ink));
  const { places, unnamed } = legend(pen, picture);
  const below = MARGIN + HEAD + picture.height + 10;
  pen.font = font(SIZE);
  for (const place of places) {
    pen.strokeStyle = place.line.color;
    pen.lineWidth = 2;
    pen.setLineDash([...place.line.dash]);
    pen.beginPath();
    pen.moveTo(MARGIN + place.x, below + place.y + 7);
    pen.lineTo(MARGIN + place.x + 22, below + place.y + 7);
    pen.stroke();
    pen.setLineDash([]);
    pen.fillStyle = ink.text;
    pen.textAlign = "left";
    pen.textBaseline = "top";
    pen.fillText(place.name, MARGIN + place.x + 28, below + place.y);
  }
  if (unnamed) pen.fillText(`and ${unnamed} more`, MARGIN, height - MARGIN - ROW);
}
