import { describe, expect, it } from "vitest";
import { marked, overwritten, plainOf, spansOf } from "../../src/run/logs/ansi";

const ESC = "\u001b";

describe("terminal escapes", () => {
  it("become hues and weights", () => {
    expect(spansOf(`${ESC}[31;1mred${ESC}[0m plain`)).toEqual([
      { text: "red", hue: "red", bold: true, italic: false, underline: false },
      { text: " plain", hue: null, bold: false, italic: false, underline: false },
    ]);
  });
  it("know 256 colours and 24-bit ones, and forget backgrounds", () => {
    expect(spansOf(`${ESC}[38;5;196mx`)[0]?.hue).toBe("red");
    expect(spansOf(`${ESC}[38;2;20;200;30mx`)[0]?.hue).toBe("green");
    expect(spansOf(`${ESC}[48;5;196mx`)[0]?.hue).toBe(null);
    expect(spansOf(`${ESC}[38;5;196;1mx`)[0]?.bold).toBe(true);
  });
  it("leave nothing of links, titles and movements of the cursor", () => {
    expect(plainOf(`${ESC}]8;;http://evil.example${ESC}\\text${ESC}]8;;${ESC}\\`)).toBe("text");
    expect(plainOf(`${ESC}]0;title\u0007a${ESC}[2K${ESC}[1Ab`)).toBe("ab");
    expect(plainOf(`a\u0000b\u0008c${ESC}`)).toBe("abc");
    expect(plainOf(`${ESC}]8;;never closed`)).toBe("");
  });
  it("keep markup as text", () => {
    expect(plainOf(`${ESC}[31m<script>alert(1)</script>`)).toBe("<script>alert(1)</script>");
  });
});

describe("carriage returns", () => {
  it("leave what a terminal shows", () => {
    expect(overwritten("10%\r50%\r100%")).toBe("100%");
    expect(overwritten("a\r\nb\r\n")).toBe("a\nb\n");
    expect(overwritten("10%\r")).toBe("10%");
  });
});

describe("marks", () => {
  const texts = (text: string, search: string) => marked(spansOf(text), search).map((span) => [span.text, span.found]);
  it("are found in any case, more than once", () => {
    expect(texts("Loss and loss", "loss")).toEqual([["Loss", true], [" and ", false], ["loss", true]]);
  });
  it("go across a change of style", () => {
    expect(texts(`lo${ESC}[31mss!`, "loss")).toEqual([["lo", true], ["ss", true], ["!", false]]);
  });
  it("take the search as text, not as an expression", () => {
    expect(texts("a.c abc (x)", "a.c")).toEqual([["a.c", true], [" abc (x)", false]]);
    expect(texts("a (x", "(x")).toEqual([["a ", false], ["(x", true]]);
    expect(texts("a-b/c", "-b/")).toEqual([["a", false], ["-b/", true], ["c", false]]);
  });
});
