// Requests to the server this page came from. Knows paths and errors; keeps nothing, draws nothing.
import type {
  FileRecord, Json, LogAnswer, Project, Run, RunPatch, SeriesInfo, Session, TableAnswer,
} from "./types";
import { parseJson } from "../model/json";
import type * as Sent from "./schema";

const PREFIX = "/api/v1";

/** What the reader of the page can do about an error. */
export type Trouble = "offline" | "sign-in" | "forbidden" | "missing" | "invalid" | "busy" | "server";

export class ApiError extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
    readonly status = 0,
    /** [begin, end) in a text that was sent, where the error is about a part of it. */
    readonly at: readonly [number, number] | null = null,
  ) {
    super(message);
  }
}

function troubleOf(status: number): Trouble {
  if (status === 401) return "sign-in";
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  if (status === 429 || status === 503) return "busy";
  return status < 500 ? "invalid" : "server";
}

/** Requests that were begun before who needs them; each answers once. */
const early = new Map<string, Promise<Response>>();

/** Begin a request whose answer somebody will soon ask for by the same path. */
export function askEarly(path: string): void {
  const answer = request(path);
  answer.catch(() => undefined);
  early.set(path, answer);
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const begun = init.method === undefined ? early.get(path) : undefined;
  if (begun) {
    early.delete(path);
    return begun;
  }
  let answer: Response;
  try {
    answer = await fetch(PREFIX + path, {
      ...init,
      credentials: "same-origin",
      headers: { "X-ML-Dash": "1", ...init.headers },
    });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw new ApiError("offline", "The server does not answer. It may have stopped, or the network is down.");
  }
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => null)) as { message?: string; at?: [number, number] } | null;
  throw new ApiError(
    troubleOf(answer.status),
    told?.message ?? `The server answered ${answer.status} ${answer.statusText}.`,
    answer.status,
    told?.at ?? null,
  );
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return parseJson(await (await request(path, signal ? { signal } : {})).text()) as T;
}

async function send<T>(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const answer = await request(path, {
    method,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
    ...(signal ? { signal } : {}),
  });
  return (answer.status === 204 ? undefined : parseJson(await answer.text())) as T;
}

/** `?a=1&b=2&b=3` of what is defined. */
export function query(given: Record<string, string | number | boolean | readonly string[] | null | undefined>): string {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue;
    if (typeof value === "object") for (const one of value) made.append(name, one);
    else made.append(name, String(value));
  }
  const text = made.toString();
  return text ? `?${text}` : "";
}

/** A line that a program wrote by itself may lack anything; the page shows what there is. */
function logsOf(told: Sent.LogRows): LogAnswer {
  const rows = told.rows.map((row) => ({
    ...row,
    timestamp: row.timestamp ?? "",
    level: row.level ?? "info",
    message: row.message ?? "",
  }));
  return { ...told, rows };
}

export const api = {
  session: (signal?: AbortSignal) => get<Session>("/session", signal),
  signIn: (token: string) => send<Session>("POST", "/session", { token }),
  signOut: () => send<void>("DELETE", "/session", {}),
  projects: async (signal?: AbortSignal) => (await get<{ projects: Project[] }>("/projects", signal)).projects,
  table: (namespace: string, project: string, columns: readonly string[], signal?: AbortSignal) =>
    get<TableAnswer>(`/table${query({ namespace, project, columns })}`, signal),
  summaries: async (runs: readonly string[], columns: readonly string[], signal?: AbortSignal) =>
    (await send<{ values: Record<string, Json[]> }>("POST", "/summaries", { runs, columns }, signal)).values,
  match: async (namespace: string, project: string, filter: string, signal?: AbortSignal) =>
    (await get<{ runs: string[] }>(`/match${query({ namespace, project, filter })}`, signal)).runs,
  run: (id: string, signal?: AbortSignal) => get<Run>(`/runs/${encodeURIComponent(id)}`, signal),
  namedRun: (namespace: string, project: string, name: string, signal?: AbortSignal) =>
    get<Run>(`/run${query({ namespace, project, name })}`, signal),
  patchRun: (id: string, patch: RunPatch) => send<Run>("PATCH", `/runs/${encodeURIComponent(id)}`, patch),
  deleteRun: (id: string, keepalive = false) =>
    request(`/runs/${encodeURIComponent(id)}`, { method: "DELETE", keepalive }).then(() => undefined),
  series: async (id: string, signal?: AbortSignal) =>
    (await get<{ series: SeriesInfo[] }>(`/runs/${encodeURIComponent(id)}/series`, signal)).series,
  files: async (id: string, signal?: AbortSignal) =>
    (await get<{ files: FileRecord[] }>(`/runs/${encodeURIComponent(id)}/files`, signal)).files,
  fileUrl: (run: string, file: string) => `${PREFIX}/runs/${encodeURIComponent(run)}/files/${encodeURIComponent(file)}/bytes`,
  logs: (
    id: string,
    asked: { from?: number; limit?: number; levels?: readonly string[]; search?: string; backward?: boolean },
    signal?: AbortSignal,
  ) => get<Sent.LogRows>(`/runs/${encodeURIComponent(id)}/logs${query(asked)}`, signal).then(logsOf),
};
