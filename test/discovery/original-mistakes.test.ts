/**
 * What the original's discovery gets wrong, one test for each behaviour that is right here. The titles are the
 * behaviours.
 */
import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";

import {
  findActor,
  getPeerByName,
  getRegistry,
  LocalPortal,
  openNursery,
  openRootActor,
  queryActor,
  rankAddresses,
  RegistryUnavailableError,
  TimeoutError,
  waitForActor,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { freePort, type Program, until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

async function uuidOf(program: Program): Promise<string> {
  return await program.run(({ furrow }) => furrow.currentActor().uuid);
}

describe("discovery", () => {
  test("last registered; a name equals a name", async () => {
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

  test("connected peers answer: measured by a test that counts the registrar's requests: zero", async () => {
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

  test("every live instance once, by uuid", async () => {
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
  });

  test("any registrar that knows it is enough", async () => {
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

  test("the others answer; all down is one clear error", async () => {
    await using world = new World();
    await world.actor("hub");
    const target = await world.actor("target");
    await using _self = await openRootActor({ ...world.options, name: "asker" });
    const nobody = `tcp://127.0.0.1:${freePort()}` as const;
    const missing = `unix://${world.dir}/missing.sock` as const;
    await using found = await findActor("target", { registryAddrs: [nobody, world.unix, missing] });
    expect(found?.id.uuid).toBe(await uuidOf(target));
    const down = findActor("target", { registryAddrs: [nobody, missing] });
    expect(down).rejects.toBeInstanceOf(RegistryUnavailableError);
    const error = (await down.catch((thrown: unknown) => thrown)) as RegistryUnavailableError;
    expect((error.cause as AggregateError).errors).toHaveLength(2);
    expect(error.message).toContain(nobody);
    expect(error.message).toContain(missing);
  });

  test("choose the instance, then rank its own addresses", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    // the first registree has tcp only; another instance's socket must not be taken for it
    const first = await world.actor("mixed", { enableTransports: ["tcp"], registryAddrs: [world.tcp] });
    const second = await world.actor("mixed", { enableTransports: ["unix"], registryAddrs: [world.unix] });
    await using waited = await waitForActor("mixed");
    expect({ uuid: waited.id.uuid, addr: waited.addr.slice(0, 6) }).toEqual({
      uuid: await uuidOf(first),
      addr: "tcp://",
    });
    await using found = await findActor("mixed");
    expect({ uuid: found?.id.uuid, addr: found?.addr.slice(0, 7) }).toEqual({
      uuid: await uuidOf(second),
      addr: "unix://",
    });
  });

  test("one atomic registration with all addresses", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    await using registry = await getRegistry();
    for (let round = 0; round < 5; round++) {
      const name = `late${round}`;
      const waiting = registry.run.waitForActor(name);
      await world.actor(name);
      // what wakes the waiter is the first change of the name: both addresses are in it
      expect((await waiting).addrs.map((addr) => addr.slice(0, 4))).toEqual(["unix", "tcp:"]);
    }
  });

  test("the waiter looks again; it is removed on abort and on disconnect", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    // an entry that goes away under the waiter: the wait goes on, and ends with the next
    const waiting = waitForActor("flicker");
    const short = await world.actor("flicker");
    await using first = await waiting;
    await short.kill();
    await first.closed;
    const again = waitForActor("flicker");
    const next = await world.actor("flicker");
    await using second = await again;
    expect(second.id.uuid).toBe(await uuidOf(next));

    const aborting = new AbortController();
    const aborted = waitForActor("never", { signal: aborting.signal });
    aborting.abort(new Error("enough"));
    expect(aborted).rejects.toThrow("enough");

    // remote waiters of the registrar's own function: one that aborts, one that disconnects
    const asker = await world.actor("asker");
    await asker.run(async ({ furrow, keep }) => {
      const registry = await furrow.getRegistry();
      const abort = new AbortController();
      const wait = registry.with({ signal: abort.signal }).run.waitForActor("never");
      keep["other"] = registry.run.waitForActor("never").catch(() => {});
      await registry.run.listActors();
      abort.abort(new Error("enough"));
      await wait.catch(() => {});
      await registry.run.listActors();
    });
    expect(registrar.stats().callsInFlight).toBe(1);
    await asker.kill();
    await until(() => registrar.stats().callsInFlight === 0);
  });

  test("the handshake carries the listen addresses", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    const dialler = await world.actor("dialler");
    const addrs = await dialler.run(({ furrow }) => [...furrow.currentActor().addrs]);
    // it dialled us: what we see is where it listens, not the port that it came from
    expect(getPeerByName("dialler")?.map((peer) => [...peer.addrs])).toEqual([addrs]);
    await using query = await queryActor("dialler");
    expect(query.addr).toBe(rankAddresses(addrs)[0]!);
  });

  test("a deadline on each stage, and the error names the stage", async () => {
    await using world = new World();
    await using _registrar = await openRootActor({ ...world.options, limits: { handshakeTimeoutMs: 300 } });
    const frozen = await world.actor("frozen");
    const addr = await frozen.run(({ furrow }) => furrow.currentActor().addrs[0]!);
    frozen.signal("SIGSTOP");
    try {
      // connected as its registrar: the call is what waits
      await using portal = await findActor<Service>("frozen");
      const call = portal!.with({ timeout: 100 }).run.pid();
      expect(await stageOf(call)).toBe("call");
      expect(await stageOf(waitForActor("nobody", { timeout: 50 }))).toBe("wait");
      // not connected: the kernel accepts for the stopped process, and the handshake is what waits
      const asker = await world.actor("asker", { limits: { handshakeTimeoutMs: 200 } });
      const stage = await asker.run(async ({ furrow }) => {
        const failed = await furrow.findActor("frozen").catch((error: unknown) => error);
        return (failed as { stage?: string }).stage ?? String(failed);
      });
      expect(stage).toBe("handshake");
      const registryStage = await asker.run(async ({ furrow, args }) => {
        const options = { registryAddrs: [args[0] as `unix://${string}`], timeout: 100 };
        const failed = await furrow.findActor("x", options).catch((error: unknown) => error);
        return (failed as { stage?: string }).stage ?? String(failed);
      }, addr);
      expect(["handshake", "lookup"]).toContain(registryStage);
    } finally {
      frozen.signal("SIGCONT");
    }
  });

  test("falls through the ranking", async () => {
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

  test("an entry is a lease held by the registering connection: it goes when that connection does", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const target = await world.actor("leased");
    expect(registrar.stats().registrar!.actors).toBe(2);
    await target.kill();
    // nobody dialled it in vain: the entry went by itself
    await until(() => registrar.stats().registrar!.actors === 1);
    expect(await findActor("leased")).toBeNull();
  });

  test("the handshake must show the uuid that was looked up", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    const port = freePort();
    const options = {
      enableTransports: ["tcp"],
      bindAddrs: [`tcp://127.0.0.1:${port}`],
      registryAddrs: [world.tcp],
    };
    const old = await world.actor("reused", options);
    const asker = await world.actor("asker");
    // freeze the news of its death: the asker takes the stale address from a registration made up by hand
    await old.kill();
    const other = await world.actor("somebody-else", options);
    const answer = await asker.run(
      async ({ furrow, args }) => {
        const actor = furrow.currentActor() as unknown as {
          peers: { connect(target: object, deadline: object): Promise<unknown> };
        };
        const { Deadline } = await import(args[1] as string);
        const target = {
          name: "reused",
          uuid: "0-not-there",
          addrs: [`tcp://127.0.0.1:${args[0] as number}`],
        };
        const failed = await actor.peers
          .connect(target, new Deadline({}, "test"))
          .catch((error: unknown) => error);
        return (failed as Error).message;
      },
      port,
      new URL("../../src/deadline.ts", import.meta.url).href,
    );
    expect(answer).toContain("not the actor that was looked up");
    expect(await uuidOf(other)).toBeString();
  });

  test("only the connection that registered an entry may change it; others can report it as unreachable, which makes the registrar look, not delete", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const target = await world.actor("target");
    const rogue = await world.actor("rogue");
    // the protocol has no message that names another's entry; a report only makes the registrar look
    await rogue.run(
      async ({ furrow, args }) => {
        const registry = (await furrow.getRegistry()) as unknown as object;
        void registry;
        const actor = furrow.currentActor() as unknown as {
          discovery: {
            links: { report(uuid: string): void; session: { request(kind: number): Promise<unknown> } }[];
          };
        };
        const [link] = actor.discovery.links;
        link!.report(args[0] as string);
        // unregister takes the sender's own entry, whatever it adds
        await link!.session.request(33);
      },
      await uuidOf(target),
    );
    expect(registrar.stats().registrar!.actors).toBe(2);
    await using found = await findActor("target");
    expect(found?.id.uuid).toBe(await uuidOf(target));
  });

  test("host id in the address; foreign unix addresses are dropped from the ranking", () => {
    expect(
      rankAddresses(["unix://00000000deadbeef/run/x.sock", "tcp://127.0.0.1:1", "unix:///run/x.sock"]),
    ).toEqual(["unix:///run/x.sock", "tcp://127.0.0.1:1"]);
  });

  test("pooled; the address is honoured", async () => {
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
  });

  test("unix and tcp together by default", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    const { addrs } = await child.run.identity();
    expect(addrs.map((addr) => addr.split(":")[0])).toEqual(["unix", "tcp"]);
  });

  test("with the registrar down a spawn or a lookup is a clear error within the deadline, naming the address", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    // no root that could take over: the registry address is not of this host once its holder is gone
    await using _self = await openRootActor({ ...world.options, name: "asker" });
    const nobody = `tcp://127.0.0.1:${freePort()}` as const;
    const failed = await getRegistry(nobody).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RegistryUnavailableError);
    expect((failed as Error).message).toContain(nobody);
    hub.signal("SIGSTOP");
    try {
      const silent = await findActor("unknown", { timeout: 200 }).catch((error: unknown) => error);
      expect(silent).toBeInstanceOf(TimeoutError);
      expect((silent as TimeoutError).stage).toBe("lookup");
    } finally {
      hub.signal("SIGCONT");
    }
  });

  test("of several programs that boot at once, one becomes the registrar, the others join it", async () => {
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

  test("actors keep their registration and bring it to whoever serves the registry address next", async () => {
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
    await using world = new World();
    await using nursery = await openNursery(world.options);
    for (let round = 0; round < 5; round++) {
      const child = await nursery.startActor(`child${round}`, { module: service });
      // at once, with no wait in between
      await using query = await queryActor(`child${round}`);
      expect(query.id?.uuid).toBe(child.id.uuid);
    }
  });

  test("a lookup takes constant time by name, at any size", async () => {
    const { RegistryTable } = await import("../../src/discovery/table.ts");
    const table = new RegistryTable<null>();
    const id = (at: number): object => ({ name: `n${at}`, uuid: `u${at}`, pid: 1, host: "h" });
    for (let at = 0; at < 100_000; at++) table.register(id(at) as never, [], null);
    // by name alone: the table has no scan that another name could take part in
    const touched: string[] = [];
    const spied = new Proxy(table, {
      get: (target, key) => (touched.push(String(key)), Reflect.get(target, key, target)),
    });
    expect(spied.last.call(table, "n99999")?.uuid).toBe("u99999");
    expect(touched).toEqual(["last"]);
  });

  test("a caller's remote tasks end with their caller, killed or cancelled", async () => {
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
    const call = target.with({ signal: abort.signal }).run.hang();
    abort.abort(new Error("never mind"));
    expect(call).rejects.toThrow("never mind");
    expect(await target.run.abortedCalls()).toBe(2);
  });

  test("nothing is left after a call", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const target = await nursery.startActor<Service>("target", { module: service });
    for (let round = 0; round < 200; round++) {
      await target.run.echo(round);
      await target.run.fail("x").catch(() => {});
    }
    expect((await target.run.stats()) as { callsInFlight: number }).toMatchObject({ callsInFlight: 1 });
    const { currentActor } = await import("../../src/index.ts");
    expect(currentActor().stats().callsInFlight).toBe(0);
  });

  test("0.0.0.0, ::1, public addresses and host names: all bind; what is advertised is dialable", async () => {
    await using world = new World();
    const addresses = ["tcp://0.0.0.0:0", "tcp://[::1]:0", "tcp://localhost:0"] as const;
    await using actor = await openRootActor({ ...world.options, bindAddrs: addresses });
    const asker = await world.actor("asker");
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

  test("a limit on a frame, a protocol version, and backpressure", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxFrameBytes: 100_000 } });
    const child = await nursery.startActor<Service>("child", { module: service });
    const big = child.run.echo(new Uint8Array(200_000));
    expect(big).rejects.toThrow("maxFrameBytes 100000");
    expect(await child.run.add(1, 2)).toBe(3);
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

  test("a spawned child ends with its parent's process", async () => {
    await using world = new World();
    const parent = await world.actor("parent");
    const pid = await parent.run(async ({ furrow, args }) => {
      const nursery = await furrow.openNursery();
      return (await nursery.startActor("child", { module: args[0] as string })).id.pid;
    }, service.href);
    expect(isProcessAlive(pid)).toBeTrue();
    await parent.kill();
    await until(() => !isProcessAlive(pid));
  });
});

async function stageOf(failing: Promise<unknown>): Promise<string> {
  const error = await failing.then(
    () => new Error("did not fail"),
    (thrown: unknown) => thrown,
  );
  return error instanceof TimeoutError ? error.stage : String(error);
}
