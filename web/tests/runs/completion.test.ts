// What is proposed while an expression is written: "|" is the caret.
import { describe, expect, it } from "vitest";
import { complete, endsBare, type Vocabulary } from "../../src/runs/completion";

const words: Vocabulary = {
  params: ["lr", "model.depth", "learning rate", "optimizer"],
  series: [
    { kind: "metrics", name: "train/loss", fields: ["value", "step"] },
    { kind: "metrics", name: "acc", fields: ["value"] },
  ],
  values: (reference) =>
    reference === "status" ? ['"RUNNING"', '"FAILED"'] : reference === "params.optimizer" ? ['"adam"', '"sgd"'] : reference === "tags" ? ['"best"'] : [],
};

function at(text: string) {
  const caret = text.indexOf("|");
  const plain = text.replace("|", "");
  const found = complete(plain, caret, words);
  return { labels: found.proposals.map((one) => one.label), taken: found.proposals.map((one) => plain.slice(0, found.from) + one.text + plain.slice(found.to)) };
}

describe("complete", () => {
  it("begins with what there is", () => {
    expect(at("|").labels.slice(0, 3)).toEqual(["params.", "metrics.", "status"]);
    expect(at("|").labels).toContain('"best" in tags');
    expect(at("status = \"FAILED\" and |").labels).toContain("params.");
  });
  it("finds parameters, in brackets where they need them", () => {
    expect(at("params.|").labels).toEqual(words.params);
    expect(at("params.l|").taken).toEqual(["params.lr ", 'params["learning rate"] ', "params.model.depth "]);
    expect(at('params["learn|').taken).toEqual(['params["learning rate"] ']);
  });
  it("finds parameters and series by a part of their name", () => {
    expect(at("dep|").taken).toEqual(["params.model.depth "]);
    expect(at("not loss|").taken).toEqual(['not metrics["train/loss"]']);
  });
  it("goes on from series to field to aggregate", () => {
    expect(at("metrics.|").taken).toEqual(['metrics["train/loss"]', "metrics.acc"]);
    expect(at('metrics["tr|').taken).toEqual(['metrics["train/loss"]']);
    expect(at('metrics["train/loss"].|').labels).toEqual(["value", "step"]);
    expect(at('metrics["train/loss"].v|').taken).toEqual(['metrics["train/loss"].value']);
    expect(at("metrics.acc.value.m|").taken).toEqual(["metrics.acc.value.min ", "metrics.acc.value.max ", "metrics.acc.value.mean "]);
  });
  it("proposes comparisons after a reference, then values, then and/or", () => {
    expect(at("status |").labels.slice(0, 2)).toEqual(["=", "!="]);
    expect(at("status = |").taken).toEqual(['status = "RUNNING" ', 'status = "FAILED" ']);
    expect(at('status = "F|').taken).toEqual(['status = "FAILED" ']);
    expect(at("params.optimizer == a|").taken).toEqual(['params.optimizer == "adam" ']);
    expect(at('status = "FAILED" |').labels).toEqual(["and", "or"]);
    expect(at("params.lr > 0.1 |").labels).toEqual(["and", "or"]);
    expect(at("params.lr > 0.1 a|").labels).toEqual(["and"]);
  });
  it("lists values after in", () => {
    expect(at("status in [|").taken).toEqual(['status in ["RUNNING"', 'status in ["FAILED"']);
  });
  it("says nothing inside of a text or a number", () => {
    expect(at('name = "abc|').labels).toEqual([]);
    expect(at("params.lr > 0.1|").labels).toEqual([]);
  });
});

describe("endsBare", () => {
  it("tells a reference that is compared with nothing", () => {
    for (const text of ["params.l", "params.lr ", 'status = "FAILED" and params.l', "not (metrics.acc", 'params["learning rate"] ']) expect(endsBare(text)).toBe(true);
    for (const text of ["", "params.lr > 1", '"best" in tags', "params.lr > params.l", "params.lr >", 'name in ["a"]', "operands = 1"]) expect(endsBare(text)).toBe(false);
  });
});
