// A chart as a table: the same numbers for who does not look at pictures.
import { useMemo } from "react";
import { count, short, whole } from "../model/format";
import { Button, Dialog } from "../ui";
import type { Chart } from "./chart";
import { COLUMNS, rowsOf, type Row } from "./export/csv";

const MOST_ROWS = 500;
const TITLES: Partial<Record<(typeof COLUMNS)[number], string>> = {
  run: "Run", first_index: "First index", last_index: "Last index", x_from: "x from", x_to: "x to", mean: "Mean", min: "Min", max: "Max",
  index_of_min: "Index of min", index_of_max: "Index of max", nan: "NaN", inf: "∞", neg_inf: "−∞",
};

export interface TableDialogProps {
  chart: Chart;
  title: string;
  caption: string;
  onClose: () => void;
  onSave: () => void;
}

export function TableDialog({ chart, title, caption, onClose, onSave }: TableDialogProps) {
  const { rows, total } = useMemo(() => {
    const found: Row[] = [];
    let all = 0;
    for (const row of chart.frame ? rowsOf(chart.lines, chart.frame.x.min, chart.frame.x.max) : []) {
      all += 1;
      if (found.length < MOST_ROWS) found.push(row);
    }
    return { rows: found, total: all };
  }, [chart]);
  const byIndex = chart.drawn?.x.by === "index";
  const columns = COLUMNS.map((name, i) => ({ title: TITLES[name], i })).filter(
    ({ title: said, i }) => said && !(byIndex && (COLUMNS[i] === "x_from" || COLUMNS[i] === "x_to")) && (i < 11 || rows.some((row) => row[i])),
  );
  return (
    <Dialog title={title} open onClose={onClose} actions={<Button onClick={onSave}>Save as CSV</Button>}>
      <p className="soft">
        {caption}. {total > rows.length ? `The first ${count(rows.length)} of ${count(total)} rows; the CSV has all.` : `${count(total)} rows.`}
      </p>
      <div className="panel-table" tabIndex={0} role="region" aria-label={`Values of ${title}`}>
        <table>
          <thead>
            <tr>{columns.map((column) => <th key={column.i} scope="col">{column.title}</th>)}</tr>
          </thead>
          <tbody>
            {rows.map((row, at) => (
              <tr key={at}>
                {columns.map(({ i }) => <Cell key={i} value={row[i] ?? ""} />)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Dialog>
  );
}

function Cell({ value }: { value: string | number }) {
  if (typeof value === "string") return <td>{value}</td>;
  return <td className="num" title={whole(value)}>{Number.isNaN(value) ? "–" : short(value, 6)}</td>;
}
