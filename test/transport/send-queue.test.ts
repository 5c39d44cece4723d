import { describe, expect, test } from "bun:test";

import { mostPieces, type Piece, SendQueue } from "../../src/transport/send-queue.ts";
import { until } from "../support/world.ts";

function piece(bytes: number): Piece {
  return { bytes: new Uint8Array(bytes), start: 0, end: bytes };
}

describe("SendQueue", () => {
  test("drops what has been written, in whatever portions, and keeps the order of the rest", () => {
    const queue = new SendQueue();
    const sizes = Array.from({ length: 5_000 }, (_, n) => 1 + ((n * 37) % 50));
    for (const size of sizes) queue.push(piece(size));
    let left = sizes.reduce((sum, size) => sum + size, 0);
    const model = sizes.map((size) => ({ size, done: 0 }));
    for (let n = 0; left > 0; n++) {
      expect(queue.bytes).toBe(left);
      const { first } = queue;
      expect([first!.bytes.length, first!.start]).toEqual([model[0]!.size, model[0]!.done]);
      expect(queue.head.length).toBe(Math.min(mostPieces, model.length));
      const taken = Math.min(left, 1 + ((n * 911) % 700));
      queue.drop(taken);
      left -= taken;
      for (let rest = taken; rest > 0;) {
        const part = Math.min(rest, model[0]!.size - model[0]!.done);
        model[0]!.done += part;
        rest -= part;
        if (model[0]!.done === model[0]!.size) model.shift();
      }
    }
    expect([queue.bytes, queue.first, queue.head]).toEqual([0, undefined, []]);
  });

  test("keeps no memory of what has been written, while others wait", async () => {
    const queue = new SendQueue();
    const refs = Array.from({ length: 20 }, () => {
      const one = piece(100_000);
      queue.push(one);
      return new WeakRef(one.bytes);
    });
    queue.drop(1_950_000);
    await until(() => {
      Bun.gc(true);
      return refs.filter((ref) => ref.deref() !== undefined).length === 1;
    });
    expect(queue.bytes).toBe(50_000);
  });

  test("gives the pieces before one whose memory is gone", () => {
    const queue = new SendQueue();
    for (let n = 0; n < 5; n++) queue.push(piece(10));
    const { bytes } = queue.head[3]!;
    structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    expect(queue.head.length).toBe(3);
  });
});
