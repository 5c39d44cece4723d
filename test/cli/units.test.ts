import { describe, expect, test } from "bun:test";

import { UsageError } from "../../src/cli/exit.ts";
import { readPattern } from "../../src/cli/glob.ts";
import { jsonValue, toJson } from "../../src/cli/json.ts";
import { Latencies } from "../../src/cli/latencies.ts";
import { nearest } from "../../src/cli/nearest.ts";
import { readCall } from "../../src/cli/target.ts";
import { formatAge, formatBytes, formatMs, parseCount, parseDuration } from "../../src/cli/units.ts";

describe("parseDuration", () => {
  test.each([
    ["5s", 5_000],
    ["250ms", 250],
    ["1.5m", 90_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["3", 3_000],
    ["0", 0],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text, "--timeout")).toBe(ms);
  });

  test.each(["", "s", "-1s", "5 s", "1e3", "5x", "Infinity"])("rejects %j", (text) => {
    expect(() => parseDuration(text, "--timeout")).toThrow(UsageError);
  });
});

describe("parseCount", () => {
  test("takes whole numbers from its least", () => {
    expect(parseCount("64", "-c")).toBe(64);
    expect(() => parseCount("0", "-c")).toThrow('-c must be a whole number from 1, got "0"');
    expect(() => parseCount("1.5", "-c")).toThrow(UsageError);
  });
});

test("ages, sizes and latencies have the largest unit that says enough", () => {
  expect([-5, 0, 119_000, 120_000, 7_199_000, 7_200_000, 200_000_000].map(formatAge)).toEqual([
    "0s",
    "0s",
    "119s",
    "2m",
    "119m",
    "2h",
    "2d",
  ]);
  expect([0, 1_023, 831_488, 46_137_344, 1_610_612_736].map(formatBytes)).toEqual([
    "0B",
    "1023B",
    "812K",
    "44M",
    "1.5G",
  ]);
  expect([0.2134, 14.26, 231.4, 2_100].map(formatMs)).toEqual(["0.21 ms", "14.3 ms", "231 ms", "2.10 s"]);
});

describe("readPattern", () => {
  test.each([
    ["market", "market", "market", true],
    ["market", "market", "markets", false],
    ["web-*", "web-*", "web-", true],
    ["web-*", "web-*", "wax", false],
    ["*-2", "*", "web-2", true],
    ["*-2", "*", "web-21", false],
    ["w?b", "w*", "web", true],
    ["w?b", "w*", "w日b", true],
    ["w?b", "w*", "w👍b", true],
    ["a.b*", "a.b*", "axb", false],
    ["*", "*", "a/b\n", true],
  ])("%s watches %s", (glob, watched, name, matches) => {
    const pattern = readPattern(glob);
    expect([pattern.watched, pattern.matches(name)]).toEqual([watched, matches]);
  });
});

describe("readCall", () => {
  test("takes the last dot: names may have dots, functions can't", () => {
    expect(readCall(["v1.market#8eda.getPrice", "BTC", "5", '"5"', '{"a": [1]}', "{a}"])).toEqual({
      actor: "v1.market#8eda",
      fn: "getPrice",
      args: ["BTC", 5, "5", { a: [1] }, "{a}"],
    });
  });

  test.each(["market", ".getPrice", "market.", ""])("rejects %j", (word) => {
    expect(() => readCall([word])).toThrow(UsageError);
  });
});

describe("nearest", () => {
  test("finds a name that differs little, and none that differs much", () => {
    expect(nearest("markt", ["shop", "market", "ledger"])).toBe("market");
    expect(nearest("sl", ["ls", "stop"])).toBeUndefined();
    expect(nearest("lss", ["ls", "stop"])).toBe("ls");
    expect(nearest("anything", [])).toBeUndefined();
  });
});

describe("toJson", () => {
  test("leaves undefined out of objects, as JSON does", () => {
    expect(JSON.stringify(toJson({ a: undefined, b: [undefined] }))).toBe('{"b":[null]}');
  });

  test("escapes what JSON leaves in a string and a terminal may obey", () => {
    expect(jsonValue("\u009b1m\u007f")).toBe(String.raw`"\u009b1m\u007f"`);
  });

  test("spreads what is too wide for the terminal over lines", () => {
    expect(jsonValue({ a: 1 }, 80)).toBe('{"a":1}');
    expect(jsonValue({ a: 1 }, 5)).toBe('{\n  "a": 1\n}');
  });
});

describe("Latencies", () => {
  test("tells quantiles to two percent", () => {
    const latencies = new Latencies();
    for (let ms = 1; ms <= 1_000; ms++) latencies.add(ms);
    for (const q of [0.01, 0.5, 0.99])
      expect(Math.abs(latencies.quantileMs(q) / (q * 1_000) - 1)).toBeLessThan(0.025);
    expect([latencies.count, latencies.minMs, latencies.maxMs, latencies.meanMs]).toEqual([
      1_000, 1, 1_000, 500.5,
    ]);
    expect(latencies.quantileMs(1)).toBe(1_000);
  });

  test("has zeros for nothing", () => {
    const latencies = new Latencies();
    expect([latencies.minMs, latencies.meanMs, latencies.quantileMs(0.5), latencies.maxMs]).toEqual([
      0, 0, 0, 0,
    ]);
  });
});
