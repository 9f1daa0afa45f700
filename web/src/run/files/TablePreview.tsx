// A CSV file as a table: of a long one the beginning, and more when it is asked for.
import { type ReactNode, useMemo } from "react";
import type { FileRecord } from "../../api/types";
import { bytes, many } from "../../model/format";
import { setQuery, usePlace } from "../../state/url";
import { Button, Empty, Segmented, Skeleton, TroubleNote } from "../../ui";
import { VirtualLines } from "../lines/VirtualLines";
import { numericOf, parseCsv, widthsOf } from "./csv";
import { TextPreview } from "./TextPreview";
import { useBytes } from "./useBytes";

const FIRST = 2 * 1024 * 1024;
const MORE = 8 * 1024 * 1024;
const MOST = 64 * 1024 * 1024;
const ROW = 28;
const MOST_COLUMNS = 200;

export function TablePreview({ run, file }: { run: string; file: FileRecord }) {
  const asText = usePlace().query.get("as") === "text";
  const choice = (
    <Segmented
      value={asText ? "text" : "table"}
      onChange={(as) => setQuery({ as: as === "text" ? "text" : null })}
      label="Shown as"
      options={[{ value: "table", label: "Table" }, { value: "text", label: "Text" }]}
    />
  );
  return asText ? <TextPreview run={run} file={file} lead={choice} /> : <Table run={run} file={file} lead={choice} />;
}

function Table({ run, file, lead }: { run: string; file: FileRecord; lead: ReactNode }) {
  const { part, error, busy, more, retry } = useBytes(run, file, FIRST, MORE);
  const read = useMemo(() => {
    if (!part || part.binary) return null;
    const table = parseCsv(part.text, part.whole);
    const widths = widthsOf(table);
    return { table, widths: widths.slice(0, MOST_COLUMNS), numeric: numericOf(table, widths.length), columns: widths.length };
  }, [part]);
  if (error && !part) return <TroubleNote error={error} what="this table" retry={retry} />;
  if (!part) return <div className="pad"><Skeleton lines={8} /></div>;
  if (!read) return <Empty icon="file" title="This is no text" text="It holds bytes that no table of text has." />;
  const { table, widths, numeric, columns } = read;
  if (!table.header.length) return <Empty icon="table" title="The table is empty" />;
  const template = { gridTemplateColumns: `6ch ${widths.map((width) => `${width}ch`).join(" ")}` };
  return (
    <div className="preview">
      <div className="preview-bar">
        {lead}
        <span className="soft num">
          {part.whole ? many(table.rows.length, "row") : `${many(table.rows.length, "row")} in the first ${bytes(part.loaded)} of ${bytes(file.sizeBytes)}`}, {many(columns, "column")}
          {columns > MOST_COLUMNS && `, of which the first ${MOST_COLUMNS} are shown`}
        </span>
        {!part.whole && part.loaded < MOST && <Button size="small" disabled={busy} onClick={more}>{busy ? "Loading …" : "Load more"}</Button>}
        {!part.whole && part.loaded >= MOST && <span className="soft">Download it for the rest.</span>}
        {error && <span className="soft" role="alert">More did not come: {error.message}</span>}
      </div>
      <VirtualLines
        className="csv wide"
        role="table"
        label={`Rows of ${file.filename}`}
        count={table.rows.length}
        usual={ROW}
        uniform
        keyAt={(at) => at}
        header={
          <div className="csv-row head" role="row" style={template}>
            <span role="columnheader" className="csv-number">#</span>
            {widths.map((_, i) => <span key={i} role="columnheader" className={numeric[i] ? "right" : ""} title={table.header[i]}>{table.header[i] ?? ""}</span>)}
          </div>
        }
        render={(at) => (
          <div className="csv-row" role="row" style={template} aria-rowindex={at + 2}>
            <span role="rowheader" className="csv-number num">{at + 1}</span>
            {widths.map((_, i) => {
              const cell = table.rows[at]?.[i] ?? "";
              return <span key={i} role="cell" className={numeric[i] ? "right num" : ""} title={cell.length > 20 ? cell.slice(0, 2000) : undefined}>{cell.slice(0, 300)}</span>;
            })}
          </div>
        )}
      />
    </div>
  );
}
