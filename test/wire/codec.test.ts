import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Packr, pack as packTheirs, unpack as unpackTheirs } from "msgpackr";

import { EncodeError, LimitError } from "../../src/errors.ts";
import { Batch } from "../../src/wire/codec.ts";
import { decode } from "../../src/wire/decode.ts";
import { LargeBinary, largeBinaryBytes } from "../../src/wire/large-binary.ts";
import { FrameDecoder } from "../../src/wire/frame.ts";
import { drained, frameOf, messageOf, portrait } from "./crossing.ts";

const unlimited = 0xffff_ffff;
/** The size of the buffer that messages are encoded into. */
const bufferBytes = 65_536;

function messagesIn(stream: Uint8Array): unknown[] {
  const messages: unknown[] = [];
  const decoder = new FrameDecoder(unlimited);
  decoder.push(stream, (source, start, end) => messages.push(decode(source, start, end)) > 0);
  expect(decoder.end()).toBe("clean");
  return messages;
}

/** The message with its large binaries as the receiver has them. */
function received(message: readonly unknown[]): unknown[] {
  return message.map((field) => (field instanceof LargeBinary ? field.bytes : field));
}

interface Part {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly stable: boolean;
}

function partsOf(batch: Batch): Part[] {
  const parts: Part[] = [];
  batch.drain((bytes, start, end, stable) => parts.push({ bytes, length: end - start, stable }));
  return parts;
}

describe("Batch", () => {
  test("hands out all messages as one part, in order", () => {
    const batch = new Batch();
    const messages = Array.from({ length: 100 }, (_, id) => [9, id, `answer ${id}`]);
    for (const message of messages) batch.add(message, unlimited);
    const { pendingBytes } = batch;
    const parts: Uint8Array[] = [];
    batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
    expect(parts).toHaveLength(1);
    expect(parts[0]!.length).toBe(pendingBytes);
    expect(messagesIn(parts[0]!)).toStrictEqual(messages);
  });

  test("is empty and usable again after it was drained or cleared", () => {
    const batch = new Batch();
    batch.add([1, new LargeBinary(new Uint8Array(largeBinaryBytes))], unlimited);
    batch.clear();
    expect(batch.pendingBytes).toBe(0);
    expect(partsOf(batch)).toEqual([]);
    batch.add([2], unlimited);
    expect(messagesIn(drained(batch))).toEqual([[2]]);
    expect(batch.pendingBytes).toBe(0);
    expect(partsOf(batch)).toEqual([]);
  });

  test("reuses its buffer from one turn to the next", () => {
    const batch = new Batch();
    const buffers = new Set<Uint8Array>();
    for (let turn = 0; turn < 50; turn++) {
      batch.add([turn], unlimited);
      for (const { bytes } of partsOf(batch)) buffers.add(bytes);
    }
    expect(buffers.size).toBe(1);
  });

  test("writes a large binary from the caller's memory, between the parts around it", () => {
    const batch = new Batch();
    const large = new Uint8Array(new ArrayBuffer(100_000), 500, 40_000).fill(7);
    batch.add([1, "before"], unlimited);
    batch.add([2, new LargeBinary(large), "behind"], unlimited);
    const parts = partsOf(batch);
    expect(parts.map(({ stable }) => stable)).toEqual([false, true, false]);
    expect(parts[1]!.bytes).toBe(large);
    expect(parts[1]!.length).toBe(40_000);
    expect(parts[0]!.bytes).toBe(parts[2]!.bytes);
  });

  test("keeps the order of large binaries, of messages around them and of parts", () => {
    const batch = new Batch();
    const large = (fill: number): LargeBinary => new LargeBinary(new Uint8Array(20_000).fill(fill));
    const messages = [
      [1],
      [2, large(2), large(3)],
      [3, "x".repeat(70_000), large(4), "y"],
      [4, large(5), "z".repeat(200_000), large(6)],
      [5],
    ];
    for (const message of messages) batch.add(message, unlimited);
    expect(messagesIn(drained(batch))).toStrictEqual(messages.map(received));
  });

  test("copies a small binary: the caller may change it at once", () => {
    const batch = new Batch();
    const small = new Uint8Array(largeBinaryBytes - 1).fill(1);
    batch.add([1, small], unlimited);
    small.fill(2);
    expect(messagesIn(drained(batch))).toStrictEqual([[1, new Uint8Array(small.length).fill(1)]]);
  });

  test("carries a message of any size up to and beyond its buffer", () => {
    for (let size = bufferBytes - 30; size <= bufferBytes + 30; size++) {
      const text = "x".repeat(size);
      const binary = new Uint8Array(size);
      expect(messageOf(frameOf([text]))).toEqual([text]);
      expect(messageOf(frameOf([binary]))).toStrictEqual([binary]);
    }
    const huge = "ü".repeat(20_000_000);
    expect((messageOf(frameOf([huge])) as [string])[0] === huge).toBe(true);
  });

  test("carries messages that meet the end of its buffer at every place", () => {
    for (let fill = bufferBytes - 3_000; fill <= bufferBytes + 10; fill += 7) {
      const batch = new Batch();
      const messages = [["x".repeat(fill)], ["behind", 1], ["y".repeat(3_000)], ["last"]];
      for (const message of messages) batch.add(message, unlimited);
      expect(messagesIn(drained(batch))).toEqual(messages);
    }
  });

  test("carries any sequence of messages", () => {
    const field = fc.oneof(
      fc.integer(),
      fc.nat(70_000).map((size) => "s".repeat(size)),
      fc.integer({ min: 1, max: 40 }).map((size) => "ä".repeat(size)),
      fc.integer({ min: 0, max: 20_000 }).map((size) => new Uint8Array(size).fill(size)),
      fc
        .integer({ min: largeBinaryBytes, max: 100_000 })
        .map((size) => new LargeBinary(new Uint8Array(size).fill(size))),
    );
    const messages = fc.array(fc.array(field, { maxLength: 4 }), { maxLength: 12 });
    fc.assert(
      fc.property(messages, (list) => {
        const batch = new Batch();
        for (const message of list) batch.add(message, unlimited);
        expect(messagesIn(drained(batch))).toStrictEqual(list.map(received));
      }),
      { numRuns: 150 },
    );
  });

  test("carries objects of more than 65535 keys, also behind a large binary", () => {
    const wide = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`key${index}`, index]));
    const binary = new Uint8Array(30_000).fill(5);
    const batch = new Batch();
    batch.add(["before"], unlimited);
    batch.add([new LargeBinary(binary), wide, new LargeBinary(binary)], unlimited);
    batch.add(["behind"], unlimited);
    expect(messagesIn(drained(batch))).toEqual([["before"], [binary, wide, binary], ["behind"]]);
  });

  test("refuses a frame beyond maxFrameBytes and adds nothing of it", () => {
    const batch = new Batch();
    batch.add(["first"], 100);
    const tooMuch = [["x".repeat(96)], ["y".repeat(100_000)], [new LargeBinary(new Uint8Array(20_000))]];
    for (const message of tooMuch) expect(() => batch.add(message, 98)).toThrow(LimitError);
    expect(() => batch.add(["x".repeat(97)], 99)).toThrow(
      new LimitError("frame of 100 B exceeds maxFrameBytes 99"),
    );
    batch.add(["x".repeat(96)], 99);
    expect(messagesIn(drained(batch))).toEqual([["first"], ["x".repeat(96)]]);
  });

  test("adds nothing of a message that cannot be encoded", () => {
    const batch = new Batch();
    batch.add(["first"], unlimited);
    const bad = ["text", new LargeBinary(new Uint8Array(20_000)), Symbol("no")];
    expect(() => batch.add(bad, unlimited)).toThrow(EncodeError);
    batch.add(["last"], unlimited);
    expect(messagesIn(drained(batch))).toEqual([["first"], ["last"]]);
  });

  test("says when it is full before the next message needs a further buffer", () => {
    const batch = new Batch();
    while (!batch.full) batch.add(["x".repeat(1_000)], unlimited);
    expect(batch.pendingBytes).toBeGreaterThan(bufferBytes - 4_000);
    expect(batch.pendingBytes).toBeLessThan(bufferBytes);
    expect(partsOf(batch)).toHaveLength(1);
    batch.add([new LargeBinary(new Uint8Array(bufferBytes + 1))], unlimited);
    expect(batch.full).toBe(true);
  });
});

describe("Batch, beside other users of msgpackr in the process", () => {
  const sizes = [0, 10, 3_000, 61_000, 63_000, 66_000, 100_000, 400_000];
  const records = new Packr();
  const theirs = { hello: "world".repeat(20), list: [1, 2, 3], at: new Date(5) };

  test("leaves their bytes alone, and they leave ours", () => {
    const batch = new Batch();
    const ours = sizes.map((size) => [size, "x".repeat(size)]);
    const packed = ours.map((message) => {
      batch.add(message, unlimited);
      return [packTheirs(theirs), records.pack(theirs)] as const;
    });
    expect(messagesIn(drained(batch))).toEqual(ours);
    for (const [plain, record] of packed) {
      expect(unpackTheirs(plain)).toEqual(theirs);
      expect(records.unpack(record)).toEqual(theirs);
    }
  });

  test("leaves their bytes alone when our message fails", () => {
    const before = packTheirs(theirs);
    expect(() => frameOf(["x".repeat(100_000), Symbol("no")])).toThrow(EncodeError);
    const behind = packTheirs(theirs);
    expect([unpackTheirs(before), unpackTheirs(behind)]).toEqual([theirs, theirs]);
  });

  test("does not make their next buffer as large as our last message", () => {
    frameOf(["x".repeat(1_000_000)]);
    expect(packTheirs(theirs).buffer.byteLength).toBeLessThan(20_000);
  });

  test("lets a getter in our value use msgpackr", () => {
    const value = {
      before: "b".repeat(100),
      get inner() {
        return packTheirs({ deep: true });
      },
      behind: "c".repeat(100),
    };
    const [arrived] = messageOf(frameOf([value])) as [typeof value];
    expect(unpackTheirs(arrived.inner)).toEqual({ deep: true });
    expect(portrait({ ...arrived, inner: null })).toBe(portrait({ ...value, inner: null }));
  });
});
