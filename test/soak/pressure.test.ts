/** A writer that never pauses against a reader that does: nothing grows, on either end, and nobody else waits. */
import { describe, expect, test } from "bun:test";

import { currentActor, openNursery, type Portal } from "../../src/index.ts";
import { type Holdings, holdings } from "../fixtures/soak.ts";
import { announce, median, mebibytes, scaled } from "../support/soak.ts";
import { World } from "../support/world.ts";

const modules = ["flows.ts", "soak.ts"].map((name) => new URL(`../fixtures/${name}`, import.meta.url));
type Far = typeof import("../fixtures/flows.ts") & typeof import("../fixtures/soak.ts");

const lengthMs = 60_000;
const everyMs = 10;
const messageBytes = 16_384;
/** What the heap of an end may have grown by. Without credit a writer of such messages makes more in a blink. */
const heapBound = 4 * 2 ** 20;

/** Milliseconds of calls one after the other, for as long as `going`. */
async function latencies(far: Portal<Far>, going: () => boolean): Promise<number[]> {
  const taken: number[] = [];
  while (going()) {
    const start = performance.now();
    await far.run.ping();
    taken.push(performance.now() - start);
    // the reader, and the writer on the other end, have their turns as well
    if (taken.length % 20 === 0) await Bun.sleep(1);
  }
  return taken;
}

async function measure(far: Portal<Far>): Promise<{ near: Holdings; far: Holdings }> {
  return { near: holdings(), far: await far.run.far() };
}

describe("a writer without pause and a reader of one message per 10 ms", () => {
  test("keep the memory of both ends flat, in a stream and in a dialog", async () => {
    const runMs = scaled(lengthMs);
    announce(`a writer against a slow reader for ${runMs / 1_000} s`);
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const far = await nursery.startActor<Far>("far", { modules });
    let calls = 0;
    await latencies(far, () => ++calls < 3_000); // until the code is compiled
    calls = 0;
    const idle = await latencies(far, () => ++calls < 3_000);

    let over = false;
    let received = 0;
    const reading = (async () => {
      for await (const _ of far.stream.writes(messageBytes)) {
        received++;
        if (over) return;
        await Bun.sleep(everyMs);
      }
    })();
    await using dialog = await far.open.reads(everyMs);
    const text = "x".repeat(messageBytes);
    let sent = 0;
    const writing = (async () => {
      for (; !over; sent++) await dialog.send(text);
      await dialog.end();
    })();
    const end = performance.now() + runMs;
    const warm = performance.now() + runMs / 10;
    const during = await latencies(far, () => performance.now() < warm);
    const before = await measure(far);
    during.push(...(await latencies(far, () => performance.now() < end)));
    const after = await measure(far);
    over = true;
    await Promise.all([reading, writing]);
    dialog.cancel();
    await dialog.result.catch(() => {});

    for (const side of ["near", "far"] as const) {
      const grown = (key: "heap" | "rss"): string =>
        `${mebibytes(after[side][key])} (${mebibytes(after[side][key] - before[side][key])} more)`;
      console.log(`soak:   ${side}: heap ${grown("heap")}, rss ${grown("rss")}`);
    }
    const ratio = median(during) / median(idle);
    console.log(
      `soak:   ${received} messages read, ${sent} sent; calls beside them: ${during.length}, median ` +
        `${(median(during) * 1_000).toFixed(0)} us, idle ${(median(idle) * 1_000).toFixed(0)} us, ratio ${ratio.toFixed(2)}`,
    );
    for (const side of ["near", "far"] as const) {
      expect(after[side].heap - before[side].heap).toBeLessThan(heapBound);
    }
    // a writer is never further ahead than its credit
    const { limits } = currentActor() as unknown as { limits: { creditMessages: number } };
    expect(sent).toBeLessThanOrEqual(received + 2 * limits.creditMessages);
    expect(await far.run.ping()).toBe("pong");
  }, 180_000);
});
