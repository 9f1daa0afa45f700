// One file: what it is, and what it looks like. It is never shown by letting the browser render it as a page.
import type { FileRecord } from "../../api/types";
import { api } from "../../api/client";
import { ago, bytes, moment } from "../../model/format";
import { follow } from "../../state/url";
import { CopyButton, Empty, Icon } from "../../ui";
import { asJson } from "../values/params";
import { JsonPreview } from "./JsonPreview";
import type { Gallery } from "./gallery";
import { kindOfFile, pathOf } from "./kinds";
import { PicturePreview } from "./PicturePreview";
import { TablePreview } from "./TablePreview";
import { TextPreview } from "./TextPreview";

interface Props {
  run: string;
  file: FileRecord;
  now: number;
  gallery: { gallery: Gallery; at: number } | null;
  /** The address of the list, on a page that has no room for both. */
  back: string;
}

export function FileView({ run, file, now, gallery, back }: Props) {
  return (
    <article className="file-view" aria-label={file.filename}>
      <header className="file-head">
        <a className="file-back" href={back} onClick={follow}><Icon name="chevron-left" /> Files</a>
        <div className="file-title">
          <h2 title={pathOf(file)}>{file.filename}</h2>
          <a className="file-download" href={api.fileUrl(run, file.id)} download={file.filename.split("/").at(-1)}>
            <Icon name="download" /> Download
          </a>
        </div>
        <div className="file-facts soft">
          <span className="num">{bytes(file.sizeBytes)}</span>
          <span>{file.contentType}</span>
          <span title={moment(file.uploadedAt)}>saved {ago(file.uploadedAt, now)}</span>
          <span className="checksum" title={`sha256 ${file.checksum}`}>sha256 <span className="mono">{file.checksum.slice(0, 12)}…</span><CopyButton text={file.checksum} label="Copy the sha256" /></span>
          {file.tags.map((tag) => <span key={tag} className="chip tag" title={tag}><span className="tag-text">{tag}</span></span>)}
        </div>
        {file.description && <p className="file-description">{file.description}</p>}
        {file.metadata && Object.keys(file.metadata).length > 0 && (
          <details className="file-metadata">
            <summary>Metadata</summary>
            <pre tabIndex={0}>{asJson(file.metadata)}</pre>
          </details>
        )}
      </header>
      <div className="file-body"><Preview run={run} file={file} gallery={gallery} /></div>
    </article>
  );
}

function Preview({ run, file, gallery }: Pick<Props, "run" | "file" | "gallery">) {
  const url = api.fileUrl(run, file.id);
  switch (kindOfFile(file)) {
    case "picture": return <PicturePreview run={run} file={file} gallery={gallery} />;
    case "json": return <JsonPreview key={file.id} run={run} file={file} />;
    case "table": return <TablePreview key={file.id} run={run} file={file} />;
    case "text": return <TextPreview key={file.id} run={run} file={file} />;
    case "audio": return <div className="media"><audio key={file.id} controls preload="metadata" src={url} aria-label={file.filename} /></div>;
    case "video": return <div className="media"><video key={file.id} controls preload="metadata" src={url} aria-label={file.filename} /></div>;
    case "other": return <Empty icon="file" title="No preview of this kind of file" text="Download it to open it elsewhere; in Python, run.file(file_id=…).download() also checks its checksum." />;
  }
}
