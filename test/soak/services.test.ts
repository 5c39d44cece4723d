/** A service whose instances are replaced or killed at random, again and again, under load from several programs. */
import { describe, expect, test } from "bun:test";

import { getRegistry, type Portal } from "../../src/index.ts";
import { openCallers } from "../support/callers.ts";
import type { Tally } from "../fixtures/callers.ts";
import { announce, Chance, inFull, scaled, seed } from "../support/soak.ts";
import { type Served, Stage } from "../support/served.ts";
import { until } from "../support/world.ts";

const replacements = 1_000;
const kills = 200;
/** Instances at a time. */
const atOnce = 3;
/** Four programs, with two callers each; in the short form two, since they leave no processor to the replacements. */
const programs = inFull ? 4 : 2;
const load = { lanes: 2, workMs: 3 };

/** Checks that no call ran twice unless it may, and that all that were answered ran; returns how many were made. */
function checkRuns(stage: Stage, { answered, failures }: Tally): number {
  const counts = stage.counts();
  const mayRepeat = (id: string): boolean => Number(id.split("-")[1]) % 2 === 1;
  const repeated = Array.from(counts).filter(([id, count]) => count > 1 && !mayRepeat(id));
  expect(repeated).toEqual([]);
  expect(answered.filter((id) => !counts.has(id))).toEqual([]);
  return answered.length + failures.length;
}

describe("a service under load", () => {
  test("whose instances are replaced at random fails no call and repeats none", async () => {
    // each takes a start of a process
    const count = inFull ? replacements : 25;
    announce(`${count} replacements`);
    const chance = new Chance(seed);
    await using stage = await Stage.open();
    const instances: Portal<Served>[] = [];
    for (let at = 0; at < atOnce; at++) instances.push(await stage.start("w"));
    const callers = await openCallers(stage.world, "w", programs, load);
    let begun = 0;
    const lane = async (): Promise<void> => {
      while (begun++ < count) {
        const next = await stage.start("w");
        const [old] = instances.splice(chance.below(instances.length), 1);
        instances.push(next);
        expect(await old!.drainActor()).toBeTrue();
      }
    };
    await Promise.all([lane(), lane()]);
    await callers.stop();
    const tally = await callers.take();
    expect(tally.failures).toEqual([]);
    const counts = stage.counts();
    expect(Array.from(counts).filter(([, times]) => times !== 1)).toEqual([]);
    const made = checkRuns(stage, tally);
    expect(counts.size).toBe(made);
    console.log(`soak:   ${made} calls, by ${Object.keys(tally.shares).length} instances`);
  }, 1_200_000);

  test("whose instances are killed and started again loses only calls that may have run, and none that may be repeated", async () => {
    const count = scaled(kills);
    announce(`${count} kills`);
    const chance = new Chance(seed + 1);
    await using stage = await Stage.open();
    const restart = {
      when: "on-failure",
      maxRestarts: kills,
      withinMs: 1_200_000,
      backoffMs: [1, 1],
    } as const;
    await stage.startMany("w", atOnce, { restart });
    const callers = await openCallers(stage.world, "w", programs, { ...load, isHalfIdempotent: true });
    const registry = await getRegistry();
    const pids = async (): Promise<number[]> =>
      (await registry.run.findActors("w")).map(({ id }) => id.pid).toSorted((a, b) => a - b);
    for (let killed = 0; killed < count; killed++) {
      let alive: number[] = [];
      // one at least stays, at random all are there again
      const least = 1 + chance.below(atOnce);
      await until(async () => (alive = await pids()).length >= least, 60_000);
      const victim = chance.pick(alive);
      process.kill(victim, "SIGKILL");
      await until(async () => !(await pids()).includes(victim), 60_000);
    }
    await until(async () => (await pids()).length === atOnce, 60_000);
    await callers.stop();
    const tally = await callers.take();
    expect(tally.failures.filter(({ isIdempotent }) => isIdempotent)).toEqual([]);
    const others = tally.failures.filter(
      ({ name, message }) => name !== "TransportClosedError" || !message.includes(" may have run on w#"),
    );
    expect(others).toEqual([]);
    const made = checkRuns(stage, tally);
    console.log(`soak:   ${made} calls, ${tally.failures.length} of them lost`);
  }, 1_200_000);
});
