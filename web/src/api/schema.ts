// What the server takes and answers, made from its OpenAPI document by web/api_types.py: not to be changed by hand.

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface AppendedBatches {
  appended: AppendedRows[];
}

export interface AppendedRows {
  first: number | null;
  count: number;
  total: number;
}

export interface Attempt {
  id: string;
  started_at: string;
  host?: string;
  pid?: number;
  ended_at?: string | null;
  status?: "CANCELLED" | "COMPLETED" | "FAILED" | "RUNNING" | null;
  first?: { [key: string]: number };
}

export interface FilePatch {
  description?: string | null;
  tags?: string[] | null;
  metadata?: { [key: string]: Json } | null;
  deleted?: boolean;
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
  metadata?: { [key: string]: Json } | null;
  uploadedAt: string;
  updatedAt: string;
  deletedAt?: string | null;
}

export interface Files {
  files: FileRecord[];
}

export interface LogRow {
  index: number;
  timestamp: string;
  level: string;
  message: string;
  metadata: { [key: string]: Json } | null;
}

export interface LogRows {
  rows: LogRow[];
  next: number | null;
  total: number;
  scanned: number;
}

export interface Matching {
  runs: string[];
}

export interface Problem {
  error: string;
  message: string;
  expected?: number | null;
  batch?: number | null;
  row?: number | null;
  retry_after?: number | null;
  path?: string | null;
  offset?: number | null;
  at?: number[] | null;
}

export interface Project {
  namespace: string;
  project: string;
  runs: number;
  running: number;
  updated_at: string;
}

export interface Projects {
  projects: Project[];
}

export interface PutRun {
  key: RunKey;
  patch?: RunPatch;
}

export interface Run {
  id: string;
  key: RunKey;
  kind: "experiment" | "session";
  status: "CANCELLED" | "COMPLETED" | "FAILED" | "RUNNING";
  description?: string | null;
  tags: string[];
  bindrs: string[];
  folder?: string | null;
  metadata?: { [key: string]: Json } | null;
  params: { [key: string]: Json };
  params_version: number;
  created_at: string;
  updated_at: string;
  write_protected: boolean;
  archived: boolean;
  attempts: Attempt[];
  marks: { [key: string]: number };
  heartbeat_at?: number | null;
  series?: SeriesInfo[] | null;
}

export interface RunColumns {
  id: string[];
  name: string[];
  kind: string[];
  status: string[];
  created_at: string[];
  updated_at: string[];
  ended_at: (string | null)[];
  tags: string[][];
  notes: (string | null)[];
  archived: boolean[];
  write_protected: boolean[];
  attempts: number[];
  ordinal: number[];
}

export type RunKey = [string, string, string];

export interface RunPatch {
  kind?: "experiment" | "session" | null;
  status?: "CANCELLED" | "COMPLETED" | "FAILED" | "RUNNING" | null;
  description?: string | null;
  tags?: string[] | null;
  bindrs?: string[] | null;
  folder?: string | null;
  metadata?: { [key: string]: Json } | null;
  params?: { [key: string]: Json } | null;
  series?: SeriesMeta[];
  join?: string | null;
  leave?: string | null;
  dead?: string[];
  heartbeat?: string | null;
  write_protected?: boolean | null;
  archived?: boolean | null;
  host?: string | null;
  pid?: number | null;
  at?: number | null;
  first?: { [key: string]: number } | null;
  writer?: string | null;
  seq?: number | null;
}

export interface Runs {
  runs: Run[];
}

export interface SampleColumns {
  start: number[];
  stop: number[];
  x_min: Json[];
  x_max: Json[];
  count: number[];
  nan: number[];
  posinf: number[];
  neginf: number[];
  min: Json[];
  max: Json[];
  argmin: number[];
  argmax: number[];
  first: Json[];
  last: Json[];
  mean: Json[];
}

export interface SampleOf {
  run: string;
  kind: "events" | "logs" | "metrics" | "tracks";
  name: string;
  field: string;
  start?: number;
  stop?: number | null;
  max_points?: number;
  width?: number | null;
}

export interface SamplesAsked {
  series: SampleOf[];
  x?: string | null;
}

export interface SeriesColumn {
  kind: string;
  name: string;
  fields: string[];
  runs: number;
  points: number;
}

export interface SeriesInfo {
  kind: string;
  name: string;
  count: number;
  description?: string | null;
  tags: string[];
  metadata?: { [key: string]: Json } | null;
  last?: { [key: string]: Json } | null;
  first_at?: string | null;
  last_at?: string | null;
  created_at?: string | null;
  updated_at?: string | null;
  chunked: number;
  chunks: number;
}

export interface SeriesList {
  series: SeriesInfo[];
}

export interface SeriesMeta {
  kind: string;
  name: string;
  description?: string | null;
  tags?: string[] | null;
  metadata?: { [key: string]: Json } | null;
}

export interface Session {
  signed_in: boolean;
  asks_for_token: boolean;
  scope: "admin" | "read" | "write" | null;
  namespaces: string[] | null;
  token: string | null;
  version: string;
  place: string;
  instance: string;
}

export interface SignIn {
  token: string;
}

export interface Sparse {
  values: Json[];
  rows?: number[] | null;
}

export interface Summaries {
  values: { [key: string]: Json[] };
}

export interface SummariesAsked {
  runs: string[];
  columns: string[];
}

export interface Table {
  now: number;
  pending: number;
  runs: RunColumns;
  params: { [key: string]: Sparse };
  series: SeriesColumn[];
  columns: { [key: string]: Sparse };
}

export interface Upload {
  offset: number;
  file: FileRecord | null;
}
