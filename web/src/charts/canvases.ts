// Canvases on each other, in px of the page whatever the screen's own are: the picture, one above it for what is pointed at, and a
// narrow strip that moves with the cursor. What a frame changes is what it costs, so what moves is kept small.

export class Canvases {
  readonly below: CanvasRenderingContext2D;
  readonly above: CanvasRenderingContext2D;
  private strip: CanvasRenderingContext2D | null = null;
  private stripSize = "";
  private width = 0;
  private height = 0;
  private ratio = 0;

  constructor(private readonly host: HTMLElement) {
    this.below = layer(host, "chart-canvas");
    this.above = layer(host, "chart-canvas");
    this.above.canvas.hidden = true;
  }

  resize(width: number, height: number): void {
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    if (width === this.width && height === this.height && ratio === this.ratio) return;
    Object.assign(this, { width, height, ratio });
    for (const context of [this.below, this.above]) this.fit(context.canvas, width, height);
  }

  clearBelow(): void {
    this.clear(this.below);
  }

  /** Empty, and shown only where something will be on it. */
  showAbove(shown: boolean): void {
    if (this.above.canvas.hidden === shown) this.above.canvas.hidden = !shown;
    if (shown) this.clear(this.above);
  }

  /** The strip, empty, over [from, to] of x; what is drawn on it has the picture's own coordinates. */
  stripAt(from: number, to: number): CanvasRenderingContext2D {
    const strip = (this.strip ??= layer(this.host, "chart-canvas strip"));
    const { canvas } = strip;
    const left = Math.floor(from);
    const width = Math.ceil(to) - left;
    const size = `${width} ${this.height} ${this.ratio}`;
    if (size !== this.stripSize) this.fit(canvas, width, this.height);
    this.stripSize = size;
    if (canvas.hidden) canvas.hidden = false;
    canvas.style.transform = `translateX(${left}px)`;
    this.clear(strip);
    strip.translate(-left, 0);
    return strip;
  }

  hideStrip(): void {
    if (this.strip && !this.strip.canvas.hidden) this.strip.canvas.hidden = true;
  }

  private fit(canvas: HTMLCanvasElement, width: number, height: number): void {
    canvas.width = Math.round(width * this.ratio);
    canvas.height = Math.round(height * this.ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }

  private clear(context: CanvasRenderingContext2D): void {
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
  }
}

function layer(host: HTMLElement, className: string): CanvasRenderingContext2D {
  const canvas = document.createElement("canvas");
  canvas.className = className;
  canvas.setAttribute("aria-hidden", "true");
  host.append(canvas);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas.");
  return context;
}
