// What can be shown of a file, told by its name and type. Pure. Nothing is ever shown by letting the browser render a page.
import type { FileRecord } from "../../api/types";

export type FileKind = "picture" | "audio" | "video" | "json" | "table" | "text" | "other";

const PICTURES = new Set(["png", "jpg", "jpeg", "jpe", "gif", "webp", "avif", "bmp", "ico", "svg", "apng"]);
const AUDIO = new Set(["wav", "mp3", "ogg", "oga", "flac", "m4a", "aac", "opus"]);
const VIDEO = new Set(["mp4", "webm", "ogv", "mov", "m4v"]);
const TEXT = new Set(
  ("txt log md rst py pyi ipynb toml yaml yml ini cfg conf env sh bash zsh fish js jsx ts tsx mjs cjs css scss html htm xhtml xml xsl " +
    "c h cc cpp hpp cu cuh rs go java kt swift rb pl r jl lua sql tex bib proto diff patch lock jsonl ndjson dockerfile makefile gitignore")
    .split(" "),
);

export const suffixOf = (name: string): string => /\.([^./]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
export const isSvg = (file: FileRecord): boolean => suffixOf(file.filename) === "svg" || file.contentType.startsWith("image/svg");

export function kindOfFile(file: FileRecord): FileKind {
  const suffix = suffixOf(file.filename);
  const type = file.contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  if (PICTURES.has(suffix)) return "picture";
  if (AUDIO.has(suffix)) return "audio";
  if (VIDEO.has(suffix)) return "video";
  if (suffix === "json" || suffix === "geojson") return "json";
  if (suffix === "csv" || suffix === "tsv") return "table";
  if (TEXT.has(suffix) || TEXT.has(file.filename.toLowerCase())) return "text";
  if (/^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)$/.test(type)) return "picture";
  if (type.startsWith("audio/")) return "audio";
  if (type.startsWith("video/")) return "video";
  if (type === "application/json") return "json";
  if (type === "text/csv" || type === "text/tab-separated-values") return "table";
  if (type.startsWith("text/") || /\b(xml|yaml|toml|javascript)\b/.test(type)) return "text";
  return "other";
}

/** "/samples" + "a.png" → "samples/a.png": what a file is called in the tree and in the address. */
export function pathOf(file: { path: string; filename: string }): string {
  return [...file.path.split("/"), ...file.filename.split("/")].filter((step) => step !== "").join("/");
}
