// The newest pictures; of a gallery only the last step.
import { useState } from "react";
import type { FileRecord } from "../../api/types";
import { api } from "../../api/client";
import { many } from "../../model/format";
import { follow } from "../../state/url";
import { Icon } from "../../ui";
import { galleriesOf, galleryOf } from "../files/gallery";
import { kindOfFile, pathOf } from "../files/kinds";
import { tabHref } from "../places";

const MOST = 8;

export function NewestPictures({ run, files }: { run: string; files: readonly FileRecord[] }) {
  const galleries = galleriesOf(files);
  const shown = new Set<string>();
  const newest = files
    .filter((file) => kindOfFile(file) === "picture")
    .sort((a, b) => b.uploadedAt.localeCompare(a.uploadedAt))
    .filter((file) => {
      const name = galleryOf(galleries, file)?.gallery.name;
      const key = name === undefined ? pathOf(file) : `${file.path}/${name}`;
      return !shown.has(key) && shown.add(key);
    })
    .slice(0, MOST);
  if (!newest.length) return null;
  return (
    <section>
      <h2>Newest pictures</h2>
      <div className="pictures">
        {newest.map((file) => {
          const steps = galleryOf(galleries, file)?.gallery.steps.length ?? 0;
          const path = pathOf(file);
          return (
            <a key={file.id} className="picture-card" href={tabHref(run, "files", { file: path })} onClick={follow}>
              <Picture key={file.checksum} url={api.fileUrl(run, file.id)} />
              <span title={path}>{path}</span>
              {steps > 1 && <span className="soft">{many(steps, "step")}</span>}
            </a>
          );
        })}
      </div>
    </section>
  );
}

function Picture({ url }: { url: string }) {
  const [broken, setBroken] = useState(false);
  if (broken) return <span className="picture-broken soft"><Icon name="warning" /> cannot be drawn</span>;
  return <img src={url} alt="" loading="lazy" decoding="async" onError={() => setBroken(true)} />;
}
