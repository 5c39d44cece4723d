import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { join } from "node:path";

import { LimitError } from "../../src/errors.ts";
import { Batch } from "../../src/wire/codec.ts";
import { decode } from "../../src/wire/decode.ts";
import { LargeBinary } from "../../src/wire/large-binary.ts";
import { weigh } from "../../src/wire/weigh.ts";
import { weightFault } from "../../src/wire/weight-limit.ts";
import { bytesOf, frameOf } from "./crossing.ts";
import { golden } from "./golden.ts";
import { kinds, manyOf } from "./many.ts";

const maxFrameValues = 2_000_000;

function faultOf(bytes: Uint8Array): string | undefined {
  return weightFault(bytes.length, bytes, 0, bytes.length, maxFrameValues);
}

async function decodesIn(
  kind: string,
  count: number,
): Promise<{ size: number; estimate: number; taken: number; most: number }> {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "../fixtures/decodes.ts"), kind, String(count)],
    {
      stdout: "pipe",
    },
  );
  const text = await new Response(child.stdout).text();
  await child.exited;
  return JSON.parse(text) as { size: number; estimate: number; taken: number; most: number };
}

describe("weigh", () => {
  test.each(kinds)("estimates what an array of %s takes in memory", async (kind) => {
    const count = 200_000;
    const { estimate, taken, most } = await decodesIn(kind, count);
    // 8 MB for other needs of the process
    expect(taken).toBeLessThan(estimate * 1.3 + 8_000_000);
    expect(estimate).toBeLessThan(most * 4 + 8_000_000);
  });

  test("counts elements, keys, values, and the arrays and maps around them", () => {
    const counts = ["c0", "90", "9301a0c0", "82a16101a16202", "9181a16190", "dc000201 dd00000001 c0"].map(
      (hex) => weigh(bytesOf(hex), 0, bytesOf(hex).length, 100).values,
    );
    expect(counts).toEqual([1, 1, 4, 5, 4, 4]);
  });

  test("stops at the most values, and does not trust a length", () => {
    const head = bytesOf("ddffffffff");
    expect(weigh(head, 0, head.length, 1_000).values).toBeGreaterThan(1_000);
    const nested = new Uint8Array(5 * 2_000);
    for (let at = 0; at < nested.length; at += 5) nested.set([0xdc, 0x03, 0xe7, 0x80, 0x80], at);
    expect(weigh(nested, 0, nested.length, 1_000).values).toBeWithin(1_001, 2_001);
  });

  test("returns for any bytes, and never counts more values than the bytes can hold and one length", () => {
    const bodies = golden.map(({ hex }) => bytesOf(hex).slice(4));
    for (const body of bodies)
      expect(weigh(body, 0, body.length, 10_000).values).toBeWithin(1, body.length + 1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(weigh(bytes, 0, bytes.length, 1_000).values).toBeGreaterThan(0);
      }),
      { numRuns: 3_000 },
    );
    const deep = new Uint8Array(1_000_000).fill(0x91);
    expect(weigh(deep, 0, deep.length, maxFrameValues).values).toBeWithin(2_000, 2_200);
  });
});

describe("weightFault", () => {
  test("lets a list of two million small numbers through, and no more", () => {
    expect(faultOf(manyOf("small integers", maxFrameValues - 1))).toBeUndefined();
    expect(faultOf(manyOf("small integers", maxFrameValues))).toBe(
      "frame of 2000005 B holds 2000001 values or more: maxFrameValues is 2000000",
    );
  });

  test("lets nothing through that takes more than 10 times its size, and 16 MB", () => {
    for (const kind of kinds.filter((one) => one !== "small integers")) {
      const one = manyOf(kind, 400_000);
      const { bytes, values } = weigh(one, 0, one.length, maxFrameValues);
      expect([kind, faultOf(one) === undefined]).toEqual([
        kind,
        values <= maxFrameValues && bytes <= 10 * one.length + 16_000_000,
      ]);
    }
    const text = faultOf(manyOf("empty maps", 400_000));
    expect(text).toBe(
      "frame of 400005 B takes about 28800040 B once it is decoded, more than 10 times its size and 8 B for each of maxFrameValues 2000000",
    );
  });

  test("lets records as programs send them through, a hundred thousand of them", () => {
    const rows = Array.from({ length: 100_000 }, (_, at) => ({
      id: at,
      name: `row ${at}`,
      price: at / 7,
      tags: ["one", "two"],
      open: at % 2 === 0,
      at: new Date(at * 1_000),
    }));
    const frame = frameOf([9, 1, rows]).slice(4);
    expect(faultOf(frame)).toBeUndefined();
    const pairs = frameOf([9, 1, Array.from({ length: 300_000 }, (_, at) => [at % 100, 1])]).slice(4);
    expect(faultOf(pairs)).toBeUndefined();
    const byId = frameOf([9, 1, Object.fromEntries(rows.map((row) => [`user-${row.id}`, row.price]))]).slice(
      4,
    );
    expect(faultOf(byId)).toBeUndefined();
  });
});

describe("Batch.add", () => {
  test("refuses what its receiver would not decode, large binaries in it or not, and adds nothing of it", () => {
    const batch = new Batch(1_000_000);
    const add = (value: unknown): number => batch.add([9, 1, value], 0xffff_ffff);
    const empties = Array.from({ length: 300_000 }, () => ({}));
    const large = new LargeBinary(new Uint8Array(100_000).fill(0x80));
    expect(() => add(empties)).toThrow(LimitError);
    expect(() => add([large, empties])).toThrow("once it is decoded");
    expect(() => add(Array.from({ length: 1_000_001 }, () => 1))).toThrow("maxFrameValues is 1000000");
    expect(batch.pendingBytes).toBe(0);
    // as the receiver finds it: the binary's own bytes are not values
    expect(add([large, { a: [large, 1] }, large])).toBeGreaterThan(300_000);
    const parts: Uint8Array[] = [];
    batch.drain((bytes, start, end) => parts.push(bytes.slice(start, end)));
    const frame = Buffer.concat(parts).subarray(4);
    expect(weigh(frame, 0, frame.length, 100).values).toBe(11);
    expect((decode(frame, 0, frame.length) as unknown[])[2]).toBeArrayOfSize(3);
  });

  test("weighs short frames too when maxFrameValues is small", () => {
    const batch = new Batch(10);
    expect(() => batch.add([9, 1, Array.from({ length: 20 }, () => 1)], 1_000)).toThrow(
      "maxFrameValues is 10",
    );
    expect(batch.add([9, 1, [1, 2, 3]], 1_000)).toBe(7);
  });
});
