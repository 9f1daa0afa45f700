// How long one waits before what has failed is asked for again. Pure.
import { ApiError } from "./client";

/** ms, after so many failures. Where nobody answers it is told within two seconds, and asked again by the reader; who is busy gets time. */
export function pauseBefore(failures: number, error: Error): number {
  const offline = error instanceof ApiError && error.trouble === "offline";
  return offline ? 200 * 2 ** failures : Math.min(1000 * 2 ** failures, 30_000);
}
