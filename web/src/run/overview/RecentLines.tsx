// The end of the log, as it grows.
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { Run } from "../../api/types";
import { count } from "../../model/format";
import { follow } from "../../state/url";
import { Skeleton, TroubleNote } from "../../ui";
import { plainOf } from "../logs/ansi";
import { lineTime } from "../logs/times";
import { fetchOf, useLogHead, useLogTotal } from "../logs/useLogs";
import { tabHref } from "../places";

const LINES = 8;
const PAUSE = 1000;

/** `value`, at most once in `ms`. */
function useSeldom<T>(value: T, ms: number): T {
  const [shown, setShown] = useState(value);
  const last = useRef(0);
  useEffect(() => {
    const timer = window.setTimeout(() => {
      last.current = performance.now();
      setShown(value);
    }, Math.max(0, last.current + ms - performance.now()));
    return () => window.clearTimeout(timer);
  }, [value, ms]);
  return shown;
}

export function RecentLines({ run }: { run: Run }) {
  const head = useLogHead(run);
  const total = useSeldom(useLogTotal(run.id, head.data?.total ?? 0), PAUSE);
  const from = Math.max(0, total - LINES);
  const tail = useQuery({
    queryKey: ["log-tail", run.id, total],
    queryFn: ({ signal }) => fetchOf(run.id)({ from, limit: LINES }, signal),
    enabled: total > 0,
    placeholderData: keepPreviousData,
  });
  const error = head.error ?? tail.error;
  return (
    <section>
      <h2>Log</h2>
      {error ? (
        <TroubleNote error={error} what="the log" retry={() => void (head.error ? head.refetch() : tail.refetch())} />
      ) : head.data?.total === 0 && total === 0 ? (
        <p className="soft">No lines yet.</p>
      ) : !tail.data ? (
        <Skeleton lines={4} />
      ) : (
        <>
          <ol className="recent-lines">
            {tail.data.rows.slice(-LINES).map((row) => (
              <li key={row.index} className={`level-${row.level}`}>
                <a href={tabHref(run.id, "logs", { line: String(row.index) })} onClick={follow} className="num" title={row.timestamp}>{lineTime(row.timestamp, "clock", 0).slice(0, 8)}</a>
                <span className={`log-word ${row.level}`}>{row.level}</span>
                <span className="recent-text">{plainOf(row.message).slice(0, 500)}</span>
              </li>
            ))}
          </ol>
          <p><a href={tabHref(run.id, "logs")} onClick={follow}>{total > LINES ? `All ${count(total)} lines` : "Open the log"}</a></p>
        </>
      )}
    </section>
  );
}
