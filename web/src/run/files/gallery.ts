// Pictures of one thing at many steps: those of a folder whose names differ by their last number. Pure.
import type { FileRecord } from "../../api/types";
import { kindOfFile, pathOf } from "./kinds";

export interface Gallery {
  /** The names with "*" in place of the number. */
  name: string;
  steps: { step: number; file: FileRecord }[];
}

const NUMBERED = /^(.*?)(\d{1,15})(\D*)$/;

function stemOf(file: FileRecord): { key: string; name: string; step: number } | null {
  const cut = file.filename.lastIndexOf(".");
  const stem = cut > 0 ? file.filename.slice(0, cut) : file.filename;
  const found = NUMBERED.exec(stem);
  // The last number counts: "run2_step_100" is step 100 of run 2.
  const last = /\d{1,15}(?=\D*$)/.exec(stem);
  if (!found || !last) return null;
  const name = `${stem.slice(0, last.index)}*${stem.slice(last.index + last[0].length)}${cut > 0 ? file.filename.slice(cut) : ""}`;
  return { key: pathOf({ path: file.path, filename: name }), name, step: Number(last[0]) };
}

/** Galleries of two pictures or more, by their names, each in order of its steps. */
export function galleriesOf(files: readonly FileRecord[]): Map<string, Gallery> {
  const found = new Map<string, Gallery>();
  for (const file of files) {
    const stem = kindOfFile(file) === "picture" ? stemOf(file) : null;
    if (!stem) continue;
    const gallery = found.get(stem.key) ?? { name: stem.name, steps: [] };
    gallery.steps.push({ step: stem.step, file });
    found.set(stem.key, gallery);
  }
  for (const [key, gallery] of found) {
    if (gallery.steps.length < 2) found.delete(key);
    gallery.steps.sort((a, b) => a.step - b.step);
  }
  return found;
}

/** The gallery that a picture is part of, and its place there. */
export function galleryOf(galleries: ReadonlyMap<string, Gallery>, file: FileRecord): { gallery: Gallery; at: number } | null {
  const stem = stemOf(file);
  const gallery = stem && galleries.get(stem.key);
  const at = gallery ? gallery.steps.findIndex((one) => one.file.id === file.id) : -1;
  return gallery && at >= 0 ? { gallery, at } : null;
}
