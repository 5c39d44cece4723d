/** What is registered of an actor beside its addresses, and how it changes while the actor runs. */
import { describe, expect, test } from "bun:test";

import { findActor, getRegistry, openNursery, openRootActor, type Registration } from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { World } from "../support/world.ts";

const described = new URL("../fixtures/described.ts", import.meta.url);
type Described = typeof import("../fixtures/described.ts");

const functions = [
  { name: "chat", verb: "run" },
  { name: "count", verb: "stream" },
  { name: "greet", verb: "run" },
  { name: "setMetadata", verb: "run" },
  { name: "setMetadataInTurn", verb: "run" },
] as const;

/** What the registrar has of the name. */
async function listed(name: string): Promise<Registration[]> {
  const registry = await getRegistry();
  return (await registry.run.listActors()).filter(({ id }) => id.name === name);
}

describe("a registration", () => {
  test("says what its actor is: version, metadata, parent, start, functions and state", async () => {
    await using world = new World();
    const before = Date.now();
    await using nursery = await openNursery({ ...world.options, version: "1.0", metadata: { zone: "eu" } });
    const child = await nursery.startActor("child", {
      module: described,
      version: "2.0",
      metadata: { weight: 1.5, canary: true, note: "ü" },
    });
    const registry = await getRegistry();
    const [root] = await registry.run.findActors("root");
    expect(root).toMatchObject({ version: "1.0", metadata: { zone: "eu" }, parent: null, functions: [] });
    const found = await registry.run.findActor("child");
    expect(found).toEqual({
      id: child.id,
      addrs: found!.addrs,
      revision: 2,
      version: "2.0",
      metadata: { weight: 1.5, canary: true, note: "ü" },
      parent: root!.id.uuid,
      startedAt: found!.startedAt,
      functions,
      state: "ready",
    });
    expect(root!.startedAt).toBeWithin(before, found!.startedAt + 1);
    expect(found!.startedAt).toBeWithin(before, Date.now() + 1);
    expect(await registry.run.waitForActor("child")).toEqual(found!);
    expect(await registry.run.listActors()).toEqual([root!, found!]);
  });

  test("has nothing to say of an actor that says nothing", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using _peer = await RawPeer.register(world.unix, { name: "bare", uuid: "u" });
    const registry = await getRegistry();
    expect(await registry.run.findActor("bare")).toEqual({
      id: { name: "bare", uuid: "u", pid: process.pid, host: hostId() },
      addrs: [],
      revision: 2,
      version: null,
      metadata: {},
      parent: null,
      startedAt: 0,
      functions: [],
      state: "ready",
    });
  });

  test("isn't inherited by a child that is given none", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, version: "1.0", metadata: { zone: "eu" } });
    await nursery.startActor("child", { module: described });
    expect(await listed("child")).toMatchObject([{ version: null, metadata: {} }]);
  });
});

describe("setMetadata", () => {
  test("replaces the metadata in one revision and keeps the place among those of the name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = () => nursery.startActor<Described>("twin", { module: described, metadata: { n: 1 } });
    const [first, second] = [await start(), await start()];
    await first.run.setMetadata({ n: 2, more: true });
    const all = await listed("twin");
    expect(all.map(({ id, metadata, revision }) => [id.uuid, metadata, revision])).toEqual([
      [first.id.uuid, { n: 2, more: true }, 4],
      [second.id.uuid, { n: 1 }, 3],
    ]);
  });

  test("applies changes in the order of the calls", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Described>("child", { module: described });
    await child.run.setMetadataInTurn([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(await listed("child")).toMatchObject([{ metadata: { n: 3 }, revision: 5 }]);
  });

  test("works in the registrar itself", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await actor.setMetadata({ role: "registrar" });
    expect(await listed("root")).toMatchObject([{ metadata: { role: "registrar" }, revision: 2 }]);
  });

  test("is heard by the next registrar too, with everything else", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "survivor", version: "3" });
    await actor.setMetadata({ n: 1 });
    await hub.kill();
    // its own table, once it has taken over
    await findActor("anybody");
    expect(actor.isRegistrar).toBeTrue();
    expect(await listed("survivor")).toMatchObject([{ version: "3", metadata: { n: 1 } }]);
    await world.actor("next");
    await actor.setMetadata({ n: 2 });
    expect(await listed("survivor")).toMatchObject([{ metadata: { n: 2 } }]);
  });
});

const details = ["1.0", { n: 1 }, "parent", 1_700_000_000_000, [["greet", "run"]], "ready"];

/** A registrar, an actor with details, and one that looks it up. */
async function scene(world: World): Promise<{ holder: RawPeer; asker: RawPeer } & AsyncDisposable> {
  const actor = await openRootActor(world.options);
  const holder = await RawPeer.connect(world.unix, { name: "held", uuid: "u" });
  const asker = await RawPeer.connect(world.unix, { name: "asker" });
  for (const peer of [holder, asker]) await peer.take(Kind.hello);
  holder.send([Kind.register, 1, [], details]);
  expect(await holder.take()).toEqual([Kind.result, 1, 2]);
  return {
    holder,
    asker,
    async [Symbol.asyncDispose]() {
      await holder[Symbol.asyncDispose]();
      await asker[Symbol.asyncDispose]();
      await actor.cancel();
    },
  };
}

const registration = (revision: number): unknown[] => ["u", process.pid, hostId(), [], revision];

describe("a lookup at the registrar", () => {
  test("is answered with details if it asks for them, and else as ever", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { asker } = peers;
    asker.send([Kind.lookup, 1, "held", false], [Kind.lookup, 2, "held", false, true]);
    expect(await asker.take()).toEqual([Kind.result, 1, [registration(2)]]);
    expect(await asker.take()).toEqual([Kind.result, 2, [[...registration(2), details]]]);
  });

  test("pushes a change of the metadata, before it is acknowledged, to those that asked for details", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { holder, asker } = peers;
    await using brief = await RawPeer.connect(world.unix, { name: "brief" });
    await brief.take(Kind.hello);
    brief.send([Kind.lookup, 1, "held", true]);
    asker.send([Kind.lookup, 1, "held", true], [Kind.lookup, 2, "held", true, true]);
    await Promise.all([brief.take(), asker.take(), asker.take()]);
    // once detailed, the interest stays so
    asker.send([Kind.lookup, 3, "held", true]);
    await asker.take();
    holder.send([Kind.update, 2, { n: 2 }, null]);
    expect(await holder.take()).toEqual([Kind.result, 2, 3]);
    expect(await asker.take()).toEqual([Kind.added, "held", [...registration(3), details.with(1, { n: 2 })]]);
    holder.send([Kind.register, 3, []], [Kind.unregister, 4]);
    expect(await asker.take()).toEqual([
      Kind.added,
      "held",
      [...registration(4), [null, {}, null, 0, [], "ready"]],
    ]);
    expect(await brief.take()).toEqual([Kind.added, "held", registration(4)]);
    for (const peer of [asker, brief]) expect(await peer.take()).toEqual([Kind.removed, "held", "u", 5]);
  });
});

describe("a draining registration", () => {
  test("leaves every lookup at once, stays in listActors, and goes when its connection does", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { holder, asker } = peers;
    await using detailed = await RawPeer.connect(world.unix, { name: "detailed" });
    await detailed.take(Kind.hello);
    asker.send([Kind.lookup, 1, "held", true]);
    detailed.send([Kind.lookup, 1, "held", true, true]);
    await Promise.all([asker.take(), detailed.take()]);
    holder.send([Kind.update, 2, null, "draining"]);
    expect(await holder.take()).toEqual([Kind.result, 2, 3]);
    for (const peer of [asker, detailed]) expect(await peer.take()).toEqual([Kind.removed, "held", "u", 3]);
    asker.send([Kind.lookup, 2, "held", false]);
    expect(await asker.take()).toEqual([Kind.result, 2, []]);
    expect(await listed("held")).toMatchObject([{ state: "draining", version: "1.0", revision: 3 }]);
    // nor by the connection that it has to this process
    expect(await findActor("held")).toBeNull();
    holder.send([Kind.update, 3, { n: 2 }, null]);
    expect(await holder.take()).toEqual([Kind.result, 3, 4]);
    expect(await listed("held")).toMatchObject([{ state: "draining", metadata: { n: 2 } }]);
    holder.send([Kind.unregister, 4]);
    await holder.take();
    expect(await listed("held")).toEqual([]);
  });
});
