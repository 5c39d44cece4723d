/** A service: which instance a call goes to, and what becomes of it when that one refuses, ends or is lost. */
import { describe, expect, test } from "bun:test";

import { openService } from "../../src/index.ts";
import { type Served, Stage } from "../support/served.ts";

describe("a service", () => {
  test("gives each instance the same number of calls, in turn", async () => {
    await using stage = await Stage.open();
    const uuids = await stage.startMany("w", 3);
    await using service = await openService<Served>("w");
    expect(service.instances.map(({ id }) => id.uuid)).toEqual(uuids);
    const seen: string[] = [];
    for (let at = 0; at < 12; at++) seen.push(await service.run.who());
    for (const uuid of uuids) expect(seen.filter((one) => one === uuid)).toHaveLength(4);
    const { who } = service.run;
    const together = await Promise.all(Array.from({ length: 300 }, () => who()));
    for (const uuid of uuids) expect(together.filter((one) => one === uuid)).toHaveLength(100);
  });

  test("does not lose or repeat a call when its instances are replaced one after the other", async () => {
    await using stage = await Stage.open();
    let old = await stage.start("w");
    await using service = await openService<Served>("w");
    let isOver = false;
    let made = 0;
    const lane = async (name: string): Promise<void> => {
      for (let at = 0; !isOver; at++) {
        await service.run.work(`${name}-${at}`, 0);
        made++;
      }
    };
    const lanes = Promise.all(["a", "b", "c", "d"].map(lane));
    for (let round = 0; round < 5; round++) {
      const next = await stage.start("w");
      expect(await old.drainActor()).toBeTrue();
      old = next;
    }
    isOver = true;
    await lanes;
    const counts = stage.counts();
    expect(counts.size).toBe(made);
    expect(Array.from(counts).filter(([, count]) => count !== 1)).toEqual([]);
  });
});
