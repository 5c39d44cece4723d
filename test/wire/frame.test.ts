import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { FrameError } from "../../src/errors.ts";
import { decode } from "../../src/wire/decode.ts";
import { FrameDecoder } from "../../src/wire/frame.ts";
import { bytesOf, frameOf, hexOf, joined, portrait } from "./crossing.ts";
import { golden } from "./golden.ts";

const maxFrameBytes = 1_000;

/** Feeds the chunks and returns each frame's bytes as hex. */
function framesIn(chunks: Iterable<Uint8Array>, decoder = new FrameDecoder(maxFrameBytes)): string[] {
  const frames: string[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk, (source, start, end) => frames.push(hexOf(source.subarray(start, end))) > 0);
  }
  return frames;
}

const stream = joined(golden.map(({ hex }) => bytesOf(hex)));
const bodies = golden.map(({ hex }) => hexOf(bytesOf(hex).subarray(4)));

describe("golden frames", () => {
  test.each(golden.map((row) => [row.what, row] as const))("encodes %s", (_, { message, hex }) => {
    expect(hexOf(frameOf(message))).toBe(hex.replaceAll(" ", ""));
  });

  test.each(golden.map((row) => [row.what, row] as const))("decodes %s", (_, { message, hex }) => {
    const bytes = bytesOf(hex);
    const found: unknown[] = [];
    new FrameDecoder(maxFrameBytes).push(bytes, (source, start, end) => {
      return found.push(decode(source, start, end)) > 0;
    });
    expect(portrait(found)).toBe(portrait([message]));
  });
});

describe("FrameDecoder", () => {
  test("finds the same frames wherever the stream is split in two", () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(framesIn([stream.subarray(0, at), stream.subarray(at)])).toEqual(bodies);
    }
  });

  test("finds the same frames in chunks of every size from one byte on", () => {
    for (let size = 1; size <= 70; size++) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
      expect(framesIn(chunks)).toEqual(bodies);
    }
  });

  test("finds the same frames however the stream is cut", () => {
    const cuts = fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 20 });
    fc.assert(
      fc.property(cuts, (places) => {
        const bounds = [0, ...places.toSorted((a, b) => a - b), stream.length];
        const chunks = bounds.slice(1).map((end, index) => stream.subarray(bounds[index], end));
        expect(framesIn(chunks)).toEqual(bodies);
      }),
    );
  });

  test("calls an end between two frames clean, and one inside a frame broken", () => {
    const frame = bytesOf("03000000 920307");
    const endings = Array.from({ length: frame.length + 1 }, (_, cut) => {
      const decoder = new FrameDecoder(maxFrameBytes);
      framesIn([frame.subarray(0, cut)], decoder);
      return decoder.end();
    });
    const inside = Array.from({ length: frame.length - 1 }, () => "broken" as const);
    expect(endings).toEqual(["clean", ...inside, "clean"]);
  });

  test.each([
    ["00000000", "frame of 0 B: a frame holds one value"],
    ["e9030000", "frame of 1001 B exceeds maxFrameBytes 1000"],
    ["ffffffff", "frame of 4294967295 B exceeds maxFrameBytes 1000"],
    ["00000080", "frame of 2147483648 B exceeds maxFrameBytes 1000"],
  ])("refuses the length %s as soon as it is complete, however it is split", (hex, message) => {
    const header = bytesOf(hex);
    for (let cut = 0; cut <= header.length; cut++) {
      const fault = new FrameError(message);
      expect(() => framesIn([header.subarray(0, cut), header.subarray(cut)])).toThrow(fault);
    }
  });

  test("accepts a frame of exactly maxFrameBytes, and larger ones once the limit has grown", () => {
    const body = new Uint8Array(maxFrameBytes + 1).fill(0xc0);
    const header = (length: number): Uint8Array => new Uint8Array(new Uint32Array([length]).buffer);
    const decoder = new FrameDecoder(maxFrameBytes);
    expect(framesIn([header(maxFrameBytes), body.subarray(1)], decoder)).toHaveLength(1);
    decoder.maxFrameBytes++;
    expect(framesIn([header(maxFrameBytes + 1), body], decoder)).toHaveLength(1);
  });

  test("stops when the sink has had enough", () => {
    let taken = 0;
    new FrameDecoder(maxFrameBytes).push(stream, () => ++taken < 3);
    expect(taken).toBe(3);
  });
});

describe("FrameDecoder, without copies", () => {
  const frame = frameOf(["id", new Uint8Array([1, 2, 3])]);

  test("hands out frames that lie in one chunk in place, with views of it as binary values", () => {
    const chunk = joined([frame, frame, frame]);
    const seen: [source: Uint8Array, start: number, end: number][] = [];
    const binaries: Uint8Array[] = [];
    new FrameDecoder(maxFrameBytes).push(chunk, (source, start, end) => {
      seen.push([source, start, end]);
      binaries.push((decode(source, start, end) as [string, Uint8Array])[1]);
      return true;
    });
    const size = frame.length;
    expect(seen.map(([, start, end]) => [start, end])).toEqual([
      [4, size],
      [size + 4, 2 * size],
      [2 * size + 4, 3 * size],
    ]);
    expect(seen.every(([source]) => source === chunk)).toBe(true);
    expect(binaries.every((binary) => binary.buffer === chunk.buffer)).toBe(true);
    chunk[frame.length - 1] = 99;
    expect(binaries[0]).toEqual(new Uint8Array([1, 2, 99]));
  });

  test("gathers a frame that spans chunks in one allocation of exactly its size", () => {
    const sources = new Set<Uint8Array>();
    const decoder = new FrameDecoder(maxFrameBytes);
    let binary = new Uint8Array();
    for (const byte of frame) {
      decoder.push(new Uint8Array([byte]), (source, start, end) => {
        sources.add(source);
        binary = (decode(source, start, end) as [string, Uint8Array<ArrayBuffer>])[1];
        return true;
      });
    }
    const [body] = sources;
    expect(sources.size).toBe(1);
    expect(body!.buffer.byteLength).toBe(frame.length - 4);
    expect(binary.buffer).toBe(body!.buffer as ArrayBuffer);
    expect(binary).toEqual(new Uint8Array([1, 2, 3]));
    expect(binary.constructor).toBe(Uint8Array);
  });

  test("copies only the spanning frame when others follow in the same chunk", () => {
    const decoder = new FrameDecoder(maxFrameBytes);
    const rest = joined([frame.subarray(7), frame]);
    const sources: Uint8Array[] = [];
    const sink = (source: Uint8Array): boolean => sources.push(source) > 0;
    decoder.push(frame.subarray(0, 7), sink);
    decoder.push(rest, sink);
    expect(sources.map((source) => source === rest)).toEqual([false, true]);
  });
});
