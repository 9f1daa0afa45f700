// A JSON file as a tree. One that is too large to be read at once is shown as text, and so is one that is no JSON.
import { useMemo } from "react";
import type { FileRecord, Json } from "../../api/types";
import { bytes } from "../../model/format";
import { parseJson } from "../../model/json";
import { Empty, Skeleton, TroubleNote } from "../../ui";
import { ValueTree } from "../values/ValueTree";
import { TextPreview } from "./TextPreview";
import { useBytes } from "./useBytes";

export const MOST_JSON = 10_000_000;
const MOST_COPY = 2_000_000;

export function JsonPreview({ run, file }: { run: string; file: FileRecord }) {
  if (file.sizeBytes > MOST_JSON) {
    return <TextPreview run={run} file={file} note={`JSON of more than ${bytes(MOST_JSON)} is not opened as a tree: here is its text.`} />;
  }
  return <Opened run={run} file={file} />;
}

function Opened({ run, file }: { run: string; file: FileRecord }) {
  const { part, error, retry } = useBytes(run, file, MOST_JSON, MOST_JSON);
  const read = useMemo((): { value: Json } | { wrong: string } | null => {
    if (!part) return null;
    try {
      return { value: parseJson(part.text.replace(/^\ufeff/, "")) as Json };
    } catch (e) {
      return { wrong: e instanceof Error ? e.message : String(e) };
    }
  }, [part]);
  if (error) return <TroubleNote error={error} what="this file" retry={retry} />;
  if (!part || !read) return <div className="pad"><Skeleton lines={8} /></div>;
  if ("wrong" in read) {
    return file.sizeBytes === 0 ? <Empty icon="file" title="The file is empty" /> : <TextPreview run={run} file={file} note={`This is no JSON that can be read: ${read.wrong.slice(0, 120)}`} />;
  }
  return <ValueTree key={file.id} value={read.value} label={file.filename} copy={part.loaded > MOST_COPY ? null : part.text} />;
}
