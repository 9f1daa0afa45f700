// A message as it was meant: terminal colours, matches marked, tracebacks with their parts told apart. Always text, never markup.
import { Fragment, memo } from "react";
import { marked, overwritten, spansOf } from "./ansi";

interface Props {
  text: string;
  search: string;
}

const TRACEBACK = /^\s*Traceback \(most recent call last\)/m;
const FILE_LINE = /^\s+File "/;
const ERROR_LINE = /^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning|Iteration)\b/;

export const LogText = memo(function LogText({ text, search }: Props) {
  if (TRACEBACK.test(text)) return <Traceback text={text} search={search} />;
  return <Spans text={text} search={search} />;
});

function Spans({ text, search }: Props) {
  return marked(spansOf(overwritten(text)), search).map((span, i) => {
    const style = [span.hue && `hue-${span.hue}`, span.bold && "bold", span.italic && "italic", span.underline && "underline"];
    const names = style.filter(Boolean).join(" ");
    if (span.found) return <mark key={i} className={names || undefined}>{span.text}</mark>;
    return names ? <span key={i} className={names}>{span.text}</span> : <Fragment key={i}>{span.text}</Fragment>;
  });
}

/** The way to the error is softer than the lines of code, and the error itself is strong. */
export function Traceback({ text, search }: Props) {
  return overwritten(text)
    .replace(/\n$/, "")
    .split("\n")
    .map((line, i) => {
      const name = FILE_LINE.test(line) ? "tb-file" : ERROR_LINE.test(line) ? "tb-error" : "tb-code";
      return (
        <span key={i} className={name}>
          <Spans text={line} search={search} />
          {"\n"}
        </span>
      );
    });
}
