// A run's files: a tree of them, and beside it the one that is looked at.
import { useDeferredValue, useMemo, useState } from "react";
import type { Run } from "../../api/types";
import { bytes, count } from "../../model/format";
import { navigate, setQuery, usePlace } from "../../state/url";
import { Empty, Icon, IconButton, Skeleton, TextInput, TroubleNote } from "../../ui";
import { type Among, useFiles } from "../useRun";
import { Tree } from "../values/Tree";
import { FileView } from "./FileView";
import { folderAt, foldersAbove, rowsOfTree, treeOf } from "./folders";
import { FolderView } from "./FolderView";
import { galleriesOf, galleryOf } from "./gallery";
import { pathOf } from "./kinds";
import "../overview/overview.css";
import "./files.css";

export function FilesTab({ run, among }: { run: Run; among: Among }) {
  const asked = useFiles(run.id, among.status === "RUNNING");
  const { path, query } = usePlace();
  const chosen = query.get("file") ?? "";
  const search = query.get("find") ?? "";
  const sought = useDeferredValue(search.trim().toLowerCase());
  const files = asked.data;
  const file = useMemo(() => files?.find((one) => pathOf(one) === chosen), [files, chosen]);
  const root = useMemo(() => treeOf(files ?? []), [files]);
  const galleries = useMemo(() => galleriesOf(files ?? []), [files]);
  const found = useMemo(
    () => (sought ? treeOf((files ?? []).filter((one) => [pathOf(one), one.description ?? "", ...one.tags].join(" ").toLowerCase().includes(sought))) : root),
    [files, root, sought],
  );

  if (asked.error && !files) return <TroubleNote error={asked.error} what="the files" retry={() => void asked.refetch()} />;
  if (!files) return <div className="pad"><Skeleton lines={8} /></div>;
  if (!files.length) {
    const call = run.kind === "session" ? `session.files().upload("model.pt")` : `experiment.file("model.pt").save()`;
    return <Empty icon="folder" title="No files"><p>Keep some: <code>{call}</code>, <code>save_fig</code>, <code>save_image</code>, <code>save_json</code> …</p></Empty>;
  }
  const folder = query.get("folder") ?? "";
  const hrefOf = (words: { file?: string; folder?: string }): string => {
    const next = new URLSearchParams(query);
    for (const name of ["file", "folder", "as"]) next.delete(name);
    for (const [name, value] of Object.entries(words)) if (value) next.set(name, value);
    return `${path}?${next}`;
  };
  const here = folderAt(root, folder);
  return (
    <div className={`files${chosen || folder ? " chosen" : ""}`}>
      <div className="file-list">
        <div className="file-search">
          <TextInput value={search} onChange={(text) => setQuery({ find: text || null }, { replace: true })} label="Search files" placeholder="Search files" icon="search" clearable />
          <IconButton icon="refresh" label="Look for new files" onClick={() => void asked.refetch()} />
        </div>
        {found.count ? (
          <FileRows key={sought ? "found" : "all"} rows={found} everything={sought !== ""} chosen={chosen || folder} hrefOf={hrefOf} />
        ) : (
          <Empty icon="search" title="No file has this in its path, description or tags" />
        )}
        <p className="file-sum soft num">{sought ? `${count(found.count)} of ` : ""}{count(files.length)} files, {bytes(root.size)}</p>
      </div>
      <div className="file-pane">
        {file ? (
          <FileView run={run.id} file={file} now={among.now} gallery={galleryOf(galleries, file)} back={hrefOf({})} />
        ) : chosen ? (
          <Empty icon="search" title="There is no such file" text="It may have been deleted, or replaced under another name." />
        ) : here ? (
          <FolderView key={folder} run={run.id} folder={here} galleries={galleries} hrefOf={hrefOf} />
        ) : (
          <Empty icon="search" title="There is no such folder" text="Its files may have been deleted." />
        )}
      </div>
    </div>
  );
}

/** With no more files than this, all folders begin open. */
const FEW = 30;

interface RowsProps {
  rows: ReturnType<typeof treeOf>;
  everything: boolean;
  chosen: string;
  hrefOf: (words: { file?: string; folder?: string }) => string;
}

function FileRows({ rows: root, everything, chosen, hrefOf }: RowsProps) {
  const [open, setOpen] = useState<ReadonlySet<string>>(() => {
    const above = [...foldersAbove(chosen), chosen];
    const few = root.count <= FEW ? rowsOfTree(root, new Set(), true).filter((row) => row.kind === "folder").map((row) => row.path) : [];
    return new Set([...above, ...few]);
  });
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => {
    // While one searches, what was found is open, but for what is closed by hand.
    const all = rowsOfTree(root, open, everything);
    const shown = everything ? all.filter((row) => !foldersAbove(row.path).some((one) => closed.has(one))) : all;
    return shown.map((row) => ({ ...row, key: row.path, open: row.kind === "folder" ? (everything ? !closed.has(row.path) : row.open) : null }));
  }, [root, open, everything, closed]);
  const toggle = (row: { path: string }) => {
    const flip = (now: ReadonlySet<string>) => {
      const next = new Set(now);
      if (!next.delete(row.path)) next.add(row.path);
      return next;
    };
    if (everything) setClosed(flip);
    else setOpen(flip);
  };
  return (
    <div className="value-rows">
      <Tree
        label="Files"
        rows={rows}
        picked={chosen}
        onToggle={toggle}
        onPick={(row) => {
          if (row.kind === "folder" && !row.open) toggle(row);
          navigate(hrefOf(row.kind === "file" ? { file: row.path } : { folder: row.path }));
        }}
        render={(row) => (
          <>
            <Icon name={row.kind === "folder" ? "folder" : "file"} size={14} />
            <span className="file-name" title={row.path}>{row.kind === "folder" ? row.folder.name : row.file.filename}</span>
            <span className="file-size soft num">{row.kind === "folder" ? count(row.folder.count) : bytes(row.file.sizeBytes)}</span>
          </>
        )}
      />
    </div>
  );
}

