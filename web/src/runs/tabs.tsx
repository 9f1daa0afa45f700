// What stands beside a project's runs: charts, table or comparison, each fetched when it is first shown. Apart from the page, so that the
// first of them can be on its way before the page is.
import { later, Skeleton } from "../ui";

export function Loading() {
  return (
    <div className="project-loading">
      <Skeleton lines={8} height={20} />
    </div>
  );
}

const waiting = () => <Loading />;

export const TABS = {
  charts: later(() => import("./ChartsTab").then((room) => room.ChartsTab), waiting),
  table: later(() => import("./TableView").then((room) => room.TableView), waiting),
  compare: later(() => import("../compare/Compare").then((room) => room.Compare), waiting),
};
