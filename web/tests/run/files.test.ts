import { describe, expect, it } from "vitest";
import type { FileRecord } from "../../src/api/types";
import { numericOf, parseCsv, separatorOf, widthsOf } from "../../src/run/files/csv";
import { folderAt, foldersAbove, rowsOfTree, treeOf } from "../../src/run/files/folders";
import { galleriesOf, galleryOf } from "../../src/run/files/gallery";
import { kindOfFile, pathOf } from "../../src/run/files/kinds";

const file = (full: string, sizeBytes = 1, contentType = "application/octet-stream"): FileRecord => {
  const cut = full.lastIndexOf("/");
  return {
    id: full, experimentId: "r", path: full.slice(0, cut) || "/", filename: full.slice(cut + 1), description: null, tags: [], contentType,
    sizeBytes, checksum: "", metadata: null, uploadedAt: "", updatedAt: "",
  };
};

describe("the tree of files", () => {
  const root = treeOf([file("/b/c/x.txt", 5), file("/a10.txt", 1), file("/a2.txt", 2), file("/b/y.txt", 3)]);
  it("sums sizes and counts", () => {
    expect([root.count, root.size]).toEqual([4, 11]);
    expect(folderAt(root, "b")).toMatchObject({ count: 2, size: 8 });
    expect(folderAt(root, "b/c")?.files.map((one) => one.filename)).toEqual(["x.txt"]);
    expect(folderAt(root, "nowhere")).toBe(null);
  });
  it("has folders first, numbers in their order, and only what is open", () => {
    expect(rowsOfTree(root, new Set()).map((row) => row.path)).toEqual(["b", "a2.txt", "a10.txt"]);
    expect(rowsOfTree(root, new Set(["b"])).map((row) => [row.path, row.depth])).toEqual([["b", 0], ["b/c", 1], ["b/y.txt", 1], ["a2.txt", 0], ["a10.txt", 0]]);
    expect(rowsOfTree(root, new Set(), true)).toHaveLength(6);
  });
  it("knows what is above a file, and takes paths as people write them", () => {
    expect(foldersAbove("a/b/c.png")).toEqual(["a", "a/b"]);
    expect(pathOf({ path: "//a/", filename: "b/c.txt" })).toBe("a/b/c.txt");
    expect(pathOf({ path: "/", filename: "c.txt" })).toBe("c.txt");
  });
});

describe("kinds of files", () => {
  it("go by the name, then by the type; nothing is rendered as a page", () => {
    expect(kindOfFile(file("/a.PNG"))).toBe("picture");
    expect(kindOfFile(file("/a.html", 1, "text/html"))).toBe("text");
    expect(kindOfFile(file("/a.htm", 1, "image/png"))).toBe("text");
    expect(kindOfFile(file("/a", 1, "text/html; charset=utf-8"))).toBe("text");
    expect(kindOfFile(file("/a.pt"))).toBe("other");
    expect(kindOfFile(file("/Makefile"))).toBe("text");
    expect(kindOfFile(file("/a.tsv"))).toBe("table");
    expect(kindOfFile(file("/a.pdf", 1, "application/pdf"))).toBe("other");
  });
});

describe("galleries", () => {
  const files = [file("/s/run2_step_100.png"), file("/s/run2_step_20.png"), file("/s/run3_step_5.png"), file("/t/run2_step_1.png"), file("/s/run2_step_7.txt"), file("/s/one.png")];
  it("gather the pictures of a folder that differ by their last number", () => {
    const found = galleriesOf(files);
    expect([...found.keys()]).toEqual(["s/run2_step_*.png"]);
    expect(galleryOf(found, files[0] as FileRecord)).toMatchObject({ at: 1, gallery: { name: "run2_step_*.png" } });
    expect(galleryOf(found, files[2] as FileRecord)).toBe(null);
  });
});

describe("csv", () => {
  it("reads quotes, quoted separators, lines and empty cells", () => {
    expect(parseCsv('a,b\n1,"x, ""y""\nz"\n,\n')).toEqual({ header: ["a", "b"], rows: [["1", 'x, "y"\nz'], ["", ""]], separator: "," });
    expect(parseCsv("a;b\r\n1;2\r\n").rows).toEqual([["1", "2"]]);
    expect(parseCsv("\ufeffa\tb\n1\t2").rows).toEqual([["1", "2"]]);
    expect(parseCsv("").header).toEqual([]);
    expect(parseCsv("a,b\n1,").rows).toEqual([["1", ""]]);
  });
  it("leaves out the last row of a text that is cut, since it may be half of one", () => {
    expect(parseCsv("a,b\n1,2\n3,4", false).rows).toEqual([["1", "2"]]);
    expect(parseCsv("a,b\n1,2\n3,4\n", false).rows).toEqual([["1", "2"], ["3", "4"]]);
    expect(parseCsv('a,b\n1,2\n3,"4', false).rows).toEqual([["1", "2"]]);
    expect(parseCsv("a,b\n1,2\n3,", false).rows).toEqual([["1", "2"]]);
  });
  it("finds the separator outside quotes", () => {
    expect(separatorOf('"a,b,c";d\n"e,f,g";h')).toBe(";");
  });
  it("tells columns of numbers, and how wide each is", () => {
    const table = parseCsv("step,note,loss\n1,a,nan\n2,b,1e-3\n");
    expect(numericOf(table, 3)).toEqual([true, false, true]);
    expect(widthsOf(table)).toEqual([6, 6, 6]);
  });
});
