// How many of the runs are drawn, said openly, with what to do for more or fewer.
import { count } from "../model/format";
import { setView, USUAL_RUNS } from "../state/view";
import { Button, Icon, Menu, type MenuItem } from "../ui";
import type { Chosen } from "./chosen";
import { drawMatching, drawNewest, drawOnly, MOST_DRAWN } from "./drawing";
import type { ProjectModel } from "./useProject";
import "./DrawnLine.css";

export function DrawnLine({ model, chosen }: { model: ProjectModel; chosen: Chosen }) {
  const { runs, drawn, view, hiddenDrawn, archivedCount } = model;
  const usual = Math.min(USUAL_RUNS, runs.length);
  const most = Math.min(MOST_DRAWN, runs.length);
  const filtered = view.search.trim() !== "" || view.filter.trim() !== "";
  const items: MenuItem[] = [
    { label: usual === runs.length ? `Draw all ${count(usual)}` : `Draw the newest ${count(usual)}`, icon: "eye", onSelect: drawNewest },
  ];
  if (runs.length > USUAL_RUNS) {
    const which = filtered ? "that match" : view.sort ? "of this order" : "newest";
    items.push({
      label: runs.length <= MOST_DRAWN ? `Draw all ${count(most)}${filtered ? " that match" : ""}` : `Draw the first ${count(most)} ${which}`,
      icon: "chart",
      onSelect: () => drawMatching(model),
    });
  }
  if (chosen.ids.size) {
    items.push({ label: `Draw only the ${count(chosen.ids.size)} chosen`, icon: "check", onSelect: () => drawOnly([...chosen.ids].slice(0, MOST_DRAWN)) });
  }
  items.push({ label: "Draw none", icon: "eye-off", onSelect: () => drawOnly([]), disabled: drawn.length === 0 });
  items.push({
    label: archivedCount ? `Show the archived (${count(archivedCount)})` : "Show the archived",
    checked: view.archived,
    separatorBefore: true,
    onSelect: () => setView({ archived: !view.archived }),
  });

  return (
    <div className="drawn-line">
      <Menu
        label="Which runs are drawn"
        items={items}
        trigger={(props) => (
          <Button {...props} kind="quiet" size="small" title="Which runs are drawn">
            <span className="num">
              <strong>{count(drawn.length)}</strong> of {count(runs.length)} drawn
            </span>
            <Icon name="chevron-down" size={14} />
          </Button>
        )}
      />
      {hiddenDrawn > 0 && (
        <span className="drawn-line-note" title="They were chosen to be drawn, and the search, the filter or the archive leaves them out">
          {count(hiddenDrawn)} left out by the filter
        </span>
      )}
      {!view.archived && archivedCount > 0 && !hiddenDrawn && (
        <button type="button" className="drawn-line-note link" onClick={() => setView({ archived: true })}>
          {count(archivedCount)} archived
        </button>
      )}
    </div>
  );
}
