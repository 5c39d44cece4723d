/** Children that are killed at random, in every stage, under each strategy: everybody is up in the end, once. */
import { describe, expect, test } from "bun:test";

import { currentActor, findActor, type Nursery, openNursery } from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Events } from "../support/events.ts";
import { announce, Chance, inFull, scaled, seed } from "../support/soak.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/versioned.ts", import.meta.url);
type Versioned = typeof import("../fixtures/versioned.ts");
const names = ["a", "b", "c", "d"];
const kills = scaled(200);
const restart = { when: "on-failure", maxRestarts: 1_000_000, backoffMs: [0, 20] } as const;

/** Waits until all children are up; those that were killed may still look like it. */
async function waitForAll(nursery: Nursery, killed: ReadonlySet<string>): Promise<void> {
  await until(() => {
    const { children } = nursery;
    const areReady = children.every(({ id, state }) => state === "ready" && !killed.has(id.uuid));
    return children.length === names.length && areReady;
  }, 20_000);
}

describe("random kills and replacements", () => {
  // without a strategy it is one-for-all
  test.each(["one-for-all", "rest-for-one", "one-for-one", ...(inFull ? [undefined] : [])] as const)(
    "under %s end with every child up once, in the order of starting",
    async (strategy) => {
      announce(`${kills} kills under ${strategy}`);
      const chance = new Chance(seed);
      await using world = new World();
      await using nursery = await openNursery({ ...world.options, ...(strategy && { strategy }) });
      const events = new Events(nursery);
      for (const name of names) await nursery.startActor(name, { module, restart, output: "ignore" });
      const replacing = new Set<Promise<unknown>>();
      const killed = new Set<string>();
      for (let kill = 0; kill < kills; kill++) {
        const { id } = chance.pick(nursery.children);
        if (isProcessAlive(id.pid)) {
          killed.add(id.uuid);
          process.kill(id.pid, "SIGKILL");
        }
        if (chance.below(8) === 0) {
          // it fails if a sibling takes its process along while it starts, or if it is killed itself
          const one = nursery
            .replaceActor(chance.pick(names), { module, restart, output: "ignore", drainTimeout: 100 })
            .catch(() => {})
            .finally(() => replacing.delete(one));
          replacing.add(one);
        }
        await Bun.sleep(chance.below(60));
        if (chance.below(4) === 0) await waitForAll(nursery, killed).catch(() => {});
      }
      await Promise.all(replacing);
      await waitForAll(nursery, killed);
      expect(nursery.signal.aborted).toBeFalse();
      for (const { id } of nursery.children) {
        expect(isProcessAlive(id.pid)).toBeTrue();
        await using portal = await findActor<Versioned>(id.name, { raiseOnNone: true });
        expect(await portal.run.pid()).toBe(id.pid);
      }
      expect(nursery.children.map(({ id }) => id.name)).toEqual(names);
      await until(() => currentActor().stats().registrar?.actors === names.length + 1);
      // of each process that was ready, at most one end is told, and none twice
      const died = events.all.filter(({ type }) => type === "died").map(({ id }) => id.uuid);
      expect(new Set(died).size).toBe(died.length);
      expect(events.lines.filter((line) => line.startsWith("gave-up"))).toEqual([]);
    },
    scaled(600_000),
  );
});
