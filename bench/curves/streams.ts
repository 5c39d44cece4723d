/** Streams that are open at the same time over one connection. */
import { findActor } from "../../src/index.ts";
import type * as actor from "../fixtures/curve-actor.ts";
import { collect, memoryOf } from "../harness/memory.ts";
import type { Curve, Values } from "./curve.ts";
import { joinServer, openServer } from "./scene.ts";

/** Fewer streams don't show in the memory of a process. */
const leastWeighed = 100;
/** All streams together send about so many messages, and each of them at least its credit. */
const messages = 200_000;
const leastEach = 64;
const messageBytes = 32;

export const streams: Curve = {
  id: "streams",
  title: "Streams open over one connection",
  about:
    "All streams are open before the first one sends, and each sends at least 64 messages of 32 bytes. They are weighed while they are open and idle, after a collection.",
  counts: "open streams",
  sizes: [1, 10, 100, 1_000, 10_000],
  measures: [
    { id: "rate", what: "messages per second, all together", unit: "perSecond" },
    { id: "sender", what: "private memory of each, at the sender", unit: "bytes" },
    { id: "reader", what: "private memory of each, at the reader", unit: "bytes" },
  ],
  async measure(size, scene): Promise<Values> {
    await using server = await openServer(scene);
    await using _actor = await joinServer(server);
    await using portal = await findActor<typeof actor>("server", { raiseOnNone: true });
    const each = scene.isBrief ? 1 : Math.max(leastEach, Math.ceil(messages / size));
    const [senderBefore, readerBefore] = [await server.memory(), ownMemory()];
    const open = Array.from({ length: size }, () =>
      portal.stream.tap(each, messageBytes)[Symbol.asyncIterator](),
    );
    // the empty message shows that it is open
    await Promise.all(open.map((stream) => stream.next()));
    const [senderAfter, readerAfter] = [await server.memory(), ownMemory()];
    const start = Bun.nanoseconds();
    const read = open.map(async (stream) => {
      let count = 0;
      while (!(await stream.next()).done) count++;
      return count;
    });
    await portal.run.openTaps();
    const counts = await Promise.all(read);
    const seconds = (Bun.nanoseconds() - start) / 1e9;
    if (counts.some((count) => count !== each)) throw new Error("a stream lost messages");
    const rate = { median: (size * each) / seconds };
    if (size < leastWeighed) return { rate };
    return {
      rate,
      sender: { median: (senderAfter.private - senderBefore.private) / size },
      reader: { median: (readerAfter.private - readerBefore.private) / size },
    };
  },
};

function ownMemory(): { readonly private: number } {
  collect();
  return memoryOf(process.pid);
}
