// What the server's answers look like to the page. Types only.

export type Status = "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED" | "LOST";
export type Kind = "metrics" | "tracks" | "logs" | "events";
/** JSON as the server sends it; numbers that are not finite come as "NaN", "Infinity", "-Infinity",
 * whole ones beyond 2^53 are `bigint` (model/json.ts): `JSON.stringify` refuses these, `jsonText` writes them. */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };
export type Scope = "read" | "write" | "admin";

export interface Session {
  signed_in: boolean;
  asks_for_token: boolean;
  scope: Scope | null;
  namespaces: string[] | null;
  token: string | null;
  version: string;
  place: string;
  instance: string;
}

export interface Project {
  namespace: string;
  project: string;
  runs: number;
  running: number;
  updated_at: string;
}

/** A column of the table: `values[i]` is that of the run at position `rows[i]`, or at i where `rows` is left out. */
export interface Column {
  rows?: number[] | null;
  values: Json[];
}

export interface SeriesName {
  kind: Kind;
  name: string;
  fields: string[];
  /** How many runs have it. */
  runs: number;
  /** Points of the longest. */
  points: number;
}

/** `GET /table`: a project's runs, newest first, a list a property. */
export interface TableAnswer {
  now: number;
  /** Runs whose series are still being looked at: `series` and `columns` have more in a moment. */
  pending?: number;
  runs: {
    id: string[];
    name: string[];
    kind: string[];
    status: Status[];
    created_at: string[];
    updated_at: string[];
    ended_at: (string | null)[];
    tags: string[][];
    notes: (string | null)[];
    archived: boolean[];
    write_protected: boolean[];
    attempts: number[];
    ordinal: number[];
  };
  params: Record<string, Column>;
  series: SeriesName[];
  columns: Record<string, Column>;
}

export interface Attempt {
  id: string;
  started_at: string;
  host?: string;
  pid?: number;
  ended_at?: string | null;
  status?: Status | null;
  first?: Record<string, number>;
}

export interface SeriesInfo {
  kind: Kind;
  name: string;
  count: number;
  description?: string | null;
  tags: string[];
  metadata?: Record<string, Json> | null;
  last?: Record<string, Json> | null;
  first_at?: string | null;
  last_at?: string | null;
  created_at?: string | null;
  updated_at?: string | null;
  chunked: number;
  chunks: number;
}

export interface Run {
  id: string;
  key: [namespace: string, project: string, name: string];
  kind: "experiment" | "session";
  status: Status;
  description?: string | null;
  tags: string[];
  bindrs: string[];
  folder?: string | null;
  metadata?: Record<string, Json> | null;
  params: Record<string, Json>;
  params_version: number;
  created_at: string;
  updated_at: string;
  write_protected: boolean;
  archived: boolean;
  attempts: Attempt[];
  heartbeat_at?: number | null;
}

export interface FileRecord {
  id: string;
  experimentId: string;
  path: string;
  filename: string;
  description?: string | null;
  tags: string[];
  contentType: string;
  sizeBytes: number;
  checksum: string;
  metadata?: Record<string, Json> | null;
  uploadedAt: string;
  updatedAt: string;
}

export interface LogRow {
  index: number;
  timestamp: string;
  level: string;
  message: string;
  metadata?: Record<string, Json> | null;
}

export interface LogAnswer {
  rows: LogRow[];
  next: number | null;
  total: number;
  scanned: number;
}

/** Changes of a run that the page makes. */
export interface RunPatch {
  description?: string;
  tags?: string[];
  archived?: boolean;
}
