import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { EncodeError, FrameError } from "../../src/errors.ts";
import { LargeBinary, largeBinaryBytes } from "../../src/wire/large-binary.ts";
import { toWire } from "../../src/wire/encode.ts";
import { fromWire } from "../../src/wire/received.ts";
import { crossed, frameOf, messageOf, portrait } from "./crossing.ts";

const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: "small", withCrossShrink: true },
    fc.constantFrom(undefined, null, true, false, 0, -0, Number.NaN, Infinity, -Infinity),
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.string({ unit: "binary" }),
    fc.uint8Array(),
    fc.date({ noInvalidDate: false }),
    fc.string().map((message) => new RangeError(message)),
    fc.array(tie("value")),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "then")), tie("value")),
    fc.array(fc.tuple(tie("value"), tie("value"))).map((pairs) => new Map(pairs)),
    fc.array(tie("value")).map((items) => new Set(items)),
  ),
}));

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
}

describe("toWire and fromWire", () => {
  test("carry every value that may cross, nested in any way", () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const plain = crossed(value);
        expect(portrait(plain)).toBe(portrait(withPlainPrototypes(value)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("mark as rich only what needs it", () => {
    const plain = [1, "a", null, undefined, 1n, new Date(0), new Uint8Array(3), { a: [1] }, [[]]];
    expect(plain.map((value) => toWire(value, "value").rich)).toEqual(plain.map(() => false));
    const rich = [
      -0,
      new Map(),
      new Set(),
      new Error("e"),
      JSON.parse('{"__proto__":1}') as object,
      [[[-0]]],
    ];
    expect(rich.map((value) => toWire(value, "value").rich)).toEqual(rich.map(() => true));
  });

  test("do not copy what needs no rich form", () => {
    const value = { list: [1, { deep: "x" }], at: new Date(0) };
    expect(toWire(value, "value").value).toBe(value);
  });

  test("take a large binary as it is, wherever it stands", () => {
    const large = new Uint8Array(largeBinaryBytes);
    const { value, rich } = toWire({ in: [large] }, "value");
    expect(rich).toBe(false);
    const [found] = (value as { in: [LargeBinary] }).in;
    expect(found).toBeInstanceOf(LargeBinary);
    expect(found.bytes).toBe(large);
    expect(crossed(new Map([["large", large]]))).toEqual(new Map([["large", large]]));
  });

  test("keep a Buffer a Buffer and a Uint8Array one, wherever they stand, and however large", () => {
    for (const size of [0, 3, largeBinaryBytes - 1, largeBinaryBytes, 100_000]) {
      const buffer = Buffer.alloc(size, 7);
      const array = new Uint8Array(size).fill(7);
      for (const value of [
        buffer,
        [buffer, array],
        { deep: [{ buffer, array }] },
        new Map<unknown, unknown>([["k", buffer]]),
        new Set([buffer, array]),
        Buffer.alloc(size + 10, 7).subarray(5, 5 + size),
      ]) {
        expect(portrait(crossed(value))).toBe(portrait(value));
      }
    }
    expect((crossed(Buffer.from("abc")) as Buffer).toString("hex")).toBe("616263");
  });

  test("make every other kind of byte array a Uint8Array", () => {
    class Bytes extends Uint8Array {}
    for (const kind of [new Bytes([1, 2, 3]), new Uint8Array(new SharedArrayBuffer(3))]) {
      const arrived = crossed(kind) as Uint8Array;
      expect(arrived.constructor).toBe(Uint8Array);
      expect(Buffer.compare(arrived, kind)).toBe(0);
    }
  });

  test("take a large Buffer as it is, and make one that is a view of what arrived", () => {
    const large = Buffer.alloc(largeBinaryBytes);
    const { value, rich } = toWire([large], "value");
    expect(rich).toBe(true);
    const [, [, sent]] = value as [number, [number, LargeBinary]];
    expect(sent.bytes).toBe(large);
    const received = new Uint8Array(100);
    const made = fromWire([6, received.subarray(10, 20)], true) as Buffer;
    received[10] = 42;
    expect([made.buffer === received.buffer, made.length, made[0]]).toEqual([true, 10, 42]);
  });

  test("keep a __proto__ key a key, and touch no prototype", () => {
    const value = JSON.parse('{"__proto__":{"polluted":1},"a":{"__proto__":[-0]}}') as object;
    const arrived = crossed(value) as object;
    expect(portrait(arrived)).toBe(portrait(value));
    expect(Object.getPrototypeOf(arrived)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("make an object without a prototype a plain one", () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1, b: new Set([1]) });
    expect(portrait(crossed(bare))).toBe(portrait({ a: 1, b: new Set([1]) }));
  });

  test("turn holes of an array into undefined, and leave symbol keys out", () => {
    // oxlint-disable-next-line no-sparse-arrays -- the hole is the point
    expect(crossed([1, , 3])).toStrictEqual([1, undefined, 3]);
    expect(crossed({ [Symbol("s")]: 1, a: 2 })).toStrictEqual({ a: 2 });
  });

  test("replace unpaired surrogates, and keep the rest of the string", () => {
    for (const size of [0, 100, 70_000]) {
      const around = "x".repeat(size);
      const arrived = crossed(`${around}\ud800${around}😀${around}`) as string;
      expect(arrived.replace(/\ufffd+/, "\ufffd")).toBe(`${around}\ufffd${around}😀${around}`);
    }
  });

  test("carry the same object twice, as two", () => {
    const shared = { list: [new Set([1])] };
    const [one, two] = crossed([shared, shared]) as [object, object];
    expect(one).toEqual(two);
    expect(one).not.toBe(two);
  });

  test("carry 1000 levels, and refuse one more", () => {
    expect(portrait(crossed(nested(1_000)))).toBe(portrait(nested(1_000)));
    expect(() => crossed(nested(1_001))).toThrow(/value(\[0\]){1000}: nested more than 1000 deep cannot/);
    let maps: unknown = -0;
    for (let level = 0; level < 999; level++) maps = new Map([["k", { a: maps }]]);
    expect(() => crossed(maps)).toThrow(EncodeError);
  });

  test("carry an error at the deepest place", () => {
    let value: unknown = Object.assign(new Error("deep"), { field: nested(999) });
    for (let level = 0; level < 999; level++) value = [value];
    let arrived = crossed(value);
    while (Array.isArray(arrived)) [arrived] = arrived as unknown[];
    expect((arrived as Error).message).toBe("deep");
  });

  class Quote {
    readonly price = 1;
  }
  const cycle: Record<string, unknown> = { a: [] };
  (cycle["a"] as unknown[]).push({ back: cycle });

  test.each<[what: string, value: unknown, message: string]>([
    ["a function", { on: { tick: () => {} } }, "value.on.tick: a function cannot cross a wire"],
    ["a symbol", [1, [Symbol("s")]], "value[1][0]: a symbol cannot cross a wire"],
    ["a cycle", cycle, "value.a[0].back: a cycle cannot cross a wire"],
    ["an instance", { quote: new Quote() }, "value.quote: an instance of Quote cannot cross a wire"],
    [
      "an array of a class",
      new (class List extends Array {})(),
      "value: an instance of List cannot cross a wire",
    ],
    ["a large bigint", [2n ** 64n], "value[0]: a bigint beyond 64 bits cannot cross a wire"],
    ["a small bigint", { n: -(2n ** 63n) - 1n }, "value.n: a bigint beyond 64 bits cannot cross a wire"],
    ["a promise", [Promise.resolve()], "value[0]: an instance of Promise cannot cross a wire"],
    [
      "another typed array",
      new Map([["f", new Float64Array(1)]]),
      "value.f: an instance of Float64Array cannot",
    ],
    ["a boxed string", Object("s"), "value: an instance of String cannot cross a wire"],
    ["a key of a map", new Map([[() => {}, 1]]), "value.<key>: a function cannot cross a wire"],
    ["an item of a set", new Set([() => {}]), "value.<item>: a function cannot cross a wire"],
    ["a regular expression", /x/, "value: an instance of RegExp cannot cross a wire"],
    ["something behind a large binary", [new Uint8Array(20_000), () => {}], "value[1]: a function cannot"],
    ["a class", Quote, "value: a function cannot cross a wire"],
  ])("refuse %s, with the path to it", (_, value, message) => {
    expect(() => toWire(value, "value")).toThrow(EncodeError);
    expect(() => toWire(value, "value")).toThrow(message);
  });

  test.each<[what: string, form: unknown]>([
    ["an array without a tag", []],
    ["an unknown tag", [99]],
    ["a tag of another type", ["0"]],
    ["a map with a key and no value", [1, "key"]],
    ["an object with a key and no value", [5, "key"]],
    ["a Buffer of something else", [6, "text"]],
    ["a shared buffer of something else", [7, "text"]],
    ["a shared buffer where no memory can be shared", [7, 1, 3, 4_096, 1, 1, 1]],
    ["a fault inside", [0, [0, { a: [99] }]]],
  ])("refuse a rich form that is %s", (_, form) => {
    expect(() => fromWire(form, true)).toThrow(FrameError);
  });

  test("never do anything but return or throw a FrameError on a rich form from a stranger", () => {
    const { form } = fc.letrec<{ form: unknown }>((tie) => ({
      form: fc.oneof(
        { maxDepth: 6 },
        fc.constantFrom<unknown>(null, undefined, 1, "x", {}),
        fc.array(fc.oneof(fc.nat(8), tie("form")), { maxLength: 7 }),
        fc.tuple(fc.nat(8), tie("form"), tie("form")),
        fc.constant(4).chain((tag) => fc.tuple(fc.constant(tag), fc.array(tie("form"), { maxLength: 6 }))),
        fc.dictionary(
          fc.constantFrom("a", "__proto__", "toString", "valueOf", "message", "name"),
          tie("form"),
        ),
      ),
    }));
    fc.assert(
      fc.property(form, (value) => {
        try {
          fromWire(value, true);
        } catch (error) {
          if (!(error instanceof FrameError)) throw error;
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

/** fast-check makes some objects without a prototype; a peer gets plain ones. */
function withPlainPrototypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withPlainPrototypes);
  if (value instanceof Map)
    return new Map(Array.from(value, (pair) => pair.map(withPlainPrototypes) as [unknown, unknown]));
  if (value instanceof Set) return new Set(Array.from(value, withPlainPrototypes));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== null) {
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
      return value;
  }
  const plain = {};
  for (const [key, field] of Object.entries(value)) {
    const entry = { value: withPlainPrototypes(field), enumerable: true, configurable: true, writable: true };
    Object.defineProperty(plain, key, entry);
  }
  return plain;
}

describe("frames of values", () => {
  test("hold a key that is a number as text", () => {
    expect(messageOf(frameOf([{ 1: "one" }]))).toEqual([{ 1: "one" }]);
  });
});
