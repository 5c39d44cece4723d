import { describe, expect, test } from "bun:test";

import { type Cursor, LineRing, type LineTags, type StoredLine } from "../../src/tree/line-ring.ts";

const tags: LineTags = { time: 1_000.5, run: 1, isStderr: false, continues: false };

function push(ring: LineRing, text: string, changes: Partial<LineTags> = {}): void {
  ring.push(Buffer.from(text), { ...tags, ...changes });
}

function rest(ring: LineRing, cursor: Cursor = ring.begin()): StoredLine[] {
  const lines: StoredLine[] = [];
  for (let line = ring.read(cursor); line !== undefined; line = ring.read(cursor)) lines.push(line);
  return lines;
}

describe("LineRing", () => {
  test("gives lines back in order with their tags, empty ones too", () => {
    const ring = new LineRing(1_024);
    expect(rest(ring)).toEqual([]);
    push(ring, "one");
    push(ring, "", { time: 1_001, isStderr: true });
    push(ring, "€🙂", { run: 7, continues: true });
    expect(rest(ring)).toEqual([
      { ...tags, text: "one" },
      { ...tags, time: 1_001, isStderr: true, text: "" },
      { ...tags, run: 7, continues: true, text: "€🙂" },
    ]);
    expect(ring.runs()).toEqual(new Set([1, 7]));
  });

  test("keeps the last lines that fit, wherever they wrap around", () => {
    for (let capacity = 40; capacity < 120; capacity++) {
      const ring = new LineRing(capacity);
      const all: string[] = [];
      for (let n = 0; n < 200; n++) {
        all.push(`${n}`.padEnd(n % 13, "."));
        push(ring, all.at(-1)!);
        const kept = rest(ring).map(({ text }) => text);
        expect(kept).toEqual(all.slice(-kept.length));
        const size = (texts: string[]): number => texts.reduce((sum, text) => sum + 16 + text.length, 0);
        expect(size(kept)).toBeLessThanOrEqual(capacity);
        if (kept.length < all.length) expect(size(all.slice(-kept.length - 1))).toBeGreaterThan(capacity);
      }
      expect(ring.added).toBe(200);
    }
  });

  test("says how many lines a reader has missed, which goes on with the oldest", () => {
    const ring = new LineRing(3 * 17);
    push(ring, "0");
    const cursor = ring.begin();
    const late = ring.end();
    for (const text of "1234") push(ring, text);
    expect(ring.skip(cursor)).toBe(2);
    expect(ring.skip(cursor)).toBe(0);
    expect(ring.skip(late)).toBe(1);
    expect(rest(ring, cursor).map(({ text }) => text)).toEqual(["2", "3", "4"]);
    push(ring, "5");
    expect(rest(ring, cursor).map(({ text }) => text)).toEqual(["5"]);
  });

  test("replaces what isn't UTF-8", () => {
    const ring = new LineRing(100);
    ring.push(new Uint8Array([0x61, 0xff, 0x00, 0x62]), tags);
    expect(rest(ring)[0]!.text).toBe("a\ufffd\0b");
  });
});
