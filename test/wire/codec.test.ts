import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Packr, pack as packTheirs, unpack as unpackTheirs } from "msgpackr";

import { EncodeError, LimitError } from "../../src/errors.ts";
import { Batch } from "../../src/wire/codec.ts";
import { decode } from "../../src/wire/decode.ts";
import { LargeBinary, largeBinaryBytes } from "../../src/wire/large-binary.ts";
import { FrameDecoder } from "../../src/wire/frame.ts";
import { drained, frameOf, joined, messageOf, portrait } from "./crossing.ts";

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

  test("carries objects of more than 65535 keys, also after a large binary", () => {
    const wide = Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`key${index}`, index]));
    const binary = new Uint8Array(30_000).fill(5);
    const batch = new Batch();
    batch.add(["before"], unlimited);
    batch.add([new LargeBinary(binary), wide, new LargeBinary(binary)], unlimited);
    batch.add(["behind"], unlimited);
    expect(messagesIn(drained(batch))).toEqual([["before"], [binary, wide, binary], ["behind"]]);
  });

  test("never mistakes another error for one about many keys, whatever its text", () => {
    let reads = 0;
    const getter = {
      get value() {
        if (reads++ === 0) throw new Error("variableMapSize");
        return 1;
      },
    };
    const batch = new Batch();
    expect(() => batch.add([new Date(0), getter], unlimited)).toThrow(EncodeError);
    expect(batch.pendingBytes).toBe(0);
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

  test("is full before the next message needs another buffer", () => {
    const batch = new Batch();
    while (!batch.full) batch.add(["x".repeat(1_000)], unlimited);
    expect(batch.pendingBytes).toBeGreaterThan(bufferBytes - 4_000);
    expect(batch.pendingBytes).toBeLessThan(bufferBytes);
    expect(partsOf(batch)).toHaveLength(1);
    batch.add([new LargeBinary(new Uint8Array(bufferBytes + 1))], unlimited);
    expect(batch.full).toBe(true);
  });
});

describe("Batch.drain", () => {
  test("keeps nothing of a large binary that has left, nor of one in a message that was refused", () => {
    const bytes = 67_108_864;
    const heldBytes = (): number => {
      Bun.gc(true);
      return heapStats().extraMemorySize;
    };
    const batch = new Batch();
    const before = heldBytes();
    const send = (): void => {
      batch.add([[new LargeBinary(new Uint8Array(bytes))]], unlimited);
      batch.drain(() => {});
    };
    const refuse = (): void => {
      const message = [new LargeBinary(new Uint8Array(bytes)), Symbol.iterator];
      expect(() => batch.add(message, unlimited)).toThrow(EncodeError);
    };
    for (const work of [send, refuse]) {
      work();
      expect(heldBytes() - before).toBeLessThan(bytes / 2);
    }
  });
});

describe("Batch.addBinary", () => {
  const kind = 18;
  const lengths = [0, 1, 255, 256, largeBinaryBytes - 1, largeBinaryBytes, 65_535, 65_536, 200_000];
  const ids = [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 40];

  test("adds [kind, id, value], whatever the sizes, and returns the size of the frame", () => {
    for (const id of ids) {
      for (const length of lengths) {
        const batch = new Batch();
        const value = new Uint8Array(length).fill(7);
        const size = batch.addBinary(kind, id, value, unlimited);
        expect(batch.pendingBytes).toBe(size + 4);
        expect(messagesIn(drained(batch))).toStrictEqual([[kind, id, value]]);
      }
    }
  });

  test("adds [kind, id, [6, value], true] for a Buffer, whatever the sizes, and returns the size of the frame", () => {
    for (const id of ids) {
      for (const length of lengths) {
        const batch = new Batch();
        const value = Buffer.alloc(length, 7);
        const size = batch.addBinary(kind, id, value, unlimited);
        expect(batch.pendingBytes).toBe(size + 4);
        batch.add(["after"], unlimited);
        const [message, after] = messagesIn(drained(batch));
        expect(message).toEqual([kind, id, [6, new Uint8Array(value)], true]);
        expect(after).toEqual(["after"]);
      }
    }
  });

  test("writes a large Buffer from the caller's memory", () => {
    const large = Buffer.alloc(largeBinaryBytes, 1);
    const batch = new Batch();
    batch.addBinary(kind, 1, large, unlimited);
    const sources: Uint8Array[] = [];
    batch.drain((bytes, _start, _end, stable) => void (stable && sources.push(bytes)));
    expect(sources[0]).toBe(large);
    expect(() => batch.addBinary(kind, 1, Buffer.alloc(90), 97)).toThrow("frame of 98 B");
    expect(batch.pendingBytes).toBe(0);
    expect(batch.addBinary(kind, 1, Buffer.alloc(90), 98)).toBe(98);
  });

  test("writes a large value from the caller's memory, and copies a small one", () => {
    const large = new Uint8Array(new ArrayBuffer(100_000), 500, largeBinaryBytes).fill(1);
    const small = new Uint8Array(largeBinaryBytes - 1).fill(2);
    const batch = new Batch();
    batch.add(["before"], unlimited);
    batch.addBinary(kind, 1, large, unlimited);
    batch.addBinary(kind, 2, small, unlimited);
    small.fill(3);
    const parts: Uint8Array[] = [];
    const sources: Uint8Array[] = [];
    batch.drain((bytes, start, end, stable) => {
      parts.push(bytes.slice(start, end));
      if (stable) sources.push(bytes);
    });
    expect(sources).toEqual([large]);
    expect(sources[0]).toBe(large);
    const copied = new Uint8Array(small.length).fill(2);
    expect(messagesIn(joined(parts))).toStrictEqual([["before"], [kind, 1, large], [kind, 2, copied]]);
  });

  test("carries any sequence, among messages of other kinds", () => {
    const binary = fc.oneof(fc.nat(300), fc.nat(largeBinaryBytes - 1), fc.nat(100_000));
    const text = fc.nat(30_000).map((size) => "t".repeat(size));
    fc.assert(
      fc.property(fc.array(fc.oneof(binary, text), { maxLength: 30 }), (list) => {
        const batch = new Batch();
        const messages = list.map((one, id) => [
          kind,
          id,
          typeof one === "string" ? one : new Uint8Array(one),
        ]);
        for (const message of messages) {
          const [, id, value] = message as [number, number, string | Uint8Array];
          if (typeof value === "string") batch.add(message, unlimited);
          else batch.addBinary(kind, id, value, unlimited);
        }
        expect(messagesIn(drained(batch))).toStrictEqual(messages);
      }),
      { numRuns: 150 },
    );
  });

  test("refuses a frame beyond maxFrameBytes and adds nothing of it", () => {
    const batch = new Batch();
    batch.addBinary(kind, 1, new Uint8Array(95), 100);
    for (const length of [96, 200, largeBinaryBytes, 100_000]) {
      expect(() => batch.addBinary(kind, 1, new Uint8Array(length), 100)).toThrow(LimitError);
    }
    batch.addBinary(kind, 2, new Uint8Array(95), 100);
    const value = new Uint8Array(95);
    expect(messagesIn(drained(batch))).toStrictEqual([
      [kind, 1, value],
      [kind, 2, value],
    ]);
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
