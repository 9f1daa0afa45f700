// Finds a text in the log, line by line of those that hold it; the server looks, in steps that can be stopped.
import { useEffect, useRef, useState } from "react";
import { count, many } from "../../model/format";
import { Button, Icon, IconButton, Switch, TextInput, toast } from "../../ui";
import { hunt } from "./finder";
import { fetchOf } from "./useLogs";

interface Props {
  run: string;
  total: number;
  levels: readonly string[];
  search: string;
  only: boolean;
  /** The line to go on from. */
  at: () => number;
  onSearch: (search: string) => void;
  onOnly: (only: boolean) => void;
  onFound: (line: number) => void;
}

const TYPING = 300;

export function LogSearch({ run, total, levels, search, only, at, onSearch, onOnly, onFound }: Props) {
  const [text, setText] = useState(search);
  const [scanned, setScanned] = useState<number | null>(null);
  const [said, setSaid] = useState("");
  const going = useRef<AbortController | null>(null);
  const given = useRef(search);

  useEffect(() => {
    // The address changed from elsewhere: back, or a link.
    if (search !== given.current) setText(search);
    given.current = search;
    setSaid("");
  }, [search]);
  useEffect(() => {
    if (text === given.current) return undefined;
    going.current?.abort();
    const timer = window.setTimeout(() => {
      given.current = text;
      onSearch(text);
    }, TYPING);
    return () => window.clearTimeout(timer);
  }, [text, onSearch]);
  useEffect(() => () => going.current?.abort(), [run]);

  const find = async (backward: boolean) => {
    if (!text) return;
    if (text !== search) {
      given.current = text;
      onSearch(text);
    }
    going.current?.abort();
    const mine = new AbortController();
    going.current = mine;
    setScanned(0);
    setSaid("");
    try {
      const found = await hunt(fetchOf(run), { search: text, levels, from: at(), backward, total }, setScanned, mine.signal);
      if (found.index === null) setSaid(levels.length ? "Not found in these levels." : "Not found.");
      else {
        setSaid(found.around ? (backward ? "Went on from the end." : "Went on from the beginning.") : "");
        onFound(found.index);
      }
    } catch (error) {
      if (!mine.signal.aborted) toast(error instanceof Error ? error.message : String(error), { kind: "error" });
    } finally {
      if (going.current === mine) {
        going.current = null;
        setScanned(null);
      }
    }
  };

  return (
    <div className="log-search" role="search">
      <TextInput
        value={text}
        onChange={setText}
        label="Search the log"
        placeholder="Search the log"
        icon="search"
        clearable
        onKeyDown={(event) => {
          if (event.key === "Enter") void find(!event.shiftKey ? false : true);
          if (event.key === "Escape") setText("");
        }}
      />
      <IconButton icon="chevron-up" label="Previous match (Shift+Enter)" disabled={!text} onClick={() => void find(true)} />
      <IconButton icon="chevron-down" label="Next match (Enter)" disabled={!text} onClick={() => void find(false)} />
      {text && <Switch checked={only} onChange={onOnly} label="Only matches" />}
      <span className="log-search-state soft" role="status">
        {scanned !== null ? (
          <>
            {scanned > 0 && `${many(scanned, "line")} of ${count(total)} looked at`}
            <Button size="small" kind="quiet" onClick={() => going.current?.abort()}>
              <Icon name="stop" size={12} /> Stop
            </Button>
          </>
        ) : (
          said
        )}
      </span>
    </div>
  );
}
