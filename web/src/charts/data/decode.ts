// The bytes of `POST /samples`, taken apart as they come: for each sample one JSON line, then its columns as float64.
import { sampleOf, type Head, type Sample } from "./sample";

export interface Frame {
  /** The place in the request. */
  at: number;
  sample: Sample | null;
  /** In the place of a sample that there is none of. */
  error: { name: string; message: string } | null;
}

type AnyHead = Head & { at: number; error?: string; message?: string };

const NEWLINE = 10;
const ELEMENT = Float64Array.BYTES_PER_ELEMENT;

export class FrameDecoder {
  private readonly text = new TextDecoder();
  private waiting = new Uint8Array(0);
  private head: AnyHead | null = null;

  /** What has become whole with these bytes. */
  push(chunk: Uint8Array): Frame[] {
    const bytes = this.joined(chunk);
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      if (!this.head) {
        const end = bytes.indexOf(NEWLINE, at);
        if (end < 0) break;
        this.head = JSON.parse(this.text.decode(bytes.subarray(at, end))) as AnyHead;
        at = end + 1;
      }
      const head: AnyHead = this.head;
      if (head.error !== undefined) {
        frames.push({ at: head.at, sample: null, error: { name: head.error, message: head.message ?? "" } });
      } else {
        const size = head.n * head.columns.length * ELEMENT;
        if (bytes.length - at < size) break;
        // A copy of its own: aligned, and the chunk it came in can go.
        const data = new Float64Array(bytes.slice(at, at + size).buffer);
        frames.push({ at: head.at, sample: sampleOf(head, data), error: null });
        at += size;
      }
      this.head = null;
    }
    this.waiting = bytes.slice(at);
    return frames;
  }

  /** Throws where the answer ended within a sample. */
  end(): void {
    if (this.head || this.waiting.length) throw new Error("The answer was cut short.");
  }

  private joined(chunk: Uint8Array): Uint8Array {
    if (!this.waiting.length) return chunk;
    const bytes = new Uint8Array(this.waiting.length + chunk.length);
    bytes.set(this.waiting);
    bytes.set(chunk, this.waiting.length);
    return bytes;
  }
}
