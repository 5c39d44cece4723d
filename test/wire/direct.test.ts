import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { decode } from "../../src/wire/decode.ts";
import { writeDirect } from "../../src/wire/direct.ts";

/** What `writeDirect` wrote at `at` into a buffer of that size, or -1. */
function written(message: readonly unknown[], size = 4_096, at = 5): Uint8Array | -1 {
  const bytes = new Uint8Array(size).fill(0xc1);
  const end = writeDirect(bytes, at, message);
  expect(bytes.subarray(0, at).every((byte) => byte === 0xc1)).toBeTrue();
  return end < 0 ? -1 : bytes.subarray(at, end);
}

function readBack(message: readonly unknown[]): unknown {
  const bytes = written(message);
  if (bytes === -1) throw new Error(`${Bun.inspect(message)} was left to msgpackr`);
  return decode(bytes, 0, bytes.length);
}

/** The protocol's form of it: 0xcb, and eight bytes in network order. */
function float64(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xcb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

/** Any value that is written in place. */
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.integer({ min: -32, max: 0xffff_ffff }),
    fc.constantFrom(0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 0xffff_ffff, -1, -32),
    fc.string({ unit: "binary-ascii", maxLength: 300 }),
    fc.constant(null),
    fc.boolean(),
    fc.double({ noInteger: true }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 15 }),
    fc.dictionary(
      fc.string({ unit: "binary-ascii", maxLength: 40 }).filter((key) => key !== "__proto__"),
      tie("value"),
      {
        maxKeys: 15,
        noNullPrototype: true,
      },
    ),
  ),
})).value;

describe("writeDirect", () => {
  test("writes what decode reads back", () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 15 }), (message) => {
        const bytes = written(message, 1_048_576);
        if (bytes === -1) throw new Error("it was left to msgpackr");
        expect(decode(bytes, 0, bytes.length)).toEqual(message);
      }),
    );
  });

  test("takes texts at every border of their headers", () => {
    for (const length of [0, 1, 11, 12, 13, 31, 32, 33, 254, 255, 256, 257]) {
      const message = ["x".repeat(length), length];
      expect(readBack(message)).toEqual(message);
    }
  });

  test("takes undefined, which is the result of most functions that return none", () => {
    expect(written([9, 1, undefined])).toEqual(new Uint8Array([0x93, 9, 1, 0xd4, 0, 0]));
    expect(readBack([undefined, { a: undefined }])).toStrictEqual([undefined, { a: undefined }]);
    // oxlint-disable-next-line no-sparse-arrays -- a gap arrives as undefined
    expect(readBack([1, [1, , 3]])).toStrictEqual([1, [1, undefined, 3]]);
  });

  test("takes every other number as a float64", () => {
    const { NaN: nan, MAX_VALUE, MIN_VALUE, POSITIVE_INFINITY, NEGATIVE_INFINITY } = Number;
    for (const number of [0.5, -0.5, 2 ** 32, -(2 ** 31) - 1, 2 ** 53, MAX_VALUE, MIN_VALUE, Math.PI]) {
      expect(written([number])).toEqual(new Uint8Array([0x91, ...float64(number)]));
    }
    expect(readBack([nan, POSITIVE_INFINITY, [NEGATIVE_INFINITY, -1.5]])).toEqual([
      nan,
      POSITIVE_INFINITY,
      [NEGATIVE_INFINITY, -1.5],
    ]);
  });

  test("takes binaries at every border of their headers, and copies them", () => {
    for (const length of [0, 1, 255, 256, 65_535, 65_536]) {
      const binary = new Uint8Array(length).fill(7);
      const bytes = written([length, [binary]], 100_000);
      if (bytes === -1) throw new Error("it was left to msgpackr");
      binary.fill(8);
      expect(decode(bytes, 0, bytes.length)).toEqual([length, [new Uint8Array(length).fill(7)]]);
    }
  });

  test("leaves every other value to msgpackr", () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const others: unknown[] = [
      -33,
      -(2 ** 31),
      1n,
      { é: 1 },
      { ["x".repeat(4_097)]: 1 },
      Object.fromEntries(Array.from({ length: 16 }, (_, at) => [`k${at}`, at])),
      Object.create(null),
      new (class {})(),
      new Date(0),
      new Map(),
      Symbol.iterator,
      () => {},
      "x".repeat(4_097),
      Array.from({ length: 16 }, () => 1),
      [[[[[1]]]]],
      { a: { a: { a: { a: { a: 1 } } } } },
      cycle,
    ];
    for (const other of others) {
      expect(written([1, other])).toBe(-1);
      expect(written([1, [other]])).toBe(-1);
    }
  });

  test("writes a record's own properties, not those added to Object.prototype", () => {
    Object.defineProperty(Object.prototype, "polluted", { value: 1, enumerable: true, configurable: true });
    try {
      expect(written([{ a: 1 }])).toEqual(new Uint8Array([0x91, 0x81, 0xa1, 0x61, 1]));
    } finally {
      Reflect.deleteProperty(Object.prototype, "polluted");
    }
  });

  test("leaves every text that is not ASCII to msgpackr, wherever the other character is", () => {
    for (const other of ["é", "€", "😀", "\u0080", "\ud800"]) {
      for (const length of [1, 12, 13, 31, 32, 60, 255, 256, 1_000]) {
        for (let at = 0; at < length; at += Math.max(1, length >> 3)) {
          const text = "x".repeat(at) + other + "x".repeat(Math.max(0, length - at - other.length));
          expect(written([text])).toBe(-1);
        }
        expect(written([other.repeat(Math.ceil(length / other.length))])).toBe(-1);
        expect(written(["x".repeat(length - 1) + other])).toBe(-1);
      }
    }
  });

  test("never writes beyond the end, and says that there is no room", () => {
    const message = [
      8,
      70_000,
      "name",
      ["x".repeat(40), null, true, [1, 0.5]],
      "short",
      new Uint8Array(40),
      0.5,
    ];
    const whole = written(message);
    if (whole === -1) throw new Error("it was left to msgpackr");
    for (let size = 0; size <= whole.length + 64; size++) {
      const memory = new Uint8Array(size + 64).fill(0xc1);
      const end = writeDirect(memory.subarray(0, size), 0, message);
      expect(memory.subarray(size).every((byte) => byte === 0xc1)).toBeTrue();
      if (end >= 0) expect(Array.from(memory.subarray(0, end))).toEqual(Array.from(whole));
      else expect(size).toBeLessThan(whole.length + 16);
    }
  });
});
