import { describe, expect, it } from "vitest";
import { literal } from "../../src/runs/completion";
import { csvOf, jsonOf } from "../../src/runs/csv";
import { cut, whole } from "../../src/model/format";
import { jsonText, parseJson } from "../../src/model/json";
import { numberOf } from "../../src/model/table";
import { asJson, asPython, asYaml, compared } from "../../src/run/values/params";
import type { Json } from "../../src/api/types";

const SEED = "12345678901234567890";

describe("JSON", () => {
  it("keeps every digit of a whole number, wherever it stands", () => {
    for (const text of [SEED, `-${SEED}`, ` ${SEED}\n`, `[${SEED}]`, `{"a":${SEED},"b":[1,${SEED}9]}`, "9007199254740993"]) {
      expect(jsonText(parseJson(text) as Json)).toBe(text.trim());
    }
    expect(parseJson(`{"seed":${SEED}}`)).toEqual({ seed: 12345678901234567890n });
  });
  it("is JSON.parse's otherwise", () => {
    for (const text of ['[1,2.5,1e300,"x"]', "9007199254740991", `[0.1234567890123456789,1${"0".repeat(18)}.5,12345678901234567e3]`, `{"__proto__":{"a":[${SEED}.5]}}`]) {
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }
    expect(() => parseJson(`[${SEED}`)).toThrow(SyntaxError);
    expect(() => parseJson(`[${SEED},"x]`)).toThrow(SyntaxError);
    expect(() => parseJson(`[0${SEED}]`)).toThrow(SyntaxError);
  });
  it("leaves digits in quotes alone", () => {
    const told = { [`a: ${SEED}, `]: `"[${SEED}]\\`, b: `\\", ${SEED} ` };
    const text = JSON.stringify([told]).replace(/\]$/, `,${SEED}]`);
    expect(parseJson(text)).toEqual([told, 12345678901234567890n]);
    expect(jsonText(parseJson(text) as Json)).toBe(text);
  });
});

describe("a long whole number", () => {
  const seed = parseJson(SEED) as Json;
  it("is shown, exported, copied and proposed as it is", () => {
    expect([whole(seed as bigint), literal(seed), asPython({ seed }), asYaml({ seed })]).toEqual([SEED, SEED, `{\n    "seed": ${SEED},\n}`, `seed: ${SEED}\n`]);
    expect(asJson({ seed })).toBe(`{\n  "seed": ${SEED}\n}`);
    expect(csvOf({ columns: ["seed"], rows: [[seed]] })).toBe(`seed\r\n${SEED}\r\n`);
    expect(jsonOf({ columns: ["seed"], rows: [[seed], [undefined]] })).toContain(`"seed": ${SEED}`);
  });
  it("is a number among others", () => {
    expect(numberOf(seed)).toBe(Number(SEED));
    expect(compared({ seed }, { seed: parseJson("12345678901234567891") as Json })[0]?.difference).toBe("changed");
  });
});

describe("cut", () => {
  it("leaves short texts and no half characters", () => {
    expect([cut("abc", 3), cut("abcd", 3), cut("ab😀", 3)]).toEqual(["abc", "abc…", "ab…"]);
  });
});
