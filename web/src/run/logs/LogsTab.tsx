// The run's log: millions of lines, of which a window is here; its end is followed while one stands there.
import { useCallback, useEffect, useRef, useState } from "react";
import type { Run } from "../../api/types";
import { count } from "../../model/format";
import { setQuery, usePlace } from "../../state/url";
import { Button, Empty, Icon, IconButton, Popover, Segmented, Skeleton, Switch, TroubleNote, useMedia } from "../../ui";
import { type LinesHandle, type Seen, VirtualLines } from "../lines/VirtualLines";
import { type LevelCounts, LEVELS } from "./levels";
import { LogLine } from "./LogLine";
import { LogSearch } from "./LogSearch";
import { MatchingLog } from "./matchingLog";
import type { LogSource } from "./source";
import type { TimeStyle } from "./times";
import { useLogHead, useLogs, useLogTotal } from "./useLogs";
import "./logs.css";

const USUAL_HEIGHT = 23;

export function LogsTab({ run }: { run: Run }) {
  const { query } = usePlace();
  const head = useLogHead(run);
  const total = useLogTotal(run.id, head.data?.total ?? 0);
  const levels = query.getAll("level");
  const search = query.get("find") ?? "";
  const only = query.get("only") === "1" && search !== "";
  const line = query.has("line") ? Number(query.get("line")) : null;
  const logs = useLogs(run.id, head.data ? total : null, { levels, search: only ? search : "", start: line });
  const list = useRef<LinesHandle>(null);
  const seen = useRef<Seen>({ first: 0, last: 0, atStart: true, atEnd: true });
  const [away, setAway] = useState<number | null>(null);

  const narrow = useMedia("(max-width: 760px)");
  const told = query.get("times");
  const style: TimeStyle = told === "date" || told === "since" ? told : "clock";
  const wrap = query.get("wrap") !== "0";
  const choose = useCallback((index: number) => setQuery({ line: String(index) }, { replace: true }), []);
  const onSearch = useCallback((text: string) => setQuery({ find: text || null, ...(text ? {} : { only: null }) }, { replace: true }), []);
  const source = logs?.source;
  const goTo = (index: number) => {
    choose(index);
    if (source) list.current?.show(source.positionOf(index));
  };

  if (head.error) return <TroubleNote error={head.error} what="the log" retry={() => void head.refetch()} />;
  if (!head.data || !logs || !source) return <div className="pad"><Skeleton lines={12} /></div>;
  if (total === 0) {
    return (
      <Empty icon="file" title="No log lines yet">
        <p>They come from <code>experiment.log("…")</code>, or from Python's own logging with <code>LogHandler(experiment)</code>.</p>
      </Empty>
    );
  }
  return (
    <div className={`logs${wrap ? "" : " unwrapped"}`}>
      <div className="log-bar">
        <LogSearch
          run={run.id}
          total={total}
          levels={levels}
          search={search}
          only={only}
          at={() => line ?? source.indexAt(seen.current.atEnd ? seen.current.last : seen.current.first)}
          onSearch={onSearch}
          onOnly={(next) => setQuery({ only: next ? "1" : null })}
          onFound={goTo}
        />
        <LevelFilter levels={levels} counts={logs.counts} complete={sum(logs.counts) >= total} />
        {narrow ? (
          <Popover label="How lines are shown" trigger={(props) => <IconButton icon="settings" label="How lines are shown" {...props} />}>
            {() => <Shown style={style} wrap={wrap} />}
          </Popover>
        ) : (
          <Shown style={style} wrap={wrap} />
        )}
      </div>
      <Found source={source} total={total} />
      <Lines
        key={source instanceof MatchingLog ? `only ${levels.join()} ${search}` : "all"}
        source={source}
        list={list}
        seen={seen}
        line={line}
        search={search}
        times={style}
        begin={head.data.begin}
        onChoose={choose}
        onAway={setAway}
      />
      {away !== null && (
        <div className="log-end">
          <Button
            kind="primary"
            onClick={() => {
              setQuery({ line: null }, { replace: true });
              list.current?.toEnd();
            }}
          >
            <Icon name="sort-down" size={14} /> {source.count > away ? `${count(source.count - away)} new line${source.count - away === 1 ? "" : "s"}` : "To the end"}
          </Button>
        </div>
      )}
    </div>
  );
}

function Shown({ style, wrap }: { style: TimeStyle; wrap: boolean }) {
  return (
    <div className="log-view">
      <Switch checked={wrap} onChange={(on) => setQuery({ wrap: on ? null : "0" })} label="Wrap" />
      <Segmented<TimeStyle>
        value={style}
        onChange={(next) => setQuery({ times: next === "clock" ? null : next })}
        label="Times"
        options={[
          { value: "clock", label: "Time" },
          { value: "date", label: "Date" },
          { value: "since", label: "Since start", title: "Since the run's first line" },
        ]}
      />
    </div>
  );
}

const sum = (counts: LevelCounts): number => [...counts.counts.values()].reduce((a, b) => a + b, 0);

function LevelFilter({ levels, counts, complete }: { levels: readonly string[]; counts: LevelCounts; complete: boolean }) {
  const all = [...LEVELS, ...[...counts.counts.keys()].filter((one) => !(LEVELS as readonly string[]).includes(one))];
  return (
    <div className="log-levels" role="group" aria-label="Levels">
      {all.map((level) => {
        const number = counts.counts.get(level) ?? 0;
        const on = levels.includes(level);
        const told = complete ? `${count(number)} lines` : `${count(number)} in the lines looked at so far`;
        return (
          <button
            key={level}
            type="button"
            className={`log-level-button ${level}`}
            aria-pressed={on}
            title={`${on ? "No longer only" : "Only"} level ${level}: ${told}`}
            onClick={() => setQuery({ level: on ? levels.filter((one) => one !== level) : [...levels, level] })}
          >
            {level} {number > 0 && <span className="num soft">{count(number)}{complete ? "" : "+"}</span>}
          </button>
        );
      })}
      {levels.length > 0 && <Button kind="quiet" size="small" onClick={() => setQuery({ level: null })}>All levels</Button>}
    </div>
  );
}

/** How far the log has been looked through, where only some lines are shown. */
function Found({ source, total }: { source: LogSource; total: number }) {
  const { progress } = source;
  if (source.error) return <TroubleNote error={source.error} what="these lines" retry={() => source.retry()} />;
  if (!progress || !(source instanceof MatchingLog)) return null;
  const looked = progress.to - progress.from;
  const done = looked >= total;
  return (
    <div className="log-progress soft" role="status">
      {done
        ? `${count(source.count)} of ${count(total)} lines match.`
        : `${count(source.count)} lines match in the ${count(looked)} of ${count(total)} looked at${progress.busy || progress.stopped ? "." : "; scroll for more."}`}
      {progress.busy && !done && <progress max={total} value={looked} aria-label="Lines looked at" />}
      {!done && (progress.busy || progress.stopped) && (
        <Button size="small" kind="quiet" onClick={() => source.halt(!progress.stopped)}>{progress.stopped ? "Go on" : "Stop"}</Button>
      )}
    </div>
  );
}

interface LinesProps {
  source: LogSource;
  list: React.RefObject<LinesHandle | null>;
  seen: React.RefObject<Seen>;
  line: number | null;
  search: string;
  times: TimeStyle;
  begin: number;
  onChoose: (index: number) => void;
  onAway: (lines: number | null) => void;
}

function Lines({ source, list, seen, line, search, times, begin, onChoose, onAway }: LinesProps) {
  const { path, query } = usePlace();
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const toggle = useCallback((index: number) => {
    setOpen((now) => {
      const next = new Set(now);
      if (!next.delete(index)) next.add(index);
      return next;
    });
  }, []);
  const words = new URLSearchParams(query);
  words.delete("line");
  const hrefStart = `${path}?${words}&line=`;
  const began = useRef(false);
  useEffect(() => {
    if (began.current || line === null || source.count === 0) return;
    began.current = true;
    list.current?.show(source.positionOf(line));
  });
  useEffect(() => {
    seen.current = { ...seen.current, atEnd: true };
    return () => onAway(null);
  }, [seen, onAway]);

  if (source.count === 0) {
    const { progress } = source;
    if (!progress || progress.busy || progress.to - progress.from < progress.total) {
      source.want(0, 0);
      return <div className="pad">{progress?.stopped ? null : <Skeleton lines={6} />}</div>;
    }
    return <Empty icon="search" title="No line matches" text="Other levels, or another text, may find some." />;
  }
  return (
    <VirtualLines
      ref={list}
      className="log-lines wide"
      role="list"
      label="Log lines"
      count={source.count}
      usual={USUAL_HEIGHT}
      follow
      keyAt={(row) => source.indexAt(row)}
      rowOf={(key) => source.positionOf(Number(key))}
      onSeen={(now) => {
        if (now.atEnd !== seen.current.atEnd) onAway(now.atEnd ? null : source.count);
        seen.current = now;
        source.want(now.first, now.last);
      }}
      render={(row) => {
        const index = source.indexAt(row);
        return (
          <LogLine
            index={index}
            row={source.rowAt(row)}
            search={search}
            times={times}
            begin={begin}
            open={open.has(index)}
            current={index === line}
            href={hrefStart + index}
            onToggle={toggle}
            onChoose={onChoose}
          />
        );
      }}
    />
  );
}
