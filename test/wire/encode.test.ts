import { describe, expect, test } from "bun:test";

import { EncodeError } from "../../src/errors.ts";
import { encodeMessage, type Outlet, sendCall, sendValue, takeCuts } from "../../src/wire/encode.ts";
import { LargeBinary, largeBinaryBytes } from "../../src/wire/large-binary.ts";
import { Kind, type Message } from "../../src/wire/messages.ts";

const large = new Uint8Array(largeBinaryBytes);

/** What was sent, in order: messages, and byte arrays by themselves. */
function outlet(): Outlet & { readonly sent: unknown[] } {
  const sent: unknown[] = [];
  return {
    sent,
    get sharing(): never {
      throw new Error("no value here holds a shared buffer");
    },
    send: (message: Message) => sent.push(message),
    sendBinary: (kind, id, value) => sent.push({ kind, id, value }),
  };
}

describe("sendValue", () => {
  test.each<[what: string, value: unknown, expected: unknown]>([
    ["a byte array by itself", large, { kind: Kind.item, id: 7, value: large }],
    ["a plain value", { a: [1, "x"] }, [Kind.item, 7, { a: [1, "x"] }]],
    ["a value with a large binary inside", [large], [Kind.item, 7, [new LargeBinary(large)], false]],
    ["a value that needs rich form", new Map([["a", -0]]), [Kind.item, 7, [1, "a", [3]], true]],
  ])("sends %s in the cheapest form that carries it", (_, value, expected) => {
    const out = outlet();
    sendValue(out, Kind.item, 7, value, "message of", "feed");
    expect(out.sent).toStrictEqual([expected]);
  });

  test("sends a plain value itself, not a copy", () => {
    const value = { a: 1 };
    const out = outlet();
    sendValue(out, Kind.result, 7, value, "result of", "f");
    expect((out.sent[0] as unknown[])[2]).toBe(value);
  });

  test("names the value that cannot cross, and sends nothing", () => {
    const out = outlet();
    expect(() => sendValue(out, Kind.result, 7, { f: () => {} }, "result of", "f")).toThrow(
      new EncodeError("result of f.f: a function cannot cross a wire"),
    );
    expect(out.sent).toEqual([]);
  });
});

describe("sendCall", () => {
  test("says whether the arguments are in rich form only when they are not plain", () => {
    const out = outlet();
    sendCall(out, 1, "f", [1]);
    sendCall(out, 2, "f", [large]);
    sendCall(out, 3, "f", [-0]);
    expect(out.sent).toStrictEqual([
      [Kind.call, 1, "f", [1]],
      [Kind.call, 2, "f", [new LargeBinary(large)], false],
      [Kind.call, 3, "f", [0, [3]], true],
    ]);
    expect(() => sendCall(out, 4, "f", [Symbol.iterator])).toThrow("arguments of f[0]: a symbol");
  });
});

describe("encodeMessage", () => {
  test("writes small messages of common types in place, and leaves all others to msgpackr", () => {
    const buffer = Buffer.alloc(8_192);
    const isInPlace = (field: unknown): boolean =>
      typeof encodeMessage([Kind.result, 1, field], buffer, 4) === "number";
    const common = ["text", 1, 0.5, true, null, undefined, [1], { a: 1 }, new Uint8Array(300)];
    const others = [
      "é",
      "x".repeat(4_097),
      1n,
      new Date(0),
      Array.from({ length: 16 }, () => 1),
      [[[[[1]]]]],
    ];
    expect(common.map(isInPlace)).toEqual(common.map(() => true));
    expect(others.map(isInPlace)).toEqual(others.map(() => false));
  });

  test("leaves large binaries out of msgpackr's frame, and hands them over once", () => {
    const buffer = Buffer.alloc(8_192);
    const frame = encodeMessage([Kind.item, 7, [new LargeBinary(large)]], buffer, 5);
    if (typeof frame === "number") throw new Error("it was written in place");
    // after the length, the two arrays, the kind, the id, and the header of the binary
    expect([frame.start, frame.end]).toEqual([1, 14]);
    expect(takeCuts().map(({ at, bytes }) => [at, bytes])).toEqual([[14, large]]);
    expect(takeCuts()).toEqual([]);
  });
});
