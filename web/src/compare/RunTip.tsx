// The run that is pointed at: its name and its values.
import type { RunRow } from "../model/table";
import { RunDot } from "../ui";
import { valueText, type Quantity } from "./quantity";

export interface RunTipProps {
  run: RunRow;
  at: number;
  quantities: readonly Quantity[];
  /** px within the surface, and how wide that is. */
  x: number;
  y: number;
  width: number;
}

export function RunTip({ run, at, quantities, x, y, width }: RunTipProps) {
  const left = x > width / 2;
  return (
    <div className="run-tip" aria-hidden="true" style={{ top: y + 10, ...(left ? { right: width - x + 14 } : { left: x + 14 }) }}>
      <strong><RunDot run={run} /> {run.name}</strong>
      <dl>
        {quantities.map((quantity) => (
          <div key={quantity.reference}>
            <dt>{quantity.label}</dt>
            <dd className="num">{valueText(quantity, at)}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
