// Whether the server sends what api/types.ts says, and takes what the page sends: held against schema.ts, which is made of the
// server's own OpenAPI document. A difference is an error of the type checker in this file. Types only; nothing imports it.
import type * as server from "./schema";
import type * as page from "./types";

/** An error where what is sent is not what is expected. */
type Fits<Sent extends Expected, Expected> = Sent;

/** T with words of any kind where it knows only some: the document says no more of kinds and shown statuses than that they are text. */
type Worded<T> = page.Json extends T ? T : T extends string ? string : T extends object ? { [K in keyof T]: Worded<T[K]> } : T;

export type Answers = [
  Fits<server.Session, page.Session>,
  Fits<server.Project, page.Project>,
  Fits<server.Table, Worded<page.TableAnswer>>,
  Fits<server.Run, page.Run>,
  Fits<server.SeriesInfo, Worded<page.SeriesInfo>>,
  Fits<server.FileRecord, page.FileRecord>,
];

export type Requests = [
  Fits<page.RunPatch, server.RunPatch>,
  // All fields of a patch may be left out: a wrong name would fit.
  Fits<keyof page.RunPatch, keyof server.RunPatch>,
];
