/** Streams and dialogs, opened and ended in every way at random: nothing of them stays, on either end. */
import { describe, expect, test } from "bun:test";

import { currentActor, openNursery, openTaskGroup, type Portal } from "../../src/index.ts";
import { type Holdings, holdings } from "../fixtures/soak.ts";
import { announce, Chance, mebibytes, scaled, seed } from "../support/soak.ts";
import { until, World } from "../support/world.ts";

const modules = ["flows.ts", "soak.ts"].map((name) => new URL(`../fixtures/${name}`, import.meta.url));
type Far = typeof import("../fixtures/flows.ts") & typeof import("../fixtures/soak.ts");

const exchanges = 10_000;
const atOnce = 32;
/** What the heap of each end may have grown by after all of them. One object kept for each would be more. */
const heapBound = 2 * 2 ** 20;
/** What may be under way, or remembered, at both measurements. */
const fdBound = 4;

type Way = (far: Portal<Far>, chance: Chance, shared: AbortSignal) => Promise<unknown>;

async function drain(source: AsyncIterable<unknown>, most = Number.POSITIVE_INFINITY): Promise<void> {
  let read = 0;
  for await (const _ of source) if (++read >= most) return;
}

/** Each ends a stream or dialog in its own way; that it may fail is part of it. */
const ways: Record<string, Way> = {
  "stream read to its end": (far, chance) => drain(far.stream.count(chance.below(200))),
  "stream left early": (far, chance) => drain(far.stream.count(1_000), 1 + chance.below(100)),
  "stream left before its first value": async (far) => {
    const stream = far.stream.count(10);
    const first = stream.next();
    await stream.return(0);
    await first;
  },
  "stream that nobody reads": async (far) => await far.stream.count(10).return(10),
  "stream that throws": (far, chance) => drain(far.stream.count(100, chance.below(100))),
  "stream whose reader throws": async (far) => {
    for await (const n of far.stream.count(100)) if (n === 3) throw new Error("mine");
  },
  "stream aborted": async (far, chance) => {
    const abort = new AbortController();
    const most = chance.below(50);
    for await (const n of far.with({ signal: abort.signal }).stream.count(10_000)) {
      if (n === most) abort.abort(new Error("enough"));
    }
  },
  "stream that times out": (far) => drain(far.with({ timeout: 2 }).stream.waiting()),
  "stream of what cannot cross": (far) => drain(far.stream.yieldsFunction()),
  "stream whose clean-up fails": (far) => drain(far.stream.failsInFinally(), 2),
  "stream of large values": (far, chance) => drain(far.stream.blocks(100_000, 4), 1 + chance.below(4)),
  "stream under a signal that outlives it": (far, _, shared) =>
    drain(far.with({ signal: shared }).stream.count(20)),
  "stream in a group that fails": async (far) => {
    await using group = openTaskGroup();
    void group.start(async () => await drain(far.stream.waiting()));
    void group.start(async () => await Promise.reject(new Error("the group's")));
  },
  "dialog to its end": async (far, chance) => {
    await using dialog = await far.open.upper("hello");
    for (let n = chance.below(20); n >= 0; n--) await dialog.send("text");
    await dialog.end();
    await drain(dialog);
    await dialog.result;
  },
  "dialog left": async (far) => {
    await using dialog = await far.open.upper("hello");
    await dialog.send("text");
  },
  "dialog left with its messages unread": async (far, chance) => {
    await using dialog = await far.open.upper("hello");
    for (let n = chance.below(100); n >= 0 && dialog.trySend("text"); n--);
  },
  "dialog cancelled here": async (far) => {
    await using dialog = await far.open.upper("hello");
    dialog.cancel("enough");
    await dialog.result;
  },
  "dialog cancelled there": async (far) => {
    await using dialog = await far.open.cancelsItself();
    await drain(dialog);
  },
  "dialog cancelled on both ends": async (far) => {
    await using dialog = await far.open.cancelsItself();
    dialog.cancel("me too");
    await dialog.result;
  },
  "dialog that fails": async (far, chance) => {
    await using dialog = await far.open.failsAfter(chance.below(100));
    await drain(dialog);
  },
  "dialog that fails and is not read": async (far, chance) => {
    await using _dialog = await far.open.failsAfter(chance.below(100));
  },
  "dialog that does not start": async (far, chance) => {
    await using dialog = await far.open.neverStarts(chance.pick(["throw", "cancel", "return"]));
    await dialog.result;
  },
  "dialog aborted before it starts": async (far) => {
    const opening = far.with({ signal: AbortSignal.timeout(2) }).open.neverStarts("hang");
    await using _dialog = await opening;
  },
  "dialog whose clean-up fails": async (far) => {
    await using _dialog = await far.open.failsWhenCancelled();
  },
  "dialog with a message that cannot cross": async (far) => {
    await using dialog = await far.open.upper("hello");
    await dialog.send((() => {}) as unknown as string);
  },
  "dialog with a message after the end": async (far) => {
    await using dialog = await far.open.upper("hello");
    await dialog.end();
    await dialog.send("late");
  },
  "dialog whose callee's block is misused": async (far, chance) => {
    const how = chance.pick(["send before started", "started twice", "send a function", "send after end"]);
    await using dialog = await far.open.misuses(how);
    await drain(dialog);
  },
  "dialog under a signal that outlives it": async (far, _, shared) => {
    await using dialog = await far.with({ signal: shared }).open.endsEarly();
    await dialog.result;
  },
  "dialog of another verb": async (far) => {
    await (far as unknown as Portal).open["count"]!(1);
  },
};

/** A signal that counts who listens to it. */
function countedSignal(): { signal: AbortSignal; listeners: () => number } {
  const { signal } = new AbortController();
  const listening = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (type: string, listener: never, options?: object) => {
    listening.add(listener);
    add(type, listener, options);
  };
  signal.removeEventListener = (type: string, listener: never) => {
    listening.delete(listener);
    remove(type, listener);
  };
  return { signal, listeners: () => listening.size };
}

async function run(
  far: Portal<Far>,
  count: number,
  chance: Chance,
  shared: AbortSignal,
): Promise<Record<string, number>> {
  const names = Object.keys(ways);
  const outcomes: Record<string, number> = {};
  let begun = 0;
  const lane = async (): Promise<void> => {
    while (begun < count) {
      if (++begun % 500 === 0) await far.run.events();
      const name = chance.pick(names);
      let outcome = "ok";
      try {
        await ways[name]!(far, chance, shared);
      } catch (error) {
        outcome = (error as Error).name;
      }
      const key = `${name}: ${outcome}`;
      outcomes[key] = (outcomes[key] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  await far.run.events();
  return outcomes;
}

describe("streams and dialogs", () => {
  test("opened and ended in every way at random leave nothing behind, on both ends", async () => {
    const count = scaled(exchanges);
    announce(`${count} streams and dialogs`);
    const chance = new Chance(seed);
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const far = await nursery.startActor<Far>("far", { modules });
    const { signal, listeners } = countedSignal();
    const processListeners = (): number =>
      process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
    // code is compiled, buffers grow to their size: what comes after the first tenth is what is looked at
    await run(far, Math.max(500, count / 10), chance, signal);
    const idle = async (): Promise<void> => {
      await until(() => currentActor().stats().callsInFlight === 0);
      await until(async () => (await far.run.far()).callsInFlight === 0);
    };
    await idle();
    const before = { near: holdings(), far: await far.run.far(), listeners: processListeners() };
    const outcomes = await run(far, count, chance, signal);
    await idle();
    const after = { near: holdings(), far: await far.run.far(), listeners: processListeners() };
    for (const end of ["near", "far"] as const) {
      const grown = (key: keyof Holdings): number => after[end][key] - before[end][key];
      console.log(
        `soak:   ${end}: heap ${mebibytes(after[end].heap)} (${mebibytes(grown("heap"))} more), ` +
          `${grown("objects")} objects more, rss ${mebibytes(after[end].rss)} (${mebibytes(grown("rss"))} more), ` +
          `${grown("fds")} descriptors more`,
      );
      expect(after[end].callsInFlight).toBe(0);
      expect(grown("fds")).toBeLessThanOrEqual(fdBound);
      expect(grown("heap")).toBeLessThan(heapBound);
    }
    expect(listeners()).toBe(0);
    expect(after.listeners).toBe(before.listeners);
    expect(currentActor().stats()).toMatchObject({ peers: 1, registrar: { actors: 2, names: 2 } });
    // each way was gone, and none ended in the loss of the connection
    expect(Object.keys(outcomes).filter((key) => key.includes("FrameError"))).toEqual([]);
    expect(new Set(Object.keys(outcomes).map((key) => key.split(":")[0])).size).toBe(
      Object.keys(ways).length,
    );
    expect(await far.run.ping()).toBe("pong");
    if (process.env["FURROW_SOAK_VERBOSE"] === "1") console.log(outcomes);
  }, 180_000);
});
