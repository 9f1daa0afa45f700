// A folder: its pictures to look at, its other files and folders to go on to.
import { useState } from "react";
import type { FileRecord } from "../../api/types";
import { api } from "../../api/client";
import { bytes, count, many } from "../../model/format";
import { follow } from "../../state/url";
import { Button, Icon } from "../../ui";
import type { Folder } from "./folders";
import { type Gallery, galleryOf } from "./gallery";
import { kindOfFile, pathOf } from "./kinds";

const MOST_PICTURES = 48;
const MOST_FILES = 200;

interface Props {
  run: string;
  folder: Folder;
  galleries: ReadonlyMap<string, Gallery>;
  hrefOf: (words: { file?: string; folder?: string }) => string;
}

export function FolderView({ run, folder, galleries, hrefOf }: Props) {
  const [most, setMost] = useState(1);
  const pictures = folder.files.filter((file) => kindOfFile(file) === "picture");
  // Of a gallery the last step stands for all.
  const cards = pictures.flatMap((file): { file: FileRecord; gallery: Gallery | null }[] => {
    const found = galleryOf(galleries, file);
    if (!found) return [{ file, gallery: null }];
    return found.at === found.gallery.steps.length - 1 ? [{ file, gallery: found.gallery }] : [];
  });
  const others = folder.files.filter((file) => kindOfFile(file) !== "picture");
  const shownCards = cards.slice(0, MOST_PICTURES * most);
  const shownOthers = others.slice(0, MOST_FILES * most);
  const more = cards.length - shownCards.length + others.length - shownOthers.length;
  return (
    <div className="folder-view">
      <h2>{folder.path || "All files"}</h2>
      <p className="soft">{many(folder.count, "file")}, {bytes(folder.size)}{folder.folders.length ? ` in ${many(folder.folders.length, "folder")} and here` : ""}</p>
      {folder.folders.length > 0 && (
        <ul className="folder-list">
          {folder.folders.map((one) => (
            <li key={one.path}>
              <Icon name="folder" /> <a href={hrefOf({ folder: one.path })} onClick={follow}>{one.name}</a>
              <span className="soft num">{many(one.count, "file")}, {bytes(one.size)}</span>
            </li>
          ))}
        </ul>
      )}
      {shownCards.length > 0 && (
        <div className="pictures">
          {shownCards.map(({ file, gallery }) => (
            <a key={file.id} className="picture-card" href={hrefOf({ file: pathOf(file) })} onClick={follow}>
              <img src={api.fileUrl(run, file.id)} alt="" loading="lazy" decoding="async" />
              <span title={gallery?.name ?? file.filename}>{gallery?.name ?? file.filename}</span>
              <span className="soft num">{gallery ? `${count(gallery.steps.length)} steps` : bytes(file.sizeBytes)}</span>
            </a>
          ))}
        </div>
      )}
      {shownOthers.length > 0 && (
        <ul className="folder-list">
          {shownOthers.map((file) => (
            <li key={file.id}>
              <Icon name="file" /> <a href={hrefOf({ file: pathOf(file) })} onClick={follow}>{file.filename}</a>
              <span className="soft num">{bytes(file.sizeBytes)}</span>
            </li>
          ))}
        </ul>
      )}
      {more > 0 && <Button onClick={() => setMost(most + 2)}>Show more ({count(more)} left)</Button>}
    </div>
  );
}
