/** A service that grows and shrinks under load, from several programs. */
import { expect, test } from "bun:test";

import type { Portal } from "../../src/index.ts";
import { openCallers } from "../support/callers.ts";
import { type Served, Stage } from "../support/served.ts";
import { until } from "../support/world.ts";

test("a service that is scaled from 1 to 20 and to 3 under load fails no call and repeats none; the shares are even", async () => {
  await using stage = await Stage.open();
  const instances: Portal<Served>[] = [await stage.start("w")];
  const callers = await openCallers(stage.world, "w", 4, { lanes: 2, workMs: 2 });
  const answered: string[] = [];
  const grow = async (to: number): Promise<void> => {
    const missing = to - instances.length;
    instances.push(...(await Promise.all(Array.from({ length: missing }, () => stage.start("w")))));
    await until(async () => await callers.know(to), 20_000);
  };
  const shrink = async (to: number): Promise<void> => {
    const drained = instances.splice(to).map((portal) => portal.drainActor());
    expect(await Promise.all(drained)).not.toContain(false);
    await until(async () => await callers.know(to), 20_000);
  };
  /** Takes the tally; every call in it was answered. */
  const take = async (): Promise<Record<string, number>> => {
    const tally = await callers.take();
    expect(tally.failures).toEqual([]);
    answered.push(...tally.answered);
    return tally.shares;
  };
  /** Each instance gets an even share of the calls from now on. */
  const expectEvenShares = async (): Promise<void> => {
    await take();
    const shares: Record<string, number> = {};
    await until(async () => {
      for (const [uuid, count] of Object.entries(await take())) shares[uuid] = (shares[uuid] ?? 0) + count;
      return Object.values(shares).reduce((sum, count) => sum + count, 0) >= 100 * instances.length;
    }, 60_000);
    const uuids = instances.map(({ id }) => id.uuid);
    expect(Object.keys(shares).toSorted()).toEqual(uuids.toSorted());
    const even = Object.values(shares).reduce((sum, count) => sum + count, 0) / instances.length;
    for (const count of Object.values(shares)) {
      expect(count).toBeGreaterThan(0.8 * even);
      expect(count).toBeLessThan(1.2 * even);
    }
  };
  await grow(20);
  await expectEvenShares();
  await shrink(3);
  await expectEvenShares();
  await callers.stop();
  await take();
  const counts = stage.counts();
  expect(counts.size).toBe(answered.length);
  expect(answered.filter((id) => counts.get(id) !== 1)).toEqual([]);
}, 120_000);
