import { describe, expect, test } from "bun:test";

import { OutputTail } from "../../src/tree/output.ts";

/** A sink that keeps what it gets, and asks for a pause after each write if it is slow. */
function sink(slow = false): { texts: string[]; stream: NodeJS.WriteStream } {
  const texts: string[] = [];
  const stream = {
    write(data: string | Uint8Array) {
      texts.push(typeof data === "string" ? data : new TextDecoder().decode(data));
      return !slow;
    },
    once: (_: string, listener: () => void) => queueMicrotask(listener),
  };
  return { texts, stream: stream as unknown as NodeJS.WriteStream };
}

function source(chunks: Iterable<string | Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
      controller.close();
    },
  });
}

async function prefixed(chunks: Iterable<string | Uint8Array>): Promise<string[]> {
  const { texts, stream } = sink();
  await new OutputTail(source(chunks), () => stream, "a: ").closed(5_000);
  return texts.join("").split("\n");
}

describe("OutputTail", () => {
  test("puts the prefix before each line, however the chunks are cut, and ends the last one", async () => {
    const euro = Buffer.from("€\n");
    expect(await prefixed(["one\ntw", "o\n", "\n", euro.subarray(0, 1), euro.subarray(1), "end"])).toEqual([
      "a: one",
      "a: two",
      "a: ",
      "a: €",
      "a: end",
      "",
    ]);
  });

  test("splits a line beyond 64 KiB, with a mark, and loses nothing of it", async () => {
    const chunk = "0123456789abcdef".repeat(1_000);
    const long = chunk.repeat(20);
    const lines = await prefixed(["short\n", ...Array.from({ length: 20 }, () => chunk), "\n", "after\n"]);
    const parts = lines.slice(1, -2);
    expect([lines[0], ...lines.slice(-2)]).toEqual(["a: short", "a: after", ""]);
    expect(parts.length).toBe(5);
    expect(parts.every((part) => part.length <= "a: ".length + 65_536 + " [line goes on]".length)).toBe(true);
    const bodies = parts.map((part, at) => {
      expect(part.endsWith(" [line goes on]")).toBe(at < parts.length - 1);
      return part.slice("a: ".length).replace(" [line goes on]", "");
    });
    expect(bodies.join("")).toBe(long);
  });

  test("does not cut a character in two when it splits a line", async () => {
    const lines = await prefixed([`x${"🙂".repeat(40_000)}`]);
    expect(lines.join("")).not.toContain("\ufffd");
    expect(lines.every((line) => line.isWellFormed())).toBe(true);
  });

  test("takes 60 MB without a newline in pieces: what it keeps, and what it handles at once, is bounded", async () => {
    const chunk = Buffer.from("x".repeat(65_536));
    const chunks = 960;
    let longest = 0;
    let pieces = 0;
    let characters = 0;
    const stream = {
      write(data: string) {
        pieces++;
        longest = Math.max(longest, data.length);
        characters += data.length;
        return true;
      },
    } as unknown as NodeJS.WriteStream;
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < chunks) controller.enqueue(chunk);
        else controller.close();
      },
    });
    const tail = new OutputTail(endless, () => stream, "a: ");
    await tail.closed(10_000);
    expect(longest).toBeLessThan(70_000);
    expect(pieces).toBeWithin(chunks, chunks + 3);
    expect(characters).toBeGreaterThan(60_000_000);
    expect(tail.text).toBe("x".repeat(8_192));
  });

  test("keeps the last 8192 characters, from chunks of any size", async () => {
    const chunks = Array.from({ length: 5_000 }, (_, at) => `${at} `.repeat(1 + (at % 7)));
    const { stream } = sink(true);
    for (const out of [undefined, () => stream]) {
      const tail = new OutputTail(source([...chunks, "y".repeat(20_000), ...chunks]), out, "");
      await tail.closed(5_000);
      expect(tail.text).toBe(chunks.join("").slice(-8_192));
    }
    const empty = new OutputTail(source([]), undefined, "");
    await empty.closed(100);
    expect(empty.text).toBe("");
  });
});
