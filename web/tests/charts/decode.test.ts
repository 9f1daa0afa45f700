import { describe, expect, test } from "vitest";
import { FrameDecoder, type Frame } from "../../src/charts/data/decode";

const text = new TextEncoder();

function bytes(...parts: (string | number[])[]): Uint8Array {
  const made = parts.map((part) => (typeof part === "string" ? text.encode(part) : new Uint8Array(Float64Array.from(part).buffer)));
  return Uint8Array.from(made.flatMap((part) => [...part]));
}

const whole = bytes(
  '{"at":0,"n":2,"total":200,"start":0,"stop":200,"width":100,"columns":["start","min","max","mean","argmin","argmax"]}\n',
  [0, 100, 1, 2, 8, 9, 3, 4, 50, 150, 60, 160],
  '{"at":1,"error":"NotFound","message":"there is no series"}\n',
  '{"at":2,"n":3,"total":3,"start":0,"stop":3,"width":1,"exact":true,"columns":["start","x_min","min","nan"]}\n',
  [0, 1, 2, 10, 11, 12, 0.5, NaN, 0.25, 0, 1, 0],
  '{"at":3,"n":0,"total":0,"start":0,"stop":0,"width":1,"columns":["start","min"]}\n',
);

function check(frames: Frame[]): void {
  expect(frames.map(({ at }) => at)).toEqual([0, 1, 2, 3]);
  const [first, second, third, fourth] = frames;
  expect([...(first?.sample?.max ?? [])]).toEqual([8, 9]);
  expect([...(first?.sample?.argmax ?? [])]).toEqual([60, 160]);
  expect(first?.sample?.exact).toBe(false);
  expect(second?.error?.name).toBe("NotFound");
  expect(third?.sample?.exact).toBe(true);
  expect(third?.sample?.max).toBe(third?.sample?.min);
  expect([...(third?.sample?.xMax ?? [])]).toEqual([10, 11, 12]);
  expect([...(third?.sample?.nan ?? [])]).toEqual([0, 1, 0]);
  expect(fourth?.sample?.n).toBe(0);
}

describe("the answer of /samples", () => {
  test("is decoded from one piece", () => {
    const decoder = new FrameDecoder();
    check(decoder.push(whole));
    decoder.end();
  });

  test.each([1, 2, 3, 7, 64, 119])("is decoded from pieces of %i bytes", (size) => {
    const decoder = new FrameDecoder();
    const frames: Frame[] = [];
    for (let at = 0; at < whole.length; at += size) frames.push(...decoder.push(whole.slice(at, at + size)));
    decoder.end();
    check(frames);
  });

  test("gives each sample as soon as it is whole", () => {
    const decoder = new FrameDecoder();
    const first = whole.indexOf(text.encode("{")[0] as number, 100);
    expect(decoder.push(whole.slice(0, first)).length).toBe(1);
  });

  test("that was cut short is an error", () => {
    const decoder = new FrameDecoder();
    decoder.push(whole.slice(0, whole.length - 3));
    expect(() => decoder.end()).toThrow("cut short");
  });
});
