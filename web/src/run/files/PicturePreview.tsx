// A picture, and where it is one of many steps of the same thing, a slider over them.
import { useEffect, useId, useState } from "react";
import type { FileRecord } from "../../api/types";
import { api } from "../../api/client";
import { count } from "../../model/format";
import { setQuery, usePlace } from "../../state/url";
import { Empty, IconButton, Segmented } from "../../ui";
import type { Gallery } from "./gallery";
import { isSvg, pathOf } from "./kinds";
import { TextPreview } from "./TextPreview";

interface Props {
  run: string;
  file: FileRecord;
  gallery: { gallery: Gallery; at: number } | null;
}

type Shown = "fit" | "actual" | "text";

export function PicturePreview({ run, file, gallery }: Props) {
  const { query } = usePlace();
  const svg = isSvg(file);
  const told = query.get("as");
  const shown: Shown = told === "actual" || (told === "text" && svg) ? told : "fit";
  const [state, setState] = useState<{ id: string; size: string | null } | null>(null);
  const size = state?.id === file.id ? state.size : undefined;
  return (
    <div className="preview">
      <div className="preview-bar">
        <Segmented<Shown>
          value={shown}
          onChange={(as) => setQuery({ as: as === "fit" ? null : as })}
          label="Shown as"
          options={[{ value: "fit", label: "Fit" }, { value: "actual", label: "Actual size" }, ...(svg ? [{ value: "text" as const, label: "Text" }] : [])]}
        />
        {size && <span className="soft num">{size}</span>}
        {gallery && <Steps run={run} gallery={gallery.gallery} at={gallery.at} />}
      </div>
      {shown === "text" ? (
        <div className="preview-rest"><TextPreview run={run} file={file} /></div>
      ) : size === null ? (
        <Empty icon="warning" title="The picture cannot be drawn" text="Its bytes may be damaged, or of a kind that this browser does not know. Download it to look at it elsewhere." />
      ) : (
        <div className={`picture ${shown}`} tabIndex={0} role="region" aria-label="Picture">
          <img
            src={api.fileUrl(run, file.id)}
            alt={file.description || `The picture ${pathOf(file)}`}
            onLoad={(event) => setState({ id: file.id, size: `${count(event.currentTarget.naturalWidth)} × ${count(event.currentTarget.naturalHeight)}` })}
            onError={() => setState({ id: file.id, size: null })}
          />
        </div>
      )}
    </div>
  );
}

/** Neighbours of the step are fetched before they are asked for, so that sliding shows them at once. */
const AHEAD = 3;

function Steps({ run, gallery, at }: { run: string; gallery: Gallery; at: number }) {
  const id = useId();
  const { steps } = gallery;
  useEffect(() => {
    const kept = steps.slice(Math.max(0, at - AHEAD), at + AHEAD + 1).map((one) => {
      const picture = new Image();
      picture.src = api.fileUrl(run, one.file.id);
      return picture;
    });
    return () => kept.forEach((picture) => (picture.onload = null));
  }, [run, steps, at]);
  const go = (to: number) => {
    const next = steps[to];
    if (next) setQuery({ file: pathOf(next.file) }, { replace: true });
  };
  return (
    <div className="steps">
      <IconButton icon="chevron-left" label="Step before" disabled={at === 0} onClick={() => go(at - 1)} />
      <label htmlFor={id} className="visually-hidden">Step of {gallery.name}</label>
      <input id={id} type="range" min={0} max={steps.length - 1} value={at} aria-valuetext={`step ${steps[at]?.step ?? 0}`} onChange={(event) => go(Number(event.target.value))} />
      <IconButton icon="chevron-right" label="Step after" disabled={at === steps.length - 1} onClick={() => go(at + 1)} />
      <span className="num">step {count(steps[at]?.step ?? 0)}</span>
      <span className="soft num">{at + 1} of {count(steps.length)}</span>
    </div>
  );
}
