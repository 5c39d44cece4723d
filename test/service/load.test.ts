/** How instances report how busy they are, and who makes use of that. */
import { describe, expect, test } from "bun:test";

import { findActor, openRootActor, openService } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawDirectory, RawInstance } from "../support/raw-instances.ts";
import { RawPeer } from "../support/raw-peer.ts";
import type { Served } from "../support/served.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";

const served = new URL("../fixtures/served.ts", import.meta.url).href;

describe("an actor", () => {
  test("reports its calls for others along with its answers, when their number has changed", async () => {
    await using world = new World();
    await world.actor("w", { enableModules: [served] });
    await using asks = await RawPeer.connect(world.unix, { name: "asks" });
    await using other = await RawPeer.connect(world.unix, { name: "other" });
    for (const peer of [asks, other]) await peer.take(Kind.hello);
    let id = 0;
    /** The kinds and loads of what comes with the answer to a call. */
    const call = async (): Promise<unknown[]> => {
      const before = asks.received.length;
      asks.send([Kind.call, ++id, "who", []]);
      await asks.take(Kind.result);
      return asks.received.slice(before).map(([kind, load]) => (kind === Kind.load ? load : kind));
    };
    expect(await call()).toEqual([Kind.result]);
    asks.send([Kind.watchLoad]);
    expect(await call()).toEqual([Kind.result]);
    other.send([Kind.call, 1, "hang", []], [Kind.call, 2, "hang", []], [Kind.call, 3, "who", []]);
    await other.take(Kind.result);
    expect(await call()).toEqual([2, Kind.result]);
    // its own don't count, and there is nothing new
    asks.send([Kind.call, ++id, "hang", []]);
    expect(await call()).toEqual([Kind.result]);
    asks.send([Kind.watchLoad]);
    other.send([Kind.cancel, 1]);
    await other.take(Kind.error);
    expect(await call()).toEqual([1, Kind.result]);
    asks.send([Kind.call, ++id, "fail", ["no"]]);
    await asks.take(Kind.error);
    other.cut();
    await until(async () => (await call())[0] === 0);
    // nothing of that goes to one who hasn't asked
    expect(other.received.map(([kind]) => kind)).not.toContain(Kind.load);
  });

  test("ends the connection to one that reports a load without being asked", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.unix, { name: "talks" });
    await peer.take(Kind.hello);
    peer.send([Kind.load, 3]);
    await peer.ended;
    await using service = await openService("w", { by: "least-busy" });
    expect(service.instances).toEqual([]);
    await using again = await RawPeer.connect(world.unix, { name: "talks" });
    await again.take(Kind.hello);
    again.send([Kind.load, 3]);
    await again.ended;
  });
});

describe("a least-busy service", () => {
  test("asks each instance once, and calls the one with the fewest calls of everyone", async () => {
    using _ = setTiming({ loadLastsMs: 60_000 });
    await using directory = new RawDirectory("w");
    await using actor = await openRootActor({ registryAddrs: [directory.registrar.addr] });
    void actor;
    await using one = new RawInstance("w");
    await using two = new RawInstance("w");
    directory.put(one);
    directory.put(two);
    await using service = await openService("w", { by: "least-busy" });
    // in flight here: each gets one
    const calls = [service.run["fn"](), service.run["fn"]()];
    const ids = [(await one.take())[1], (await two.take())[1]];
    const [first, second] = [await one.peer(), await two.peer()];
    first.send([Kind.load, 2], [Kind.result, ids[0], "one"]);
    second.send([Kind.result, ids[1], "two"]);
    await Promise.all(calls);
    // two of others there
    const more = [service.run["fn"](), service.run["fn"]()];
    const later = [(await two.take())[1], (await two.take())[1]];
    // now as many here
    const tied = [service.run["fn"](), service.run["fn"]()];
    const last = [(await one.take())[1], (await two.take())[1]];
    first.send([Kind.load, 0], [Kind.result, last[0], null]);
    await Promise.race(tied);
    const idle = service.run["fn"]();
    first.send([Kind.result, (await one.take())[1], "idle"]);
    expect(await idle).toBe("idle");
    for (const id of [...later, last[1]]) second.send([Kind.result, id, null]);
    await Promise.all([...more, ...tied]);
    for (const { received } of [first, second])
      expect(received.filter(([kind]) => kind === Kind.watchLoad)).toHaveLength(1);
  });

  test("doesn't go by a report that is old", async () => {
    using _ = setTiming({ loadLastsMs: 30 });
    await using directory = new RawDirectory("w");
    await using actor = await openRootActor({ registryAddrs: [directory.registrar.addr] });
    void actor;
    await using one = new RawInstance("w");
    directory.put(one);
    await using service = await openService("w", { by: "least-busy" });
    const call = service.run["fn"]();
    const [, id] = await one.take();
    (await one.peer()).send([Kind.load, 50], [Kind.result, id, null]);
    await call;
    await using two = new RawInstance("w");
    directory.put(two);
    await until(() => service.instances.length === 2);
    void one.answerAll().catch(() => {});
    void two.answerAll().catch(() => {});
    expect(await service.run["fn"]()).toBe(two.uuid);
    await until(async () => (await service.run["fn"]()) === one.uuid);
  });

  test("keeps calls away from an instance that others keep busy, and so does findActor", async () => {
    using _ = setTiming({ loadLastsMs: 60_000 });
    await using world = new World();
    await world.actor("hub");
    await world.actor("w", { enableModules: [served] });
    const idle = await world.actor("w", { enableModules: [served] });
    const second = await idle.run(({ furrow }) => furrow.currentActor().uuid);
    const other = await world.actor("other");
    await other.run(async ({ furrow, keep }) => {
      const portal = await furrow.findActor("w", { pick: "first", raiseOnNone: true });
      keep["portal"] = portal;
      for (let at = 0; at < 3; at++) void portal.run["hang"]().catch(() => {});
      // answered after they have arrived
      await portal.run["who"]();
    });
    await using actor = await openRootActor(world.options);
    void actor;
    await using service = await openService<Served>("w", { by: "least-busy" });
    const seen = new Set<string>();
    while (seen.size < 2) seen.add(await service.run.who());
    for (let at = 0; at < 10; at++) expect(await service.run.who()).toBe(second);
    for (let at = 0; at < 5; at++) {
      await using portal = await findActor<Served>("w", { pick: "least-busy", raiseOnNone: true });
      expect(portal.id.uuid).toBe(second);
    }
    await other.kill();
  });
});
