/**
 * What the original's discovery gets wrong, one test for each behaviour that is right here. The titles are the
 * behaviours.
 */
import { heapStats } from "bun:jsc";
import { describe, expect, spyOn, test } from "bun:test";
import { rmSync } from "node:fs";

import { writeBrief } from "../../src/discovery/brief.ts";
import { currentRuntime } from "../../src/actor/current.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
import {
  type ActorNotFoundError,
  type Address,
  currentActor,
  findActor,
  getPeerByName,
  getRegistry,
  LimitError,
  LocalPortal,
  openNursery,
  openRootActor,
  queryActor,
  rankAddresses,
  RegistryOccupiedError,
  RegistryUnavailableError,
  SpawnError,
  TimeoutError,
  waitForActor,
} from "../../src/index.ts";
import { hostId, interfaceAddresses, ipVersion, isLoopback } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { rawHello, RawListener, RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { freePort, type Program, until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

/** An address of this machine that other hosts can reach; undefined where there is only loopback. */
const outside = Array.from(interfaceAddresses()).find((host) => ipVersion(host) === 4 && !isLoopback(host));

async function uuidOf(program: Program): Promise<string> {
  return await program.run(({ furrow }) => furrow.currentActor().uuid);
}

async function addrsOf(program: Program): Promise<Address[]> {
  return await program.run(({ furrow }) => [...furrow.currentActor().addrs]);
}

/** How many objects of that kind are alive. */
function alive(kind: string): number {
  Bun.gc(true);
  return heapStats().objectTypeCounts[kind] ?? 0;
}

describe("discovery", () => {
  test("findActor gives the actor that registered last, and a name matches nothing but that name", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const first = await world.actor("twin");
    const last = await world.actor("twin");
    await using found = await findActor("twin");
    expect(found?.id.uuid).toBe(await uuidOf(last));
    expect(found?.id.uuid).not.toBe(await uuidOf(first));
    expect(await findActor(await uuidOf(last))).toBeNull();
    expect(await findActor(registrar.uuid)).toBeNull();
    expect(await findActor("twi")).toBeNull();
  });

  test("a connected peer answers for its name without a request to the registrar", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor("a", { module: service });
    const b = await nursery.startActor<Service>("b", { module: service });
    const registrar = (await import("../../src/index.ts")).currentActor();
    // the root is b's parent, hence connected; its name was never asked for
    const before = registrar.stats().registrar!.requests;
    for (let at = 0; at < 10; at++) expect(await b.run.find("root")).toBe(registrar.uuid);
    expect(registrar.stats().registrar!.requests - before).toBe(0);
    expect(await b.run.find("a")).toBeString();
    expect(registrar.stats().registrar!.requests - before).toBe(1);
  });

  test("a lookup of all instances gives each live one once, by uuid", async () => {
    await using world = new World();
    const programs = await Promise.all([
      world.actor("hub"),
      world.actor("many"),
      world.actor("many"),
      world.actor("many"),
    ]);
    await using self = await openRootActor({ ...world.options, name: "asker" });
    await using group = await findActor("many", { onlyFirst: false });
    const expected = await Promise.all(programs.slice(1).map(uuidOf));
    expect(group.map(({ id }) => id.uuid).toSorted()).toEqual(expected.toSorted());
    // the same registrar under both its addresses is asked twice and still gives each once
    await using again = await findActor("many", { onlyFirst: false, registryAddrs: world.registryAddrs });
    expect(again.length).toBe(3);
    expect(await findActor("nobody", { onlyFirst: false })).toHaveLength(0);
    expect(self.isRegistrar).toBeFalse();
    // of several registrars each adds those that it knows
    await using far = new World();
    await far.actor("far-hub");
    const stranger = await uuidOf(await far.actor("many"));
    await using both = await findActor("many", { onlyFirst: false, registryAddrs: [world.unix, far.unix] });
    expect(both.map(({ id }) => id.uuid).toSorted()).toEqual([...expected, stranger].toSorted());
  });

  test("a lookup succeeds when any of its registrars knows the name", async () => {
    await using one = new World();
    await using two = new World();
    await one.actor("hub-one");
    await two.actor("hub-two");
    const target = await two.actor("only-in-two");
    await using self = await openRootActor({ ...one.options, registryAddrs: [one.unix, two.unix] });
    await using found = await findActor("only-in-two");
    expect(found?.id.uuid).toBe(await uuidOf(target));
    await using explicit = await findActor("only-in-two", { registryAddrs: [one.tcp, two.tcp] });
    expect(explicit?.id.uuid).toBe(await uuidOf(target));
    expect(self.isRegistrar).toBeFalse();
  });

  test("a lookup is answered although a registrar is down, and fails with one clear error when all are", async () => {
    await using world = new World();
    await world.actor("hub");
    const target = await world.actor("target");
    await using _self = await openRootActor({ ...world.options, name: "asker" });
    const nobody = `tcp://127.0.0.1:${freePort()}` as const;
    const missing = `unix://${world.dir}/missing.sock` as const;
    await using found = await findActor("target", { registryAddrs: [nobody, world.unix, missing] });
    expect(found?.id.uuid).toBe(await uuidOf(target));
    const error = await failure(findActor("target", { registryAddrs: [nobody, missing] }));
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect((error.cause as AggregateError).errors).toHaveLength(2);
    expect(error.message).toContain(nobody);
    expect(error.message).toContain(missing);
  });

  test("a lookup chooses the instance first, then ranks its own addresses", async () => {
    await using world = new World();
    await world.actor("hub");
    await using _self = await openRootActor({ ...world.options, limits: { handshakeTimeoutMs: 2_000 } });
    const first = await world.actor("mixed", { enableTransports: ["tcp"], registryAddrs: [world.tcp] });
    const second = await world.actor("mixed", { enableTransports: ["unix"], registryAddrs: [world.unix] });
    const uuids = [await uuidOf(first), await uuidOf(second)];
    // whoever ranks the addresses of both dials the socket of the second, which accepts and says nothing
    await second.freeze();
    await using waited = await waitForActor("mixed");
    expect(waited.id.uuid).toBe(uuids[0]!);
    expect(waited.addr).toStartWith("tcp://");
    second.signal("SIGCONT");
    await using found = await findActor("mixed");
    expect({ uuid: found?.id.uuid, addr: found?.addr.slice(0, 7) }).toEqual({
      uuid: uuids[1]!,
      addr: "unix://",
    });
  });

  test("an actor registers all its addresses in one message", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    await using registry = await getRegistry();
    const { revision } = registrar.stats().registrar!;
    for (let round = 0; round < 5; round++) {
      const name = `late${round}`;
      const waiting = registry.run.waitForActor(name);
      await world.actor(name);
      // what wakes the waiter is the first change of the name: both addresses are in it
      expect((await waiting).addrs.map((addr) => addr.slice(0, 4))).toEqual(["unix", "tcp:"]);
    }
    // and it was the only one
    expect(registrar.stats().registrar!.revision - revision).toBe(5);
  });

  test("a waiter looks again when its actor is gone, and is removed when it aborts or disconnects", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const asker = await world.actor("asker");
    await using registry = await getRegistry();
    const waiting = [
      waitForActor("flicker").then(({ id }) => id.uuid),
      registry.run.waitForActor("flicker").then(({ id }) => id.uuid),
      asker.run(async ({ furrow }) => (await furrow.waitForActor("flicker")).id.uuid),
    ];
    await until(() => registrar.stats().registrar!.requests === 1);
    // it comes and goes in one chunk: who waits for the name is woken, and finds nothing
    const short = await RawPeer.connect(world.unix, { name: "flicker" });
    await short.take(Kind.hello);
    const { revision } = registrar.stats().registrar!;
    short.send([Kind.register, 1, []], [Kind.unregister, 2], [Kind.bye, "gone"]);
    await short.ended;
    expect(registrar.stats().registrar!.revision - revision).toBe(2);
    const next = await uuidOf(await world.actor("flicker"));
    expect(await Promise.all(waiting)).toEqual([next, next, next]);

    const aborting = new AbortController();
    const aborted = failure(waitForActor("never", { signal: aborting.signal }));
    aborting.abort(new Error("enough"));
    expect((await aborted).message).toBe("enough");

    // waiters at the registrar, by the thousand: half of them abort, the others disconnect
    const calls = registrar.stats().callsInFlight;
    const before = { signals: alive("AbortSignal"), promises: alive("Promise") };
    const waits = Array.from({ length: 2_000 }, (_, at) => at + 1);
    {
      await using crowd = await RawPeer.connect(world.unix, { name: "crowd" });
      await crowd.take(Kind.hello);
      crowd.send(...waits.map((id) => [Kind.call, id, "waitForActor", ["never"]] as const));
      crowd.send(...waits.slice(0, 1_000).map((id) => [Kind.cancel, id, "enough"] as const));
      crowd.send([Kind.call, 9_999, "listActors", []]);
      await crowd.take(Kind.result);
      expect(registrar.stats().callsInFlight - calls).toBe(1_000);
      expect(alive("AbortSignal") - before.signals).toBeGreaterThan(900);
    }
    await until(() => alive("AbortSignal") - before.signals < 100);
    expect(alive("Promise") - before.promises).toBeLessThan(500);
  });

  test("the handshake carries the addresses at which an actor listens", async () => {
    await using world = new World();
    await world.actor("hub");
    await using self = await openRootActor({ ...world.options, name: "asker" });
    const dialler = await world.actor("dialler");
    await dialler.run(async ({ furrow, keep }) => {
      keep["portal"] = await furrow.findActor("asker", { raiseOnNone: true });
    });
    const addrs = await addrsOf(dialler);
    // it dialled us: what we see is where it listens, not the port that it came from
    expect(getPeerByName("dialler")?.map((peer) => [...peer.addrs])).toEqual([addrs]);
    await using query = await queryActor("dialler");
    expect(query.addr).toBe(rankAddresses(addrs)[0]!);
    // that it is connected doesn't say that it is registered
    expect(self.stats().lookups.requests).toBe(1);
  });

  test("each stage of a lookup has a deadline, and the error names the stage", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const limits = { dialTimeoutMs: 300, handshakeTimeoutMs: 300, probeTimeoutMs: 100 };
    await using _self = await openRootActor({ ...world.options, limits });
    const callee = await world.actor("callee", { enableModules: [service.href] });
    const frozen = await world.actor("frozen");
    const full = await world.actor("full", { enableTransports: ["unix"], registryAddrs: [world.unix] });
    const [socket] = await addrsOf(full);
    await using portal = await findActor<Service>("callee", { raiseOnNone: true });

    expect(await stageOf(waitForActor("nobody", { timeout: 50 }))).toBe("wait");
    await callee.freeze();
    expect(await stageOf(portal.with({ timeout: 50 }).run.pid())).toBe("call");
    // the kernel accepts for a stopped process, which then says nothing
    await frozen.freeze();
    expect(await stageOf(findActor("frozen"))).toBe("handshake");
    // until its backlog is full: then it refuses, though it is there
    await full.freeze();
    const queue = await fillBacklog(socket!);
    expect(await stageOf(findActor("full"))).toBe("dial");
    for (const one of queue) one.terminate();
    await hub.freeze();
    expect(await stageOf(findActor("unknown", { timeout: 50 }))).toBe("lookup");
    expect(await stageOf(findActor("unknown"))).toBe("lookup");
    for (const program of [hub, callee, frozen, full]) program.signal("SIGCONT");
  });

  test("a lookup tries the next address in the ranking when one is dead", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    const target = await world.actor("target");
    const asker = await world.actor("asker");
    const [socket] = await target.run(({ furrow }) =>
      furrow.currentActor().addrs.filter((addr) => addr.startsWith("unix")),
    );
    rmSync(socket!.slice("unix://".length));
    const addr = await asker.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("target");
      return portal?.addr ?? null;
    });
    expect(addr).toStartWith("tcp://");
  });

  test("an entry ends with the connection that registered it", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const target = await world.actor("leased");
    expect(registrar.stats().registrar!.actors).toBe(2);
    await target.kill();
    // nobody dialled it in vain: the entry went by itself
    await until(() => registrar.stats().registrar!.actors === 1);
    expect(await findActor("leased")).toBeNull();
  });

  test("a lookup accepts only a handshake with the uuid that it looked up", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    const asker = await world.actor("asker");
    const tcpOnly = { enableTransports: ["tcp"], registryAddrs: [world.tcp] };
    const [reused] = await addrsOf(await world.actor("somebody-else", tcpOnly));
    // it says hello to everybody, whoever was meant
    await using liar = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ name: "liar" }));
    });
    for (const [name, addr] of [
      ["stale", reused!],
      ["robbed", liar.addr],
    ] as const) {
      await using former = await RawPeer.connect(world.unix, { name });
      await former.take(Kind.hello);
      former.send([Kind.register, 1, [addr]]);
      await former.take(Kind.result);
      const error = await asker.run(async ({ furrow, args }) => {
        const failed = furrow.findActor(args[0] as string, { raiseOnNone: true });
        return await failed.catch(({ name: kind, message }: ActorNotFoundError) => ({ kind, message }));
      }, name);
      expect(error).toMatchObject({
        kind: "ActorNotFoundError",
        message: expect.stringContaining("not the actor that was looked up"),
      });
    }
    // the one that is dialled compares too, and says so
    await using lost = await RawPeer.connect(reused!, { target: crypto.randomUUID() });
    expect((await lost.take(Kind.refuse))[1]).toBe("target");
  });

  test("only the connection that registered an entry can change it; when others report it as unreachable, the registrar checks before it deletes", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    await using registry = await getRegistry();
    const target = await world.actor("target");
    const asker = await world.actor("asker");
    const uuid = await uuidOf(target);
    const entries = await registry.run.findActors("target");
    const query = async (): Promise<unknown> =>
      await asker.run(async ({ furrow }) => {
        const { id, addr } = await furrow.queryActor("target");
        return { uuid: id?.uuid ?? null, addr };
      });
    const answer = await query();
    const forged = writeBrief(crypto.randomUUID(), 1, 99, hostId(), ["tcp://127.0.0.1:1"]);

    // whatever else a message names, it changes the sender's own entry
    await using rogue = await RawPeer.connect(world.unix, { name: "rogue" });
    await rogue.take(Kind.hello);
    rogue.send(
      [Kind.register, 1, ["tcp://127.0.0.1:1"], null, uuid, "target"],
      [Kind.added, "target", forged],
      [Kind.removed, "target", uuid, 99],
      [Kind.report, uuid],
      [Kind.unregister, 2, uuid],
    );
    await rogue.take(Kind.result);
    await rogue.take(Kind.result);
    expect(await registry.run.findActors("target")).toEqual(entries);
    // nobody takes the place of an actor that is connected
    await using impostor = await RawPeer.connect(world.unix, { name: "target", uuid });
    expect((await impostor.take(Kind.refuse))[1]).toBe("duplicate");
    expect(await registry.run.findActors("target")).toEqual(entries);
    // and of a registrar's changes an actor believes its own registrar's only
    await using forger = await RawPeer.connect((await addrsOf(asker))[0]!, { name: "forger" });
    await forger.take(Kind.hello);
    forger.send([Kind.removed, "target", uuid, 99], [Kind.added, "target", forged], [Kind.ping, 1]);
    await forger.take(Kind.pong);
    expect(await query()).toEqual(answer);
  });

  test.skipIf(outside === undefined)(
    "a report makes the registrar ask the holder for a sign of life, and does no more, however many come",
    async () => {
      await using world = new World();
      // over loopback the kernel tells of every death; only from outside silence is possible
      const bindAddrs = [`tcp://${outside}:0`] as const;
      const authority = new Authority();
      const security = { tls: writeTls(world.dir, "registrar", authority.issue("registrar")) };
      await using registrar = await openRootActor({ ...world.options, bindAddrs, security });
      const addr = registrar.addrs.find((one) => one.includes(outside!))!;
      await using holder = await RawPeer.connect(addr, { name: "holder" }, authority.issue("holder"));
      const uuid = (await holder.take(Kind.hello))[9] as string;
      await using rogue = await RawPeer.connect(world.unix, { name: "rogue" });
      await rogue.take(Kind.hello);
      holder.send([Kind.register, 1, []]);
      await holder.take(Kind.result);
      rogue.send(...Array.from({ length: 10 }, () => [Kind.report, uuid] as const), [Kind.ping, 1]);
      await rogue.take(Kind.pong);
      holder.send([Kind.call, 2, "findActor", ["holder"]]);
      expect((await holder.take(Kind.result))[2]).toMatchObject({ id: { uuid } });
      expect(holder.received.filter(([kind]) => kind === Kind.ping)).toHaveLength(1);
    },
  );

  test("a unix address carries its host's id, and a lookup never dials one of another host", async () => {
    const foreign = "00000000deadbeef";
    expect(
      rankAddresses([`unix://${foreign}/run/x.sock`, "tcp://127.0.0.1:1", "unix:///run/x.sock"]),
    ).toEqual(["unix:///run/x.sock", "tcp://127.0.0.1:1"]);
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const asker = await world.actor("asker");
    const path = world.unix.slice("unix://".length);
    // of another host, by its hello; the path that it registers is one of this host
    await using remote = await RawPeer.connect(world.unix, { name: "remote", host: foreign });
    const hello = await remote.take(Kind.hello);
    expect(hello[7]).toContain(`unix://${hostId()}${path}`);
    remote.send([Kind.register, 1, [world.unix]], [Kind.lookup, 2, "root", false]);
    await remote.take(Kind.result);
    const [, , own] = await remote.take(Kind.result);
    // in the short form, after the host that it is of
    expect(own).toContain(` ${hostId()}\nunix://${path}`);
    for (const addr of [
      (await queryActor("remote")).addr,
      await asker.run(async ({ furrow }) => (await furrow.queryActor("remote")).addr),
    ])
      expect(addr).toBeNull();
    await using registry = await getRegistry();
    expect((await registry.run.findActor("remote"))?.addrs).toEqual([`unix://${foreign}${path}`]);
    expect(registrar.addrs).toContain(world.unix);
  });

  test("getRegistry shares connections, and asks the address that it is given", async () => {
    await using world = new World();
    await using other = new World();
    await using registrar = await openRootActor(world.options);
    await other.actor("elsewhere");
    expect(await getRegistry()).toBeInstanceOf(LocalPortal);
    expect(await getRegistry(world.unix)).toBe(await getRegistry());
    await using remote = await getRegistry(other.unix);
    expect(remote.id.name).toBe("elsewhere");
    await using again = await getRegistry(other.tcp);
    expect(again.id.uuid).toBe(remote.id.uuid);
    expect(registrar.stats().peers).toBe(1);
    // a connection for the first, however many ask, and none once it is there
    await using counting = new RawRegistrar();
    const first = await Promise.all([1, 2, 3].map(() => getRegistry(counting.addr)));
    expect(counting.connections).toBe(1);
    await using later = await getRegistry(counting.addr);
    expect([...first, later].map(({ id }) => id.uuid)).toEqual(Array(4).fill(counting.uuid));
    expect(counting.connections).toBe(1);
    for (const portal of first) await portal[Symbol.asyncDispose]();
  });

  test("an actor's own registrar is reached over the connection of its registration", async () => {
    await using hub = new RawRegistrar();
    await using _actor = await openRootActor({ registryAddrs: [hub.addr] });
    const { connections } = hub;
    for (let round = 0; round < 3; round++) {
      await using registry = await getRegistry();
      await using same = await getRegistry(hub.addr);
      expect([registry.id.uuid, same.id.uuid]).toEqual([hub.uuid, hub.uuid]);
    }
    expect(hub.connections - connections).toBe(0);
  });

  test("an actor listens on unix and tcp together when both are enabled", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    const { addrs } = await child.run.identity();
    expect(addrs.map((addr) => addr.split(":")[0])).toEqual(["unix", "tcp"]);
  });

  test("a spawn and a lookup fail within their deadline when the registrar is down, with an error that names its address", async () => {
    await using hub = new RawRegistrar();
    const limits = { probeTimeoutMs: 100, dialTimeoutMs: 1_000, handshakeTimeoutMs: 1_000 };
    await using nursery = await openNursery({ registryAddrs: [hub.addr], limits });
    // its address stays taken, so nobody can stand in for it
    hub.isSilent = true;
    hub.cut();
    await until(() => currentActor().stats().peers === 0);
    for (const options of [{}, { timeout: 50 }]) {
      const lookup = await failure(findActor("unknown", options));
      expect(lookup).toBeInstanceOf(RegistryUnavailableError);
      expect(lookup.message).toContain(hub.addr);
      const start = { module: service, timeout: 1_000, ...options };
      const spawn = await failure(nursery.startActor("child", start));
      expect(spawn).toBeInstanceOf(SpawnError);
      expect(spawn.message).toContain(hub.addr);
    }
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("of several programs that boot at once, one becomes the registrar and the others join it", async () => {
    await using world = new World();
    const programs = await Promise.all(Array.from({ length: 6 }, () => world.program()));
    const registrars = await Promise.all(
      programs.map((program, at) =>
        program.run(
          async ({ furrow, args }) =>
            (await furrow.openRootActor({ name: `p${String(args[0])}` })).isRegistrar,
          at,
        ),
      ),
    );
    expect(registrars.filter(Boolean)).toHaveLength(1);
    const names = await programs[0]!.run(async ({ furrow }) => {
      await using registry = await furrow.getRegistry();
      return (await registry.run.listActors()).map(({ id }) => id.name).toSorted();
    });
    expect(names).toEqual(["p0", "p1", "p2", "p3", "p4", "p5"]);
  });

  test("actors bring their registration to the next registrar at the registry address", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const a = await world.actor("a");
    const b = await world.actor("b");
    const uuids = [await uuidOf(a), await uuidOf(b)];
    await hub.kill();
    // a lookup in between waits for the table to fill instead of answering "absent"
    const found = await Promise.all([
      a.run(async ({ furrow }) => (await furrow.findActor("b", { timeout: 5_000 }))?.id.uuid ?? null),
      b.run(async ({ furrow }) => (await furrow.findActor("a", { timeout: 5_000 }))?.id.uuid ?? null),
    ]);
    expect(found).toEqual([uuids[1]!, uuids[0]!]);
    const roles = await Promise.all(
      [a, b].map((one) => one.run(({ furrow }) => furrow.currentActor().isRegistrar)),
    );
    expect(roles.filter(Boolean)).toHaveLength(1);
  });

  test("startActor resolves when the registration is acknowledged", async () => {
    await using hub = new RawRegistrar();
    await using nursery = await openNursery({ registryAddrs: [hub.addr] });
    const held = Promise.withResolvers<() => void>();
    hub.onRegister = (peer, message) => held.resolve(() => peer.send([Kind.result, message[1], 1]));
    let resolved = false;
    const starting = nursery.startActor("child", { module: service }).then(() => (resolved = true));
    const acknowledge = await held.promise;
    // a call over the connection to the parent: whatever the child has said before has arrived by then
    const [connected] = currentRuntime().peers.byName("child") ?? [];
    expect(await connected!.handler.call("pid", [])).toBe(connected!.id.pid);
    await Bun.sleep(0);
    expect(resolved).toBeFalse();
    // connected, and not found by its name before it is registered
    expect(await findActor("child")).toBeNull();
    acknowledge();
    expect(await starting).toBeTrue();
  });

  test("a lookup right after startActor finds the child", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    for (let round = 0; round < 5; round++) {
      const child = await nursery.startActor(`child${round}`, { module: service });
      await using query = await queryActor(`child${round}`);
      expect(query.id?.uuid).toBe(child.id.uuid);
    }
  });

  test("a lookup takes constant time by name, at any size", async () => {
    const table = new RegistryTable();
    for (let at = 0; at < 10_000; at++) {
      const id = { name: `n${at % 9_999}`, uuid: `u${at}`, pid: 1, host: "h" };
      table.register(id, []);
    }
    // what looks at one entry after the other begins with one of these
    const steps = [
      spyOn(Map.prototype, Symbol.iterator as never),
      ...(["entries", "keys", "values", "forEach"] as const).map((name) => spyOn(Map.prototype, name)),
      spyOn(RegistryTable.prototype, "entries"),
    ];
    try {
      expect(table.last("n0")?.uuid).toBe("u9999");
      expect(table.first("n0")?.uuid).toBe("u0");
      expect(table.all("n0")).toHaveLength(2);
      expect(table.last("n10000")).toBeUndefined();
      for (const step of steps) expect(step).toHaveBeenCalledTimes(0);
    } finally {
      for (const step of steps) step.mockRestore();
    }
    // and no lookup, of whatever kind, goes through the table in another way
    await using world = new World();
    await using _registrar = await openRootActor({ ...world.options, enableModules: [service] });
    await using registry = await getRegistry();
    const asker = await world.actor("asker");
    const scan = spyOn(RegistryTable.prototype, "entries");
    try {
      for (const name of ["root", "nobody"]) {
        await (await findActor(name))?.[Symbol.asyncDispose]();
        await (await queryActor(name))[Symbol.asyncDispose]();
        await registry.run.findActor(name);
        await registry.run.findActors(name);
        await asker.run(async ({ furrow, args }) => {
          await furrow.queryActor(args[0] as string);
          await furrow.findActor(args[0] as string, { onlyFirst: false });
        }, name);
      }
      await waitForActor("root");
      await registry.run.waitForActor("root");
      expect(scan).toHaveBeenCalledTimes(0);
      await registry.run.listActors();
      expect(scan).toHaveBeenCalledTimes(1);
    } finally {
      scan.mockRestore();
    }
  });

  test("a caller's remote tasks end with their caller, whether it is killed or cancels", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const target = await nursery.startActor<Service>("target", { module: service });
    const asker = await world.actor("asker");
    await asker.run(async ({ furrow, keep }) => {
      const portal = await furrow.findActor<Service>("target", { raiseOnNone: true });
      keep["call"] = portal.run.hang().catch(() => {});
      await portal.run.add(1, 1);
    });
    await asker.kill();
    await until(async () => (await target.run.abortedCalls()) === 1);
    const abort = new AbortController();
    const call = failure(target.with({ signal: abort.signal }).run.hang());
    abort.abort(new Error("never mind"));
    expect((await call).message).toBe("never mind");
    expect(await target.run.abortedCalls()).toBe(2);
  });

  test("nothing is left after a call", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const target = await nursery.startActor<Service>("target", { module: service });
    const { signal } = new AbortController();
    const bounded = target.with({ signal, timeout: 60_000 });
    const calls = async (rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        await target.run.echo(round);
        await bounded.run.echo(round);
        await failure(target.run.fail("x"));
        await failure(target.with({ signal: AbortSignal.abort(new Error("early")) }).run.hang());
      }
    };
    await calls(10);
    const before = { promises: alive("Promise"), functions: alive("Function") };
    await calls(200);
    // the one is the call that asks
    expect(await target.run.stats()).toMatchObject({ callsInFlight: 1 });
    expect(currentActor().stats().callsInFlight).toBe(0);
    // a listener on the signal, say, would be one function or more for each of 200 calls
    expect(alive("Promise") - before.promises).toBeLessThan(100);
    expect(alive("Function") - before.functions).toBeLessThan(100);
  });

  test("an actor can bind 0.0.0.0, ::1, public addresses and host names, and advertises only what others can dial", async () => {
    await using world = new World();
    const addresses: Address[] = ["tcp://0.0.0.0:0", "tcp://[::1]:0", "tcp://localhost:0"];
    if (outside !== undefined) addresses.push(`tcp://${outside}:0`);
    const security = { tls: writeTls(world.dir, "both", new Authority().issue("both")) };
    await using actor = await openRootActor({ ...world.options, bindAddrs: addresses, security });
    const asker = await world.actor("asker", { security });
    const dialable = actor.addrs.filter((addr) => addr.startsWith("tcp://"));
    expect(dialable.length).toBeGreaterThanOrEqual(addresses.length);
    expect(dialable.join()).not.toContain("0.0.0.0");
    for (const addr of dialable) {
      const name = await asker.run(async ({ furrow, args }) => {
        await using registry = await furrow.getRegistry(args[0] as `tcp://${string}`);
        return registry.id.name;
      }, addr);
      expect(name).toBe("root");
    }
  });

  test("a frame has a limit when it is sent and when it is received, and a lower one before the handshake", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxFrameBytes: 100_000 } });
    const child = await nursery.startActor<Service>("child", { module: service });
    const big = await failure(child.run.echo(new Uint8Array(200_000)));
    expect(big).toBeInstanceOf(LimitError);
    expect(big.message).toContain("maxFrameBytes 100000");
    expect(await child.run.add(1, 2)).toBe(3);
    // a length alone is enough: the connection ends before anything is allocated for it
    const length = (bytes: number): Uint8Array => new Uint8Array(new Uint32Array([bytes]).buffer);
    await using stranger = await RawPeer.connect(world.unix);
    stranger.sendBytes(length(65_537));
    await stranger.ended;
    await using peer = await RawPeer.connect(world.unix, { name: "peer" });
    await peer.take(Kind.hello);
    peer.send([Kind.ping, 1, new Uint8Array(90_000)]);
    await peer.take(Kind.pong);
    peer.sendBytes(length(100_001));
    await peer.ended;
    expect(getPeerByName("peer")).toBeNull();
    expect(await child.run.add(1, 2)).toBe(3);
  });

  test("either side refuses another protocol version, with both numbers", async () => {
    await using world = new World();
    {
      await using _actor = await openRootActor(world.options);
      await using future = await RawPeer.connect(world.unix, { version: 999 });
      const [, code, text] = await future.take(Kind.refuse);
      expect(code).toBe("version");
      expect(text).toContain("999");
      await future.ended;
    }
    await using answering = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ version: 999, isRegistrar: true }));
    });
    const error = await failure(openRootActor({ registryAddrs: [answering.addr] }));
    expect(error).toBeInstanceOf(RegistryOccupiedError);
    expect(error.message).toContain("999");
  });

  test("what waits for a peer that does not read is bounded, and everything that was accepted arrives", async () => {
    await using world = new World();
    const limits = { maxPendingSendBytes: 1_000_000 };
    await using _actor = await openRootActor({ ...world.options, limits });
    const slow = await world.actor("slow", { enableModules: [service.href] });
    await world.actor("quick", { enableModules: [service.href] });
    await using portal = await findActor<Service>("slow", { raiseOnNone: true });
    await slow.freeze();
    const taken: Promise<unknown>[] = [];
    let refused: unknown;
    while (refused === undefined && taken.length < 100) {
      const call = portal.run.echo("x".repeat(100_000 + taken.length));
      // one that is not taken has failed by the next turn
      refused = await Promise.race([failure(call), Bun.sleep(0)]);
      taken.push(call);
    }
    void taken.pop();
    expect(refused).toBeInstanceOf(LimitError);
    expect((refused as LimitError).message).toContain("maxPendingSendBytes 1000000");
    // nobody else is held up
    await using other = await findActor<Service>("quick", { raiseOnNone: true });
    expect(await other.run.add(1, 2)).toBe(3);
    slow.signal("SIGCONT");
    const answers = (await Promise.all(taken)) as string[];
    expect(answers.map(({ length }) => length)).toEqual(taken.map((_, at) => 100_000 + at));
  });

  test("logging that is off costs nothing", async () => {
    const { logger } = await import("../../src/log.ts");
    const log = logger("rpc");
    let evaluated = false;
    log.debug?.(`${(evaluated = true)}`);
    expect({ debug: log.debug, error: log.error, evaluated }).toEqual({
      debug: undefined,
      error: undefined,
      evaluated: false,
    });
  });
});

async function stageOf(failing: Promise<unknown>): Promise<string> {
  const error = await failure(failing);
  return error instanceof TimeoutError ? error.stage : String(error);
}

/** Connects until the backlog of a stopped listener is full; returns the connections. */
async function fillBacklog(addr: Address): Promise<Bun.Socket[]> {
  const path = addr.slice("unix://".length);
  const queue: Bun.Socket[] = [];
  for (;;) {
    try {
      queue.push(await Bun.connect({ unix: path, socket: { data() {}, connectError() {} } }));
    } catch {
      return queue;
    }
  }
}
