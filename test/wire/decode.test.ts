import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { FrameError } from "../../src/errors.ts";
import { decode } from "../../src/wire/decode.ts";
import { bytesOf, frameOf, portrait } from "./crossing.ts";
import { golden } from "./golden.ts";
import { manyOf } from "./many.ts";

function decoded(hex: string): unknown {
  const bytes = bytesOf(hex);
  return decode(bytes, 0, bytes.length);
}

/** What decoding comes to: a value, or a FrameError. Anything else is thrown on. */
function attempt(bytes: Uint8Array): string {
  try {
    return portrait(decode(bytes, 0, bytes.length));
  } catch (error) {
    if (error instanceof FrameError) return error.message;
    throw error;
  }
}

describe("decode", () => {
  test.each([
    ["7f", 127],
    ["ff", -1],
    ["e0", -32],
    ["ccff", 255],
    ["cdffff", 65_535],
    ["ceffffffff", 4_294_967_295],
    ["cf0000000000000001", 1n],
    ["cfffffffffffffffff", 2n ** 64n - 1n],
    ["d080", -128],
    ["d18000", -32_768],
    ["d280000000", -2_147_483_648],
    ["d38000000000000000", -(2n ** 63n)],
    ["ca3fc00000", 1.5],
    ["cb8000000000000000", -0],
    ["cb7ff8000000000000", Number.NaN],
    ["cbfff0000000000000", Number.NEGATIVE_INFINITY],
    ["c0", null],
    ["c2", false],
    ["c3", true],
    ["d40000", undefined],
    ["a0", ""],
    ["a3e282ac", "€"],
    ["d903616263", "abc"],
    ["da0003616263", "abc"],
    ["db00000003616263", "abc"],
    ["c400", new Uint8Array()],
    ["c5000101", new Uint8Array([1])],
    ["c60000000102", new Uint8Array([2])],
    ["dc000101", [1]],
    ["dd0000000101", [1]],
    ["81a16101", { a: 1 }],
    ["de0001a16101", { a: 1 }],
    ["df00000001a16101", { a: 1 }],
    ["d6ffffffffff", new Date(4_294_967_295_000)],
    ["d7ff003d090300000000", new Date(3 * 4_294_967_296_000 + 1)],
    ["c70cff00000000fffffffffffffffe", new Date(-2_000)],
    ["d4ff00", new Date(Number.NaN)],
  ])("reads %s", (hex, expected) => {
    expect(portrait(decoded(hex))).toBe(portrait(expected));
  });

  test("turns keys that are not text into text", () => {
    expect(decoded("840101c302c003cf000000000000000504")).toEqual({ 1: 1, true: 2, null: 3, 5: 4 });
  });

  test("makes a __proto__ key a field like any other", () => {
    const value = decoded("81a95f5f70726f746f5f5f81a16101") as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.getOwnPropertyDescriptor(value, "__proto__")?.value).toEqual({ a: 1 });
  });

  test("keeps a byte order mark, and replaces what is not utf-8", () => {
    const marked = `\ufeff${"x".repeat(100)}`;
    expect((decodeOf(frameOf([marked])) as [string])[0]).toBe(marked);
    expect(decoded("a2fffe")).toBe("\ufffd\ufffd");
  });

  test.each([
    ["c1", "no value that may cross begins with 0xc1"],
    ["d47800 92a161a167", "extension 120 may not cross"],
    ["d47240 91a16101", "extension 114 may not cross"],
    ["d669000000 0191d670 00000001", "extension 105 may not cross"],
    ["d46500 93a161a167c0", "extension 101 may not cross"],
    ["d47300 9101", "extension 115 may not cross"],
    ["c703 74000102", "extension 116 may not cross"],
    ["c703 ff000102", "a timestamp of 3 B"],
    ["d50000 00", "no value that may cross begins with 0xd5"],
    ["81 9001", "a key that is not a text, number or boolean"],
    ["81 c40001", "a key that is not a text, number or boolean"],
    ["0102", "1 B after the value"],
    ["92 01", "it is cut short"],
    ["c4ff00", "it is cut short"],
    ["a5 6162", "it is cut short"],
    ["cb 0000", "it is cut short"],
    ["d6ff 0000", "it is cut short"],
    ["", "it is cut short"],
  ])("refuses %s", (hex, reason) => {
    const size = bytesOf(hex).length;
    expect(() => decoded(hex)).toThrow(
      new FrameError(`frame of ${size} B is not one msgpack value: ${reason}`),
    );
  });

  test("does not read on into the next frame", () => {
    const chunk = bytesOf("93 01 02 03 c4ff 0102");
    expect(() => decode(chunk, 0, 3)).toThrow("it is cut short");
    expect(() => decode(chunk, 4, 6)).toThrow("it is cut short");
  });

  test("refuses lengths that the bytes cannot hold, without reserving memory for them", () => {
    const before = process.memoryUsage().rss;
    for (const head of ["dd00989680", "ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "dc7fff"]) {
      const bytes = bytesOf(head.repeat(20) + "00".repeat(1_000));
      for (let again = 0; again < 50; again++) expect(attempt(bytes)).toContain("it is cut short");
    }
    // each array claims all of the bytes that follow, and only the innermost can have them
    const nested = new Uint8Array(1_000_000);
    for (let at = 0; at < 5_000; at += 5) nested.set([0xdd, 0, 0x0e, 0xff, 0xff], at);
    expect(attempt(nested)).toContain("it is cut short");
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });

  test("reserves no memory for the indices below a key that is a number", () => {
    const count = 30_000;
    const frame = manyOf("maps with the key 999", count);
    Bun.gc(true);
    const before = process.memoryUsage().rss;
    const maps = decode(frame, 0, frame.length) as Record<string, unknown>[];
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
    expect(maps).toHaveLength(count);
    expect(maps[7]).toEqual({ 999: 1 });
    expect(Object.entries(maps[count - 1]!)).toEqual([["999", 1]]);
  });

  test("reads maps with numbers for keys, however far apart", () => {
    for (const keys of [["999"], ["0", "999", "17"], ["25", "24", "a", "998"], ["4294967294", "999"]]) {
      const record = Object.fromEntries(keys.map((key, at) => [key, at]));
      const read = decodeOf(frameOf([record])) as [Record<string, unknown>];
      expect(Object.entries(read[0])).toEqual(Object.entries(record));
      // an ordinary object, to which anything may be added
      read[0]["998"] = "more";
      expect(Object.keys(read[0])).toContain("998");
    }
  });

  test("refuses endless nesting, and accepts any depth that a sender may send", () => {
    const nested = (depth: number, token: number): Uint8Array =>
      new Uint8Array(depth + 1).fill(token, 0, depth);
    expect(attempt(nested(2_000, 0x91))).toStartWith("[[[");
    expect(attempt(nested(1_000_000, 0x91))).toEndWith("it is nested more than 2100 deep");
    expect(attempt(bytesOf(`${"81a161".repeat(10_000)}00`))).toEndWith("it is nested more than 2100 deep");
  });

  test("never does anything but return or throw a FrameError on random bytes", () => {
    const tokens = fc.constantFrom(
      0x81,
      0x92,
      0xa1,
      0xc4,
      0xc7,
      0xd4,
      0xd6,
      0xd7,
      0xdc,
      0xdd,
      0xde,
      0xff,
      0,
      1,
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.array(tokens, { maxLength: 64 }).map((list) => new Uint8Array(list)),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        attempt(input);
      }),
      { numRuns: 5_000 },
    );
  });

  test("never does anything but return or throw a FrameError on damaged frames", () => {
    const bodies = golden.map(({ hex }) => bytesOf(hex).slice(4));
    const damage = fc.array(fc.tuple(fc.nat(100), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...bodies), damage, fc.nat(400), (body, changes, cut) => {
        const bytes = body.slice(0, Math.max(1, body.length - (cut > 100 ? 0 : cut)));
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        attempt(bytes);
      }),
      { numRuns: 5_000 },
    );
  });

  test("tells names apart that meet in its table of names", () => {
    const names = Array.from({ length: 20_000 }, (_, index) => `name-${index + 10_000}`);
    const message = Array.from(names);
    expect(decodeOf(frameOf(message))).toEqual(names);
    expect(decodeOf(frameOf(message.reverse()))).toEqual(names.toReversed());
  });

  test("returns the same string for a repeated name", () => {
    const names = ["", "a", "getQuote", "x".repeat(31), "x".repeat(32), "ünïcode", "key1", "1yek"];
    for (let again = 0; again < 3; again++) {
      for (const name of names) expect((decodeOf(frameOf([name])) as [string])[0]).toBe(name);
    }
  });
});

function decodeOf(frame: Uint8Array): unknown {
  return decode(frame, 4, frame.length);
}
