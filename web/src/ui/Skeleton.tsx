// A place that is being filled.
import "./Skeleton.css";

export function Skeleton({ lines = 1, height = 14 }: { lines?: number | undefined; height?: number | undefined }) {
  return (
    <div className="ui-skeleton" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} style={{ height, width: lines > 1 ? `${96 - ((i * 37) % 40)}%` : "100%" }} />
      ))}
    </div>
  );
}
