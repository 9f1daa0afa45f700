// A text, line by line; of a long one the beginning, and more when it is asked for. Whatever it says, it is shown as text.
import { type ReactNode, useMemo } from "react";
import type { FileRecord } from "../../api/types";
import { bytes, count, many } from "../../model/format";
import { setQuery, usePlace } from "../../state/url";
import { Button, CopyButton, Empty, Skeleton, Switch, TroubleNote } from "../../ui";
import { VirtualLines } from "../lines/VirtualLines";
import { useBytes } from "./useBytes";

const FIRST = 256 * 1024;
const MORE = 1024 * 1024;
const MOST = 64 * 1024 * 1024;
const LINE = 19;
const MOST_LINE = 20_000;

export function TextPreview({ run, file, note, lead }: { run: string; file: FileRecord; note?: string; lead?: ReactNode }) {
  const { part, error, busy, more, retry } = useBytes(run, file, FIRST, MORE);
  const wrap = usePlace().query.get("wrap") !== "0";
  const lines = useMemo(() => (part?.text ?? "").replace(/\r\n?/g, "\n").replace(/\n$/, "").split("\n"), [part]);
  if (error && !part) return <TroubleNote error={error} what="this file" retry={retry} />;
  if (!part) return <div className="pad"><Skeleton lines={10} /></div>;
  if (part.binary) return <Empty icon="file" title="This is no text" text="It holds bytes that no text has. Download it to open it elsewhere." />;
  if (file.sizeBytes === 0) return <Empty icon="file" title="The file is empty" />;
  return (
    <div className="preview">
      <div className="preview-bar">
        {lead}
        {note && <span className="soft">{note}</span>}
        <span className="soft num">{part.whole ? many(lines.length, "line") : `The first ${bytes(part.loaded)} of ${bytes(file.sizeBytes)}`}</span>
        {!part.whole && part.loaded < MOST && <Button size="small" disabled={busy} onClick={more}>{busy ? "Loading …" : `Show ${bytes(Math.min(MORE, file.sizeBytes - part.loaded))} more`}</Button>}
        {!part.whole && part.loaded >= MOST && <span className="soft">Download it for the rest.</span>}
        {error && <span className="soft" role="alert">More did not come: {error.message}</span>}
        <span className="push" />
        <Switch checked={wrap} onChange={(on) => setQuery({ wrap: on ? null : "0" })} label="Wrap" />
        <CopyButton text={part.text} label={part.whole ? "Copy the text" : "Copy what is shown"} />
      </div>
      <VirtualLines
        key={file.id}
        className={`text-lines${wrap ? "" : " wide unwrapped"}`}
        label={`Text of ${file.filename}`}
        role="region"
        count={lines.length}
        usual={LINE}
        uniform={!wrap}
        keyAt={(at) => at}
        render={(at) => (
          <div className="text-line">
            <span className="text-number num" aria-hidden="true">{at + 1}</span>
            <span className="text-code">{cut(lines[at] ?? "")}</span>
          </div>
        )}
      />
    </div>
  );
}

const cut = (line: string): string => (line.length > MOST_LINE ? `${line.slice(0, MOST_LINE)} … ${count(line.length - MOST_LINE)} more letters in this line` : line || " ");
