// One request for many samples, read as it comes.
import { request } from "../../api/client";
import { FrameDecoder, type Frame } from "./decode";

export interface Asked {
  run: string;
  kind: string;
  name: string;
  field: string;
  start: number;
  stop: number | null;
  max_points: number;
  /** Buckets of this width instead: the continuation of a sample. */
  width?: number;
}

/** Calls `each` for every sample, in the order of `series`, as soon as it is there. */
export async function askSamples(
  series: readonly Asked[], x: string | null, each: (frame: Frame) => void, signal: AbortSignal,
): Promise<void> {
  const answer = await request("/samples", {
    method: "POST",
    body: JSON.stringify({ series, x }),
    headers: { "Content-Type": "application/json" },
    signal,
  });
  const decoder = new FrameDecoder();
  const reader = answer.body?.getReader();
  if (!reader) return;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    for (const frame of decoder.push(value)) each(frame);
  }
  decoder.end();
}
