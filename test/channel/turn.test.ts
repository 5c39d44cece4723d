import { describe, expect, test } from "bun:test";

import { beginChunk, endChunk, flushLater, type Sender } from "../../src/channel/turn.ts";

/** Senders that record their flushes in `flushed`. */
function senders(...names: string[]): { readonly flushed: string[]; readonly senders: Sender[] } {
  const flushed: string[] = [];
  return {
    flushed,
    senders: names.map((name) => ({ waits: false, flush: () => void flushed.push(name) })),
  };
}

/** Resolves when the turn is over, after its microtasks and ticks. */
async function turnOver(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("flushLater", () => {
  test("flushes each once, in the order of the first message, after all microtasks of the turn", async () => {
    const { flushed, senders: all } = senders("a", "b");
    const [a, b] = all as [Sender, Sender];
    flushLater(a);
    flushLater(b);
    flushLater(a);
    void Promise.resolve().then(async () => {
      await Promise.resolve();
      flushed.push("microtask");
      flushLater(a);
    });
    expect(flushed).toEqual([]);
    await turnOver();
    expect(flushed).toEqual(["microtask", "a", "b"]);
    flushLater(b);
    await turnOver();
    expect(flushed).toEqual(["microtask", "a", "b", "b"]);
  });

  test("goes on after one that throws", async () => {
    const { flushed, senders: all } = senders("a", "b");
    const [a, b] = all as [Sender, Sender];
    a.flush = () => {
      throw new Error("cannot write");
    };
    flushLater(a);
    flushLater(b);
    await turnOver();
    expect(flushed).toEqual(["b"]);
    expect(a.waits).toBeFalse();
  });
});

describe("endChunk", () => {
  test("flushes the chunk's own sender at once when everything asked has been answered", async () => {
    const { flushed, senders: all } = senders("a");
    const [a] = all as [Sender];
    beginChunk();
    flushLater(a);
    endChunk(a, true);
    expect(flushed).toEqual(["a"]);
    await turnOver();
    expect(flushed).toEqual(["a"]);
  });

  test("waits for the end of the turn when an answer is still due", async () => {
    const { flushed, senders: all } = senders("a");
    const [a] = all as [Sender];
    beginChunk();
    flushLater(a);
    endChunk(a, false);
    queueMicrotask(() => flushed.push("microtask"));
    expect(flushed).toEqual([]);
    await turnOver();
    expect(flushed).toEqual(["microtask", "a"]);
  });

  test("never overtakes a sender that had messages before it", async () => {
    const { flushed, senders: all } = senders("a", "b");
    const [a, b] = all as [Sender, Sender];
    beginChunk();
    flushLater(b);
    flushLater(a);
    endChunk(a, true);
    expect(flushed).toEqual([]);
    await turnOver();
    expect(flushed).toEqual(["b", "a"]);
    flushLater(b);
    beginChunk();
    flushLater(a);
    endChunk(a, true);
    expect(flushed).toEqual(["b", "a"]);
    await turnOver();
    expect(flushed).toEqual(["b", "a", "b", "a"]);
  });
});
