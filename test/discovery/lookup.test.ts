import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";

import { writeBrief } from "../../src/discovery/brief.ts";
import {
  ActorNameError,
  ActorNotFoundError,
  AddressError,
  type Address,
  findActor,
  getPeerByName,
  getRegistry,
  LocalPortal,
  openNursery,
  openRootActor,
  queryActor,
  RegistryUnavailableError,
  TimeoutError,
  TransportClosedError,
  waitForActor,
} from "../../src/index.ts";
import { Task } from "../../src/rpc/task.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawInstance } from "../support/raw-instances.ts";
import { type RawMessage, RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { freePort, until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

describe("findActor", () => {
  test("is null for a name that no actor has, or ActorNotFoundError with raiseOnNone", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    expect(await findActor("nobody")).toBeNull();
    const error = await failure(findActor("nobody", { raiseOnNone: true }));
    expect(error).toBeInstanceOf(ActorNotFoundError);
    expect(error.message).toContain('"nobody"');
    expect(await failure(findActor("nobody", { onlyFirst: false, raiseOnNone: true }))).toBeInstanceOf(
      ActorNotFoundError,
    );
  });

  test("checks its arguments at once", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    expect(await failure(findActor(""))).toBeInstanceOf(ActorNameError);
    expect(await failure(findActor("x", { registryAddrs: ["http://x" as Address] }))).toBeInstanceOf(
      AddressError,
    );
    expect((await failure(findActor("x", { signal: AbortSignal.abort(new Error("early")) }))).message).toBe(
      "early",
    );
    expect(await failure(findActor("x", { timeout: -1 }))).toBeInstanceOf(RangeError);
  });

  test("gives the next instance when the last one refuses at all its addresses", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const options = { enableTransports: ["unix"], registryAddrs: [world.unix] };
    // neither binds a socket again that is removed
    const [good, bad] = [
      await world.actor("pair", options, {}, { upkeepMs: 60_000 }),
      await world.actor("pair", options, {}, { upkeepMs: 60_000 }),
    ];
    const asker = await world.actor("asker");
    const last = await world.actor("last");
    const expected = await good.run(({ furrow }) => furrow.currentActor().uuid);
    const [addr] = await bad.run(({ furrow }) => furrow.currentActor().addrs);
    rmSync(addr!.slice("unix://".length));
    const result = await asker.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("pair");
      return portal?.id.uuid ?? null;
    });
    expect(result).toBe(expected);
    // and when none is left the answer is null, or an error with each failure
    const [other] = await good.run(({ furrow }) => furrow.currentActor().addrs);
    for (const removed of [addr, other]) rmSync(removed!.slice("unix://".length), { force: true });
    const none = await last.run(async ({ furrow }) => {
      const found = await furrow.findActor("pair");
      const error = (await furrow
        .findActor("pair", { raiseOnNone: true })
        .catch((thrown: unknown) => thrown)) as Error;
      return { found, name: error.name, failures: (error.cause as AggregateError).errors.length };
    });
    expect(none).toEqual({ found: null, name: "ActorNotFoundError", failures: 2 });
  });

  test("passes over an instance that has said that it leaves, and asks for another, though nothing was pushed yet", async () => {
    await using hub = new RawRegistrar();
    await using leaving = new RawInstance("shop");
    await using next = new RawInstance("shop");
    let registered = [leaving];
    hub.onLookup = (peer, [, id]) => {
      const forms = registered.map(({ uuid, addr }) => writeBrief(uuid, process.pid, 1, hostId(), [addr]));
      peer.send([Kind.result, id, forms]);
    };
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    await using portal = await findActor("shop", { raiseOnNone: true });
    const peer = await leaving.peer();
    peer.send([Kind.ready, false], [Kind.ping, 1]);
    await peer.take(Kind.pong);
    registered = [leaving, next];
    await using other = await findActor("shop", { raiseOnNone: true });
    expect([portal.id.uuid, other.id.uuid]).toEqual([leaving.uuid, next.uuid]);
    expect(actor.stats().lookups.requests).toBe(2);
    await other[Symbol.asyncDispose]();
    const found = await next.peer();
    found.send([Kind.ready, false], [Kind.ping, 1]);
    await found.take(Kind.pong);
    registered = [];
    expect(await findActor("shop")).toBeNull();
    expect(actor.stats().lookups.requests).toBe(3);
  });

  test("dials only the transports that it is given", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await world.actor("target");
    for (const transport of ["tcp", "unix"] as const) {
      const asker = await world.actor(`by-${transport}`);
      const addr = await asker.run(async ({ furrow, args }) => {
        await using portal = await furrow.findActor("target", { enableTransports: [args[0] as "tcp"] });
        return portal?.addr ?? null;
      }, transport);
      expect(addr).toStartWith(`${transport}://`);
    }
  });

  test("dials only the transports that it is given, even if a connection exists already", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("target", { enableModules: [service.href] });
    await using actor = await openRootActor({ ...world.options, name: "asker" });
    await using unix = await findActor<Service>("target", { raiseOnNone: true });
    await using tcp = await findActor<Service>("target", { raiseOnNone: true, enableTransports: ["tcp"] });
    expect([unix.addr.slice(0, 7), tcp.addr.slice(0, 6)]).toEqual(["unix://", "tcp://"]);
    expect([await unix.run.add(1, 2), await tcp.run.add(3, 4)]).toEqual([3, 7]);
    await using again = await findActor<Service>("target", { raiseOnNone: true, enableTransports: ["tcp"] });
    expect(again.addr).toBe(tcp.addr);
    expect(actor.stats().peers).toBe(2);
    // the target never listened where this one may dial
    expect(await findActor("hub", { enableTransports: ["unix"], registryAddrs: [world.tcp] })).not.toBeNull();
  });

  test("takes the next instance while the last one is silent, and does not wait for that to time out", async () => {
    await using world = new World();
    const limits = { dialTimeoutMs: 60_000, handshakeTimeoutMs: 60_000 };
    await world.actor("hub");
    const healthy = await world.actor("pair");
    const frozen = await world.actor("pair");
    await using _actor = await openRootActor({ ...world.options, name: "asker", limits });
    await frozen.freeze();
    await using found = await findActor("pair", { raiseOnNone: true });
    expect(found.id.pid).toBe(healthy.pid);
    await using first = await waitForActor("pair");
    expect(first.id.pid).toBe(healthy.pid);
    frozen.signal("SIGCONT");
  });

  test("is a timeout when every instance is silent", async () => {
    await using world = new World();
    await world.actor("hub");
    const frozen = [await world.actor("pair"), await world.actor("pair")];
    await using _actor = await openRootActor({
      ...world.options,
      name: "asker",
      limits: { handshakeTimeoutMs: 300 },
    });
    for (const one of frozen) await one.freeze();
    const error = await failure(findActor("pair"));
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).stage).toBe("handshake");
    for (const one of frozen) one.signal("SIGCONT");
  });

  test("names a registrar that was silent in its cause, when another knew no such actor", async () => {
    await using one = new World();
    await using two = new World();
    const silent = await one.actor("hub-one");
    await two.actor("hub-two");
    await using actor = await openRootActor({
      registryAddrs: [one.unix, two.unix],
      name: "asker",
      limits: { probeTimeoutMs: 100 },
    });
    // a busy machine may take longer than the probes have: an actor joins the rest later
    await until(() => actor.stats().peers === 2);
    await silent.freeze();
    expect(await findActor("nobody")).toBeNull();
    const error = await failure(findActor("nobody", { raiseOnNone: true }));
    expect(error.name).toBe("ActorNotFoundError");
    expect(error.cause).toBeInstanceOf(TimeoutError);
    expect((error.cause as TimeoutError).stage).toBe("lookup");
    silent.signal("SIGCONT");
  });

  test("shares one connection between portals; a portal that is disposed leaves the others alone", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await world.actor("target", { enableModules: [service.href] });
    const one = await findActor<Service>("target", { raiseOnNone: true });
    await using two = await findActor<Service>("target", { raiseOnNone: true });
    expect(actor.stats().peers).toBe(1);
    await one[Symbol.asyncDispose]();
    expect((await one.closed).reason).toBe("closed");
    expect(await two.run.add(1, 2)).toBe(3);
  });

  test("closes a connection that nobody uses any more, in order, and opens it again when needed", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await world.actor("target", { enableModules: [service.href] });
    const asker = await world.actor("asker");
    await asker.run(({ setTiming }) => void setTiming({ defaultIdleMs: 50 }));
    const call = async (): Promise<number[]> =>
      await asker.run(async ({ furrow }) => {
        await using portal = await furrow.findActor<Service>("target", { raiseOnNone: true });
        return [await portal.run.add(1, 2), furrow.currentActor().stats().peers];
      });
    expect(await call()).toEqual([3, 2]);
    await until(async () => (await asker.run(({ furrow }) => furrow.currentActor().stats().peers)) === 1);
    expect(await call()).toEqual([3, 2]);
  });

  test("finds with several registrars what only one of them knows, and takes a silent one for no answer", async () => {
    await using one = new World();
    await using two = new World();
    const silent = await one.actor("silent-hub");
    await two.actor("hub");
    await two.actor("target");
    await using _actor = await openRootActor({
      registryAddrs: [one.unix, two.unix],
      limits: { probeTimeoutMs: 100 },
    });
    await silent.freeze();
    try {
      await using found = await findActor("target");
      expect(found?.id.name).toBe("target");
      expect(await findActor("unknown")).toBeNull();
    } finally {
      silent.signal("SIGCONT");
    }
  });

  test("gives two actors that look each other up at once one connection, and every call is answered", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    for (let round = 0; round < 5; round++) {
      const names = [`x${round}`, `y${round}`] as const;
      const both = await Promise.all(
        names.map((name) => world.actor(name, { enableModules: [service.href] })),
      );
      const results = await Promise.all(
        both.map((program, at) =>
          program.run(
            async ({ furrow, keep, args }) => {
              const portal = await furrow.findActor<Service>(args[0] as string, { raiseOnNone: true });
              keep["portal"] = portal;
              return await portal.run.add(20, 3);
            },
            names[1 - at]!,
          ),
        ),
      );
      expect(results).toEqual([23, 23]);
      const peers = await Promise.all(
        both.map((program) => program.run(({ furrow }) => furrow.currentActor().stats().peers)),
      );
      expect(peers).toEqual([2, 2]);
      await Promise.all(both.map((program) => program.kill()));
    }
  });
});

describe("waitForActor", () => {
  test("waits for the name, and gives the first to register", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using _actor = await openRootActor({ ...world.options, name: "asker" });
    const waiting = waitForActor("late");
    const first = await world.actor("late");
    await using portal = await waiting;
    expect(portal.id.uuid).toBe(await first.run(({ furrow }) => furrow.currentActor().uuid));
    void hub;
  });

  test("waits in another registry, over a connection of its own or the one that is there", async () => {
    await using world = new World();
    await using other = new World();
    await other.actor("other-hub");
    await using _actor = await openRootActor(world.options);
    const waiting = waitForActor("elsewhere", { registryAddr: other.tcp });
    await other.actor("elsewhere");
    await using portal = await waiting;
    expect(portal.id.name).toBe("elsewhere");
    await using again = await waitForActor("elsewhere", { registryAddr: other.unix });
    expect(again.id).toEqual(portal.id);
  });

  test("ends with its deadline in stage wait, or its signal, and leaves no waiter", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const error = await failure(waitForActor("never", { timeout: 30 }));
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).stage).toBe("wait");
    expect(actor.stats()).toMatchObject({ callsInFlight: 0, peers: 0 });
  });

  test("passes over an instance that cannot be reached, and waits for the next", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const asker = await world.actor("asker");
    const waiting = asker.run(async ({ furrow }) => (await furrow.waitForActor("ghost")).id.uuid);
    await until(() => registrar.stats().registrar!.requests === 1);
    await using ghost = await RawPeer.connect(world.unix, { name: "ghost" });
    await ghost.take(Kind.hello);
    ghost.send([Kind.register, 1, [`tcp://127.0.0.1:${freePort()}`]]);
    await ghost.take(Kind.result);
    const next = await world.actor("ghost");
    expect(await waiting).toBe(await next.run(({ furrow }) => furrow.currentActor().uuid));
  });

  test("in a named registry fails with RegistryUnavailableError when that is gone", async () => {
    const hub = new RawRegistrar();
    const waiting = Promise.withResolvers<void>();
    hub.onLookup = (peer, [, id]) => {
      peer.send([Kind.result, id, []]);
      waiting.resolve();
    };
    await using _actor = await openRootActor({ registryAddrs: [hub.addr] });
    const failed = failure(waitForActor("never", { registryAddr: hub.addr }));
    await waiting.promise;
    await hub[Symbol.asyncDispose]();
    expect(await failed).toBeInstanceOf(RegistryUnavailableError);
  });

  test("goes on through the loss of the registrar", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const asker = await world.actor("asker");
    const waiting = asker.run(async ({ furrow }) => (await furrow.waitForActor("late")).id.name);
    await asker.run(() => null);
    await hub.kill();
    await until(async () => await asker.run(({ furrow }) => furrow.currentActor().isRegistrar));
    await world.actor("late");
    expect(await waiting).toBe("late");
  });
});

describe("a wait for a name that is not kept current", () => {
  const names = ["one", "two", "three"];

  /** Waits for all of them at one registrar, until it was asked for each again; `behind` goes behind its first answers. */
  async function askedAgain(
    limits: { maxCachedNames?: number },
    behind: readonly RawMessage[],
  ): Promise<void> {
    await using registrar = new RawRegistrar();
    await using _actor = await openRootActor({ registryAddrs: [registrar.addr], limits });
    const asked: unknown[] = [];
    const answers: RawMessage[] = [];
    registrar.onLookup = (peer, [, id, name]) => {
      asked.push(name);
      answers.push([Kind.result, id, []]);
      // all in one write
      if (asked.length === names.length) peer.send(...answers, ...behind);
    };
    const calledOff = new AbortController();
    const waits = names.map((name) => failure(waitForActor(name, { signal: calledOff.signal })));
    const kept = limits.maxCachedNames ?? 0;
    await until(() => asked.length === 2 * names.length - kept);
    calledOff.abort(new Error("enough"));
    for (const error of await Promise.all(waits)) expect(error.message).toBe("enough");
  }

  test("asks again when the registrar has no room for the interest", async () => {
    await askedAgain(
      {},
      names.map((name) => [Kind.unwatched, name]),
    );
  });

  test("asks again when its own cache has no room for the name", async () => {
    await askedAgain({ maxCachedNames: 1 }, []);
  });
});

describe("a registrar that is silent", () => {
  const limits = { probeTimeoutMs: 50 };

  test("ends a lookup without a timeout of its own, and its late answer still makes the name known", async () => {
    await using registrar = new RawRegistrar();
    const late: (() => void)[] = [];
    registrar.onLookup = (peer, [, id]) => void late.push(() => peer.send([Kind.result, id, []]));
    await using actor = await openRootActor({ registryAddrs: [registrar.addr], limits });
    for (const lookUp of [queryActor, findActor]) {
      const error = await failure(lookUp("late"));
      expect(error).toBeInstanceOf(TimeoutError);
      expect((error as TimeoutError).stage).toBe("lookup");
      expect(error.message).toContain('"late"');
    }
    expect(late).toHaveLength(2);
    for (const answer of late) answer();
    await until(async () => (await queryActor("late", { timeout: 50 }).catch(() => undefined)) !== undefined);
    const { requests } = actor.stats().lookups;
    expect((await queryActor("late")).id).toBeNull();
    expect(actor.stats().lookups.requests).toBe(requests);
  });

  test("does not hold the task that asks it", async () => {
    await using registrar = new RawRegistrar();
    registrar.onLookup = () => {};
    await using _actor = await openRootActor({ registryAddrs: [registrar.addr] });
    for (const lookUp of [queryActor, findActor, waitForActor]) {
      const task = new Task(undefined);
      const looked = failure(task.run(() => lookUp("late")));
      await Bun.sleep(10);
      const reason = new Error("the caller is gone");
      task.abort(reason);
      expect(await looked).toBe(reason);
      expect(await failure(task.run(() => lookUp("late")))).toBe(reason);
    }
  });

  test("ends a lookup in time after it has refused this actor's registration, too", async () => {
    await using registrar = new RawRegistrar();
    await using _actor = await openRootActor({ registryAddrs: [registrar.addr], limits });
    let refuse: (() => void) | undefined;
    registrar.onRegister = (peer, [, id]) => {
      refuse ??= () => peer.send([Kind.error, id, [[], ["Error", "no", "", null, null, null]]]);
    };
    registrar.onLookup = () => refuse?.();
    registrar.cut();
    await until(() => refuse !== undefined);
    const error = await failure(queryActor("late"));
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).stage).toBe("lookup");
  });

  test("is asked again by a wait", async () => {
    await using registrar = new RawRegistrar();
    let asked = 0;
    registrar.onLookup = () => void asked++;
    await using _actor = await openRootActor({ registryAddrs: [registrar.addr], limits });
    const calledOff = new AbortController();
    const waiting = failure(waitForActor("late", { signal: calledOff.signal }));
    await until(() => asked === 3);
    calledOff.abort(new Error("enough"));
    expect((await waiting).message).toBe("enough");
  });
});

describe("queryActor", () => {
  test("gives no portal that lasts once its result is disposed", async () => {
    await using world = new World();
    await world.actor("hub");
    await using _actor = await openRootActor({ ...world.options, name: "asker" });
    const asked = await queryActor("nobody");
    await asked[Symbol.asyncDispose]();
    const { registry } = asked;
    expect(registry?.id.name).toBe("hub");
    expect(await failure(registry!.run.findActor("nobody"))).toBeInstanceOf(TransportClosedError);
  });

  test("says where an actor is without connecting to it, and hands out the registrar that it asked", async () => {
    await using world = new World();
    await world.actor("hub");
    const target = await world.actor("target");
    await using actor = await openRootActor({ ...world.options, name: "asker" });
    const addrs = await target.run(({ furrow }) => [...furrow.currentActor().addrs]);
    {
      await using asked = await queryActor("target");
      expect({ addr: asked.addr, name: asked.id?.name, registry: asked.registry?.id.name }).toEqual({
        addr: addrs[0]!,
        name: "target",
        registry: "hub",
      });
    }
    await using known = await queryActor("target");
    expect(known).toMatchObject({ addr: addrs[0]!, registry: null });
    await using none = await queryActor("nobody");
    expect({ addr: none.addr, id: none.id }).toEqual({ addr: null, id: null });
    expect(actor.stats().peers).toBe(1);
  });

  test("asks the own table in a registrar, and shows its local portal", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using own = await queryActor("root");
    expect(own.id).toEqual(actor.id);
    expect(own.registry).toBeInstanceOf(LocalPortal);
  });

  test("fails with RegistryUnavailableError when the registrar is down, naming its address", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nobody: Address = `tcp://127.0.0.1:${freePort()}`;
    const error = await failure(queryActor("x", { registryAddr: nobody }));
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(error.message).toContain(nobody);
  });
});

describe("getPeerByName", () => {
  test("scans live connections, and is null when there is none of that name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    expect(getPeerByName("child")).toBeNull();
    const child = await nursery.startActor<Service>("child", { module: service });
    const { addrs } = await child.run.identity();
    expect(getPeerByName("child")).toEqual([{ id: child.id, addrs: addrs as Address[] }]);
    expect(await child.run.peerNames("root")).toHaveLength(1);
    await child.cancelActor();
    await nursery.join();
    expect(getPeerByName("child")).toBeNull();
  });
});

describe("RegistrarApi", () => {
  test("offers the table on portal.run of a registrar, to itself and to peers alike", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const one = await world.actor("twin");
    const two = await world.actor("twin");
    const uuids = await Promise.all(
      [one, two].map((program) => program.run(({ furrow }) => furrow.currentActor().uuid)),
    );
    const local = await getRegistry();
    expect((await local.run.findActors("twin")).map(({ id }) => id.uuid)).toEqual(uuids);
    const remote = await one.run(async ({ furrow }) => {
      await using registry = await furrow.getRegistry();
      const api = registry.run;
      return {
        last: (await api.findActor("twin"))?.id.uuid ?? null,
        first: (await api.waitForActor("twin")).id.uuid,
        none: await api.findActor("nobody"),
        names: (await api.listActors()).map(({ id, addrs }) => `${id.name} ${addrs.length}`),
      };
    });
    expect(remote).toEqual({
      last: uuids[1]!,
      first: uuids[0]!,
      none: null,
      names: ["root 2", "twin 2", "twin 2"],
    });
  });

  test("is not offered by an actor that is not the registrar", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor("child", { module: service });
    const error = await failure((child.run as Record<string, () => Promise<unknown>>)["listActors"]!());
    expect(error.name).toBe("NotExposedError");
  });
});
