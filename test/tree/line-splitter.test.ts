import { describe, expect, test } from "bun:test";
import fc from "fast-check";

import { LineSplitter, maxLineBytes } from "../../src/tree/line-splitter.ts";

interface Piece {
  readonly bytes: Buffer;
  readonly continues: boolean;
}

function split(chunks: Iterable<string | Uint8Array>): Piece[] {
  const pieces: Piece[] = [];
  const splitter = new LineSplitter((line, continues) =>
    pieces.push({ bytes: Buffer.from(line), continues }),
  );
  for (const chunk of chunks) splitter.add(Buffer.from(chunk as Uint8Array));
  splitter.end();
  return pieces;
}

function texts(chunks: Iterable<string | Uint8Array>): string[] {
  return split(chunks).map(({ bytes }) => bytes.toString());
}

describe("LineSplitter", () => {
  test("finds the lines, however the chunks are cut, and drops their ends", () => {
    const text = "one\ntwo\r\n\nthree€\nlast";
    const bytes = Buffer.from(text);
    for (let at = 0; at <= bytes.length; at++) {
      expect(texts([bytes.subarray(0, at), bytes.subarray(at)])).toEqual([
        "one",
        "two",
        "",
        "three€",
        "last",
      ]);
    }
    expect(texts(Array.from(bytes, (byte) => new Uint8Array([byte])))).toEqual([
      "one",
      "two",
      "",
      "three€",
      "last",
    ]);
    expect(texts(["one\n"])).toEqual(["one"]);
    expect(texts([])).toEqual([]);
  });

  test("has what has come of the line that hasn't ended", () => {
    const splitter = new LineSplitter(() => {});
    expect(splitter.unfinished).toEqual(new Uint8Array());
    splitter.add(Buffer.from("one\ntw"));
    splitter.add(Buffer.from("o"));
    expect(Buffer.from(splitter.unfinished).toString()).toBe("two");
    splitter.add(Buffer.from("\n"));
    expect(splitter.unfinished).toHaveLength(0);
  });

  test("cuts a line beyond 16 KiB, never within a character, and loses nothing", () => {
    for (const character of ["x", "é", "€", "🙂"]) {
      for (const shift of ["", "a", "ab", "abc"]) {
        const long = shift + character.repeat(20_000);
        const pieces = split([`short\n${long}`, "!\nafter\n"]);
        const [first, ...more] = pieces;
        const last = more.pop();
        expect([first!.bytes.toString(), last!.bytes.toString()]).toEqual(["short", "after"]);
        expect(more.map(({ continues }) => continues)).toEqual(more.map((_, at) => at < more.length - 1));
        expect(Math.max(...more.map(({ bytes }) => bytes.length))).toBeLessThanOrEqual(maxLineBytes);
        const parts = more.map(({ bytes }) => bytes.toString());
        expect(parts.join("")).toBe(`${long}!`);
        expect(parts.filter((part) => part.includes("\ufffd"))).toEqual([]);
      }
    }
  });

  test("gives a line of exactly 16 KiB whole", () => {
    const line = "x".repeat(maxLineBytes);
    const whole = [{ bytes: Buffer.from(line), continues: false }];
    expect(split([`${line}\n`])).toEqual(whole);
    expect(split([line, "\n"])).toEqual(whole);
    expect(split([line])).toEqual(whole);
  });

  test("takes any bytes, in bounded pieces, and loses none but the ends of lines", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 50 }),
            fc.constantFrom(0x80, 0xbf, 0xf0, 0xff, 0x0a).map((byte) => new Uint8Array(9_000).fill(byte)),
          ),
          { maxLength: 12 },
        ),
        (chunks) => {
          const all = Buffer.concat(chunks);
          const pieces = split(chunks);
          const joined = Buffer.concat(
            pieces.flatMap(({ bytes, continues }) => (continues ? [bytes] : [bytes, Buffer.from("\n")])),
          );
          const expected = all.toString("latin1").replaceAll("\r\n", "\n").replace(/\r$/, "");
          const end = all.length === 0 || all.at(-1) === 0x0a ? "" : "\n";
          expect(joined.toString("latin1")).toBe(expected + end);
          expect(pieces.every(({ bytes }) => bytes.length <= maxLineBytes)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
