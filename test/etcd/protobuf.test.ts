import { describe, expect, test } from "bun:test";

import { FrameError } from "../../src/errors.ts";
import { ProtoReader, ProtoWriter } from "../../src/etcd/protobuf.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("ProtoWriter", () => {
  test.each([
    ["a number of one byte", new ProtoWriter().number(1, 5), "0805"],
    ["a number of two bytes", new ProtoWriter().number(1, 300), "08ac02"],
    ["a number above 32 bits", new ProtoWriter().number(3, 2 ** 40), "18808080808020"],
    ["the largest exact number", new ProtoWriter().number(1, Number.MAX_SAFE_INTEGER), "08ffffffffffffff0f"],
    ["a field number above 15", new ProtoWriter().number(64, 1), "800401"],
    ["a text", new ProtoWriter().text(2, "\u00e9t\u00e9"), "1205c3a974c3a9"],
    ["bytes", new ProtoWriter().bytes(7, Uint8Array.of(1, 2, 3)), "3a03010203"],
    ["a message", new ProtoWriter().message(1, new ProtoWriter().number(1, 1)), "0a020801"],
    ["an empty message, because it says something", new ProtoWriter().message(3, new ProtoWriter()), "1a00"],
    ["nothing for zero, false and empty", new ProtoWriter().number(1, 0).flag(2, false).text(3, ""), ""],
  ])("writes %s", (_, writer, bytes) => {
    expect(hex(writer.finish())).toBe(bytes);
  });

  test("grows", () => {
    const writer = new ProtoWriter();
    for (let index = 0; index < 1_000; index++) writer.bytes(1, new Uint8Array(100));
    expect(writer.finish()).toHaveLength(1_000 * 102);
  });
});

describe("ProtoReader", () => {
  test.each([
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2 ** 28,
    2 ** 31,
    2 ** 32,
    2 ** 35 + 1,
    2 ** 49 - 1,
    2 ** 53 - 2,
  ])("reads the number %d as it was written", (value) => {
    // a zero isn't written
    const reader = new ProtoReader(new ProtoWriter().number(1, value + 1).finish());
    expect([reader.field(), reader.number(), reader.field()]).toEqual([1, value + 1, 0]);
  });

  test.each([
    ["ffffffffffffffffff01", -1],
    ["feffffffffffffffff01", -2],
    ["80808080808080808001", -(2 ** 63)],
  ])("reads the negative number %s", (bytes, value) => {
    const reader = new ProtoReader(Buffer.from(bytes, "hex"));
    expect(reader.number()).toBe(value);
  });

  test("skips fields of every type", () => {
    const bytes = Buffer.from(
      ["0805", "1101020304050607080a", "03616263", "2501020304", "3007"].join(""),
      "hex",
    );
    const reader = new ProtoReader(bytes);
    const fields: number[] = [];
    for (let field = reader.field(); field !== 0; field = reader.field()) {
      fields.push(field);
      reader.skip();
    }
    expect(fields).toEqual([1, 2, 1, 4, 6]);
  });

  test.each([
    ["a length beyond the end", "0a05"],
    ["a varint that doesn't end", "08ff"],
    ["a varint of more than 10 bytes", "08ffffffffffffffffffffff01"],
    ["an unknown type", "0b"],
  ])("refuses %s", (_, bytes) => {
    const reader = new ProtoReader(Buffer.from(bytes, "hex"));
    expect(() => {
      while (reader.field() !== 0) reader.skip();
    }).toThrow(FrameError);
  });

  test.each([Number.POSITIVE_INFINITY, Number.NaN, 1e300, -1, 1.5])("doesn't write %p", (value) => {
    expect(() => new ProtoWriter().number(1, value)).toThrow(RangeError);
  });

  test("reads nothing beyond its message", () => {
    const inner = new ProtoWriter().number(1, 1).finish();
    const outer = new ProtoReader(new ProtoWriter().bytes(1, inner).number(2, 2).finish());
    expect(outer.field()).toBe(1);
    const message = outer.message();
    expect([message.field(), message.number(), message.field()]).toEqual([1, 1, 0]);
    expect([outer.field(), outer.number()]).toEqual([2, 2]);
  });
});
