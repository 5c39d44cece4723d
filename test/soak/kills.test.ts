/** Processes of a tree killed at random, at any moment: each round ends in a clean tree. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";

import { getRegistry, openNursery, openRootActor } from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { announce, Chance, scaled, seed } from "../support/soak.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/branches.ts", import.meta.url);
type Branches = typeof import("../fixtures/branches.ts");

const rounds = 200;
/** Trees side by side; each has three processes. */
const atOnce = 4;
const signals = ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"] as const;

describe("a tree in which processes are killed at random", () => {
  test("ends in every round, with an error, and leaves no process, entry, file or connection", async () => {
    const count = scaled(rounds);
    announce(`${count} rounds of kills`);
    const chance = new Chance(seed);
    await using world = new World();
    const limits = { stopGraceMs: 300, stopTermMs: 300 };
    const actor = await openRootActor({ ...world.options, limits });
    const registry = await getRegistry();
    const outcomes: Record<string, number> = {};
    let begun = 0;

    const round = async (name: string): Promise<void> => {
      const seen = new Set<number>();
      const registered = async (): Promise<number[]> => {
        const all = await registry.run.listActors();
        const mine = all.filter(({ id }) => id.name.startsWith(name)).map(({ id }) => id.pid);
        for (const pid of mine) seen.add(pid);
        return mine;
      };
      let over = false;
      const tree = (async () => {
        await using nursery = await openNursery();
        const top = await nursery.startActor<Branches>(name, { module, output: "ignore" });
        await top.run.work(1);
      })().then(
        () => "ok",
        (error: unknown) => (error as Error).name,
      );
      void tree.then(() => (over = true));
      // at a random moment: so many of the three have come up
      const moment = 1 + chance.below(3);
      await until(async () => (await registered()).length >= moment || over);
      const victims = 1 + chance.below(2);
      for (let at = 0; at < victims; at++) {
        const alive = (await registered()).filter(isProcessAlive);
        if (alive.length > 0) process.kill(chance.pick(alive), chance.pick(signals));
      }
      const outcome = await tree;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      // those below a victim end with it, each in its own time
      await until(async () => (await registered()).length === 0);
      await until(() => !Array.from(seen).some(isProcessAlive));
      expect(outcome).not.toBe("ok");
    };
    const lane = async (): Promise<void> => {
      while (begun < count) await round(`t${++begun}-`);
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
    console.log(`soak:   errors at the root: ${JSON.stringify(outcomes)}`);
    await until(() => actor.stats().peers === 0);
    expect(actor.stats()).toMatchObject({ peers: 0, callsInFlight: 0, registrar: { actors: 1, names: 1 } });
    // the socket file of a process that was killed together with its parent, too
    await actor.cancel();
    expect(readdirSync(world.dir)).toEqual([]);
  }, 180_000);
});
