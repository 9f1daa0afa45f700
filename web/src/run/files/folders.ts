// A run's files as folders. Pure.
import type { FileRecord } from "../../api/types";
import { natural } from "../../model/natural";
import { pathOf } from "./kinds";

export interface Folder {
  /** "" for the root, "samples/train". */
  path: string;
  name: string;
  folders: Folder[];
  files: FileRecord[];
  /** Bytes and number of all files in it, also deeper. */
  size: number;
  count: number;
}

export type TreeRow =
  | { kind: "folder"; path: string; depth: number; folder: Folder; open: boolean }
  | { kind: "file"; path: string; depth: number; file: FileRecord };

export function treeOf(files: readonly FileRecord[]): Folder {
  const root: Folder = { path: "", name: "", folders: [], files: [], size: 0, count: 0 };
  const known = new Map<string, Folder>([["", root]]);
  const folderOf = (path: string): Folder => {
    const found = known.get(path);
    if (found) return found;
    const cut = path.lastIndexOf("/");
    const made: Folder = { path, name: path.slice(cut + 1), folders: [], files: [], size: 0, count: 0 };
    known.set(path, made);
    folderOf(cut < 0 ? "" : path.slice(0, cut)).folders.push(made);
    return made;
  };
  for (const file of files) {
    const path = pathOf(file);
    const cut = path.lastIndexOf("/");
    folderOf(cut < 0 ? "" : path.slice(0, cut)).files.push(file);
  }
  const sum = (folder: Folder): void => {
    folder.folders.forEach(sum);
    folder.folders.sort((a, b) => natural(a.name, b.name));
    folder.files.sort((a, b) => natural(a.filename, b.filename));
    folder.size = [...folder.folders.map((one) => one.size), ...folder.files.map((one) => one.sizeBytes)].reduce((a, b) => a + b, 0);
    folder.count = folder.folders.reduce((n, one) => n + one.count, folder.files.length);
  };
  sum(root);
  return root;
}

export function folderAt(root: Folder, path: string): Folder | null {
  let at: Folder | undefined = root;
  let gone = "";
  for (const step of path === "" ? [] : path.split("/")) {
    gone = gone ? `${gone}/${step}` : step;
    at = at?.folders.find((one) => one.path === gone);
  }
  return at ?? null;
}

/** The rows of what is open, folders first. `everything`: while one searches, what was found is open. */
export function rowsOfTree(root: Folder, open: ReadonlySet<string>, everything = false): TreeRow[] {
  const rows: TreeRow[] = [];
  const walk = (folder: Folder, depth: number) => {
    for (const one of folder.folders) {
      const shown = everything || open.has(one.path);
      rows.push({ kind: "folder", path: one.path, depth, folder: one, open: shown });
      if (shown) walk(one, depth + 1);
    }
    for (const file of folder.files) rows.push({ kind: "file", path: pathOf(file), depth, file });
  };
  walk(root, 0);
  return rows;
}

/** "a/b/c.png" → ["a", "a/b"]. */
export function foldersAbove(path: string): string[] {
  const steps = path.split("/").slice(0, -1);
  return steps.map((_, i) => steps.slice(0, i + 1).join("/"));
}
