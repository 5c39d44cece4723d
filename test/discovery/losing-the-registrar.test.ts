/** The table is soft state: what becomes of registrations and lookups when its keeper goes. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import {
  currentActor,
  findActor,
  getRegistry,
  openNursery,
  openRootActor,
  type Portal,
  queryActor,
  type RemoteActorError,
  waitForActor,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import type { Scope } from "../fixtures/program.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;
type Service = typeof import("../fixtures/service.ts");
const modules = new URL("../fixtures/modules.ts", import.meta.url).href;
type Modules = typeof import("../fixtures/modules.ts");

/** In another process: starts "child", and keeps it. */
async function startChild({ furrow, keep, args }: Scope): Promise<string> {
  const nursery = await furrow.openNursery();
  keep["nursery"] = nursery;
  const child = await nursery.startActor("child", { module: args[0] as string });
  keep["child"] = child;
  return child.id.uuid;
}

describe("losing the registrar", () => {
  test("every actor of a tree registers again, children too, under the same uuid", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const parent = await world.actor("parent");
    const uuid = await parent.run(startChild, service);
    const before = [uuid, await parent.run(({ furrow }) => furrow.currentActor().uuid)];
    await hub.kill();
    await until(async () => await parent.run(({ furrow }) => furrow.currentActor().isRegistrar));
    const after = await parent.run(async ({ furrow }) => {
      await using registry = await furrow.getRegistry();
      await using child = await furrow.waitForActor("child");
      return [child.id.uuid, (await registry.run.findActor("parent"))?.id.uuid];
    });
    expect(after).toEqual(before);
  });

  test("a child joins what its parent names, and doesn't load what it would need for a search of its own", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const parent = await world.actor("parent");
    await parent.run(startChild, modules);
    await hub.kill();
    // a lookup would find the parent's own connection to it
    const registered = (): Promise<number | undefined> =>
      parent.run(({ furrow }) => furrow.currentActor().stats().registrar?.actors);
    await until(async () => (await registered()) === 2);
    const files = await parent.run(({ keep }) => (keep["child"] as Portal<Modules>).run.modules());
    expect(files.filter((file) => file.includes("/src/discovery/election"))).toEqual([]);
  });

  test("a child searches by itself if its parent is frozen", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const parent = await world.actor("parent");
    const next = await world.actor("next");
    const before = await parent.run(startChild, modules);
    await parent.freeze();
    await hub.kill();
    const after = await next.run(async ({ furrow }) => {
      await using child = await furrow.waitForActor("child");
      return child.id.uuid;
    });
    expect(after).toBe(before);
    parent.signal("SIGCONT");
  });

  test("the next one answers nothing from a table that is still filling: not itself, not its portal, not a peer", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const next = await world.actor("next");
    // stopped at the moment of the loss: it comes back when the other has taken over already
    const late = await world.actor("late");
    const uuid = await late.run(({ furrow }) => furrow.currentActor().uuid);
    await late.freeze();
    await hub.kill();
    const registered = (): Promise<number | undefined> =>
      next.run(({ furrow }) => furrow.currentActor().stats().registrar?.actors);
    await until(async () => (await registered()) === 1);
    const answers = next.run(async ({ furrow }) => {
      const { run } = await furrow.getRegistry();
      const [one, all, list, query] = await Promise.all([
        run.findActor("late"),
        run.findActors("late"),
        run.listActors(),
        furrow.queryActor("late"),
      ]);
      return {
        one: one?.id.uuid,
        all: all.map(({ id }) => id.uuid),
        list: list.map(({ id }) => id.name).toSorted(),
        query: query.id?.uuid,
      };
    });
    await using peer = await RawPeer.connect(world.unix, { name: "peer" });
    await peer.take(Kind.hello);
    peer.send([Kind.lookup, 1, "late", false], [Kind.lookup, 2, "next", false]);
    // what is there is answered at once
    expect((await peer.take(Kind.result))[1]).toBe(2);
    late.signal("SIGCONT");
    const [, , brief] = await peer.take(Kind.result);
    expect(brief).toStartWith(`${uuid} `);
    expect(await answers).toEqual({ one: uuid, all: [uuid], list: ["late", "next"], query: uuid });
  });

  test("only a root takes over: a child waits, and its lookups say what is missing", async () => {
    await using world = new World();
    await using elsewhere = new World();
    const hub = await world.actor("hub");
    const parent = await world.actor("parent", { limits: { probeTimeoutMs: 200 } });
    await parent.run(startChild, service);
    // an actor of another registry, which keeps its connection to the child
    await using _self = await openRootActor(elsewhere.options);
    await using child = await findActor<Service>("child", {
      raiseOnNone: true,
      registryAddrs: [world.unix],
    });
    await parent.freeze();
    await hub.kill();
    const error = (await child.run.find("nobody").catch((thrown: unknown) => thrown)) as RemoteActorError;
    expect(error.remoteName).toBe("RegistryUnavailableError");
    expect(error.message).toContain(world.tcp);
    parent.signal("SIGCONT");
    // the root takes over, and the child is registered there
    const registered = (): Promise<number | undefined> =>
      parent.run(({ furrow }) => furrow.currentActor().stats().registrar?.actors);
    await until(async () => (await registered()) === 2);
    expect(await child.run.find("nobody")).toBeNull();
  });

  test("a start waits for the next registrar as long as its own timeout allows", async () => {
    await using hub = new RawRegistrar();
    const limits = { probeTimeoutMs: 50 };
    await using nursery = await openNursery({ registryAddrs: [hub.addr], limits });
    hub.isSilent = true;
    hub.cut();
    await until(() => currentActor().stats().peers === 0);
    const started = nursery.startActor<Service>("late", { module: service });
    const asked = (): number => hub.peers.filter(({ received: [hello] }) => hello?.[3] === "late").length;
    // each of them takes 50 ms: together more than a lookup would wait
    await Promise.race([started, until(() => asked() >= 8)]);
    hub.isSilent = false;
    expect(await (await started).run.add(1, 2)).toBe(3);
  });

  test("an actor registers with every registrar of its addresses, those that come up later too", async () => {
    await using one = new World();
    await using two = new World();
    await one.actor("hub-one");
    await using actor = await openRootActor({ name: "both", registryAddrs: [one.unix, two.unix] });
    const hub = await two.actor("hub-two");
    const seen = async (): Promise<string> =>
      await hub.run(async ({ furrow }) => (await furrow.waitForActor("both")).id.uuid);
    expect(await seen()).toBe(actor.uuid);
    expect(actor.isRegistrar).toBeFalse();
  });

  test("an actor comes back to a registrar that cut the connection, and registers again", async () => {
    await using hub = new RawRegistrar();
    let registrations = Promise.withResolvers<unknown>();
    hub.onRegister = (peer, [, id, addrs]) => {
      peer.send([Kind.result, id, 1]);
      registrations.resolve(addrs);
      registrations = Promise.withResolvers<unknown>();
    };
    const first = registrations.promise;
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    const second = registrations.promise;
    hub.cut();
    expect(await second).toEqual(await first);
    expect(actor.isRegistrar).toBeFalse();
  });

  test("a lookup, and a wait, under way at that moment are asked again of the next", async () => {
    await using hub = new RawRegistrar();
    await using _actor = await openRootActor({ registryAddrs: [hub.addr] });
    const lookups: unknown[] = [];
    const both = Promise.withResolvers<void>();
    hub.onLookup = (_peer, [, , name]) => {
      if (lookups.push(name) === 2) both.resolve();
    };
    const finding = findActor("absent");
    const abort = new AbortController();
    const waiting = waitForActor("awaited", { signal: abort.signal }).catch((error: Error) => error.message);
    await both.promise;
    const again = Promise.withResolvers<void>();
    hub.onLookup = (peer, [, id, name]) => {
      lookups.push(name);
      peer.send([Kind.result, id, []]);
      if (lookups.length === 4) again.resolve();
    };
    hub.cut();
    expect(await finding).toBeNull();
    await again.promise;
    expect(lookups.map(String).toSorted()).toEqual(["absent", "absent", "awaited", "awaited"]);
    abort.abort(new Error("seen enough"));
    expect(await waiting).toBe("seen enough");
  });

  test("an actor that loses the election asks the winner, even for a lookup that began while it was undecided", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    hub.isSilent = true;
    const { connections } = hub;
    hub.cut();
    // the election asks the hub and waits: between two rounds it would end as soon as this actor serves
    await until(() => hub.connections > connections);
    // what a take-over does first and, when another was faster at binding, last
    const registrars = Registrars.of(currentRuntime());
    registrars.serve();
    const finding = findActor("absent");
    await Bun.sleep(0); // the lookup is a turn further, and waits for the table to fill
    registrars.unserve();
    hub.isSilent = false;
    expect(await finding).toBeNull();
    expect(actor.stats().lookups.requests).toBe(1);
  });

  test("an actor that has stood for registrar and lost answers nothing from its table: an error, not an absence", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    const registrars = Registrars.of(currentRuntime());
    registrars.serve();
    const { run } = (await getRegistry()).with({ timeout: 2_000 });
    await using peer = await RawPeer.connect(actor.addrs[0]!, { name: "peer" });
    await peer.take(Kind.hello);
    const answers = Promise.allSettled([
      run.listActors(),
      run.findActor("absent"),
      run.findActors("absent"),
      run.waitForActor("absent"),
    ]);
    peer.send([Kind.lookup, 1, "absent", false], [Kind.register, 2, []]);
    // the lookup, which came before it, is held back
    await peer.take(Kind.result);
    registrars.unserve();
    const outcomes = (await answers).map((one) =>
      one.status === "rejected" ? (one.reason as RemoteActorError).remoteName : "an answer",
    );
    expect(outcomes).toEqual(outcomes.map(() => "RegistryUnavailableError"));
    await peer.take(Kind.retired);
    expect((await peer.take()).slice(0, 2)).toEqual([Kind.error, 1]);
  });

  test.each(["queryActor", "findActor"] as const)(
    "%s under way when the registrar steps down is asked of the next",
    async (way) => {
      await using hub = new RawRegistrar();
      await using _actor = await openRootActor({ registryAddrs: [hub.addr] });
      let lookups = 0;
      hub.onLookup = (peer, [, id]) => {
        lookups++;
        if (lookups > 1) return peer.send([Kind.result, id, []]);
        // as one that has lost its addresses to another, and has this question still to answer
        const error = ["RegistryUnavailableError", "not the registrar", "", null, null, null];
        peer.send([Kind.retired], [Kind.error, id, [[], error]]);
      };
      const found = way === "queryActor" ? (await queryActor("absent")).id : await findActor("absent");
      expect([found, lookups]).toEqual([null, 2]);
    },
  );
});
