/** How many are interested in a name, as a registrar counts them. */
import { describe, expect, test } from "bun:test";

import { getRegistry, openClient, openRootActor, watchActors } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

describe("countInterested", () => {
  test("counts each that has looked a name up or watches it once, until it is gone, and none that watches all names", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("target", { metadata: { zone: "a" } });
    const asker = await world.actor("asker");
    const watcher = await world.actor("watcher");
    await using _ = await openClient({ registryAddrs: world.registryAddrs });
    await using registry = await getRegistry();
    const counts = async (): Promise<number[]> =>
      await registry.run.countInterested(["target", "asker", "nobody"]);
    expect(await counts()).toEqual([0, 0, 0]);
    // a look in detail and one without, of a name that is there and one that isn't
    await asker.run(async ({ furrow }) => {
      for (const name of ["target", "nobody"]) await furrow.queryActor(name);
      await using _ = await furrow.findActor("target", { where: { zone: "a" }, raiseOnNone: true });
    });
    expect(await counts()).toEqual([1, 0, 1]);
    const watch = async (patterns: string[]): Promise<void> =>
      await watcher.run(async ({ furrow, keep, args: [list] }) => {
        for (const pattern of list as string[]) {
          const events = furrow.watchActors(pattern);
          await events.next();
          keep[pattern] = events;
        }
      }, patterns);
    await watch(["t*", "target", "*"]);
    expect(await counts()).toEqual([2, 0, 1]);
    await asker.kill();
    await until(async () => (await counts()).join() === "1,0,0");
  });

  test("counts the registrar's own watches as one", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const stop = new AbortController();
    for (const pattern of ["x", "x*", "*"]) await watchActors(pattern, { signal: stop.signal }).next();
    const registry = await getRegistry();
    expect(await registry.run.countInterested(["x", "y"])).toEqual([1, 0]);
    stop.abort();
    expect(await registry.run.countInterested(["x"])).toEqual([0]);
  });

  test("takes up to 1,000 valid names", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const { run } = await getRegistry();
    const names = Array.from({ length: 1_001 }, (_, at) => `name-${at}`);
    expect(await run.countInterested(names.slice(1))).toHaveLength(1_000);
    expect((await failure(run.countInterested(names))).message).toContain("up to 1000 names, got 1001");
    expect((await failure(run.countInterested([""]))).message).toContain("ActorNameError");
  });
});
