// A group's heading in the table: how many runs, and the means of their numbers.
import { count, duration, many, short, whole } from "../model/format";
import { Icon } from "../ui";
import type { Chosen } from "./chosen";
import { mean, type RunGroup } from "./groups";
import { needs } from "./references";
import { toggleGroup } from "./RunList";
import type { PlacedColumn } from "./TableGrid";
import type { ProjectModel } from "./useProject";

export interface GroupRowProps {
  model: ProjectModel;
  chosen: Chosen;
  line: { group: RunGroup; open: boolean };
  index: number;
  top: number;
  height: number;
  placed: readonly PlacedColumn[];
  nameWidth: number;
  width: number;
}

export function GroupRow({ model, chosen, line, index, top, height, placed, nameWidth, width }: GroupRowProps) {
  const { group, open } = line;
  const ids = group.runs.map((run) => run.id);
  const all = ids.every((id) => chosen.ids.has(id));
  const some = !all && ids.some((id) => chosen.ids.has(id));
  return (
    <div role="row" aria-rowindex={index + 2} className="grid-row group" style={{ top, height, width }}>
      <div role="rowheader" aria-colindex={1} className="grid-name" style={{ width: nameWidth }}>
        <input
          type="checkbox"
          checked={all}
          ref={(box) => {
            if (box) box.indeterminate = some;
          }}
          aria-label={`Choose the runs of ${group.name}`}
          onChange={() => chosen.set(all ? [...chosen.ids].filter((id) => !ids.includes(id)) : [...chosen.ids, ...ids])}
        />
        <button type="button" className="run-group-name" aria-expanded={open} onClick={() => toggleGroup(model, group)} title={group.name}>
          <Icon name={open ? "chevron-down" : "chevron-right"} size={14} />
          <span>{group.name}</span>
        </button>
        <span className="soft num">{count(ids.length)}</span>
      </div>
      {placed.map(({ column, at, left, width: wide }) => {
        const known = needs(column.id) !== "summary" || group.runs.every((run) => model.summaries.knows(run.id, column.id));
        const value = column.numeric && known ? mean(group.runs.map(column.value)) : undefined;
        return (
          <div
            key={column.id}
            role="cell"
            aria-colindex={at + 2}
            className={`grid-cell${column.numeric ? " number" : ""}`}
            style={{ left, width: wide }}
            title={value === undefined ? undefined : `Mean of ${many(ids.length, "run")}: ${whole(value)}`}
          >
            {value !== undefined && (
              <>
                <span className="grid-mean">
                  <span aria-hidden="true">⌀</span>
                  <span className="visually-hidden">mean </span>
                </span>
                {column.id === "duration" ? duration(value) : short(value)}
              </>
            )}
          </div>
        );
      })}
    </div>
  );
}
