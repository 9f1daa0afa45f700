// The keys and the filter language, on one page.
import { Dialog } from "../ui";
import { SHORTCUTS } from "./keys";
import "./Help.css";

const EXAMPLES: readonly (readonly [string, string])[] = [
  ['status = "FAILED"', "what it is: RUNNING, COMPLETED, FAILED, CANCELLED, LOST"],
  ["params.lr > 0.01 and params.lr <= 0.1", "a parameter between two numbers"],
  ['metrics["train/loss"].value < 0.5', "the last value of a series; names with signs go in brackets"],
  ["metrics.val_loss.value.min < 0.3", "min, max, mean, first, last or count of all its points"],
  ['"best" in tags or name in ["a", "b"]', "one of a list"],
  ["not params.pretrained", "and, or, not, and brackets"],
];

export function Help({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog title="Keys and filters" open={open} onClose={onClose}>
      <table className="help">
        <tbody>
          {SHORTCUTS.map((one) => (
            <tr key={one.keys}>
              <th scope="row">
                {one.keys.split("  ").map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </th>
              <td>{one.does}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3 className="help-head">An expression</h3>
      <dl className="help-words">
        {EXAMPLES.map(([text, meaning]) => (
          <div key={text}>
            <dt className="mono">{text}</dt>
            <dd className="soft">{meaning}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
