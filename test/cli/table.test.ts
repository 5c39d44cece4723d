import { describe, expect, test } from "bun:test";

import { cut, formatTable, Table } from "../../src/cli/table.ts";

const columns = [
  { title: "NAME", shrinks: true },
  { title: "PID", align: "right" },
  { title: "ADDRS", shrinks: true },
] as const;

describe("formatTable", () => {
  test("aligns columns by the width that a terminal gives their characters", () => {
    const rows = [
      ["market", "7", "unix:///a"],
      ["日本語", "12345", "-"],
      ["e\u0301te\u0301", "80", "👩‍👩‍👧"],
    ];
    expect(formatTable(columns, rows)).toEqual([
      "NAME      PID  ADDRS",
      "market      7  unix:///a",
      "日本語  12345  -",
      "e\u0301te\u0301        80  👩‍👩‍👧",
    ]);
  });

  test("doesn't count colours", () => {
    const lines = formatTable(columns, [
      ["\u001b[31mred\u001b[39m", "1", "x"],
      ["plain", "2", "y"],
    ]);
    expect(lines.map((line) => Bun.stripANSI(line))).toEqual([
      "NAME   PID  ADDRS",
      "red      1  x",
      "plain    2  y",
    ]);
  });

  test("shortens the widest of the columns that may shrink, until the line fits", () => {
    const rows = [["a-rather-long-name", "12345", "unix:///run/user/1000/furrow/a@1.sock"]];
    expect(formatTable(columns, rows, { columns: 40 })).toEqual([
      "NAME               PID  ADDRS",
      "a-rather-long-…  12345  unix:///run/use…",
    ]);
  });

  test.each([1, 2, 5, 10, 20, 30, 40, 60])("never exceeds a terminal of %d columns", (width) => {
    const rows = [
      ["日本語テキスト日本語テキスト", "12345", "unix:///run/user/1000/furrow/日本語@1.sock"],
      ["a".repeat(50), "1", "b".repeat(50)],
    ];
    for (const line of formatTable(columns, rows, { columns: width }))
      expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
  });

  test("replaces control characters, which would break the table or reach the terminal", () => {
    const [, line] = formatTable([{ title: "A" }], [["a\nb\tc\u001b]0;title\u0007\u009b1m\u001b[1mbold"]]);
    expect(line).toBe("a\ufffdb\ufffdc\ufffd]0;title\ufffd\ufffd1m\u001b[1mbold");
  });

  test("shows the titles alone when there is nothing", () => {
    expect(formatTable(columns, [])).toEqual(["NAME  PID  ADDRS"]);
  });
});

describe("Table", () => {
  test("prints its titles once, and its columns only get wider", () => {
    const table = new Table(columns);
    expect(table.lines([["a", "1", "x"]])).toEqual(["NAME  PID  ADDRS", "a       1  x"]);
    expect(table.lines([["longer", "1", "x"]])).toEqual(["longer    1  x"]);
    expect(table.lines([["b", "1", "x"]])).toEqual(["b         1  x"]);
  });
});

describe("cut", () => {
  test("leaves out a wide character that would only half fit", () => {
    expect(cut("日本語", 5)).toBe("日本");
    expect(cut("日本語", 6)).toBe("日本語");
  });
});
