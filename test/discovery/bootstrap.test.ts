import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  AddressError,
  type Address,
  Arbiter,
  currentActor,
  findActor,
  getRegistry,
  LocalPortal,
  NoRuntimeError,
  openRootActor,
  Registrar,
  RegistryExistsError,
  RegistryOccupiedError,
  RegistryUnavailableError,
  RuntimeExistsError,
  toMultiaddr,
} from "../../src/index.ts";
import { lockPath } from "../../src/transport/flock.ts";
import { freePort, until, World } from "../support/world.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { failure } from "../support/outcome.ts";

describe("openRootActor", () => {
  test("becomes the registrar when all registry addresses are absent, with itself as the only entry", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    expect({ isRoot: actor.isRoot, isRegistrar: actor.isRegistrar, name: actor.name }).toEqual({
      isRoot: true,
      isRegistrar: true,
      name: "root",
    });
    expect(actor instanceof Registrar).toBeTrue();
    expect(actor instanceof Arbiter).toBeTrue();
    expect(actor.addrs.toSorted()).toEqual(world.registryAddrs.toSorted());
    await using registry = await getRegistry();
    expect(registry).toBeInstanceOf(LocalPortal);
    const all = await registry.run.listActors();
    expect(all.map(({ id }) => id)).toEqual([actor.id]);
  });

  test("takes multiaddrs for every address, and shows them as urls", async () => {
    await using world = new World();
    const inputs = world.registryAddrs.map((addr) => toMultiaddr(addr) as `/${string}`);
    await using actor = await openRootActor({ registryAddrs: inputs });
    expect(actor.registryAddrs).toEqual(world.registryAddrs);
    expect(actor.addrs.toSorted()).toEqual(world.registryAddrs.toSorted());
  });

  test("joins the registrar that answers, at fresh addresses beside it", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "guest" });
    expect(actor.isRegistrar).toBeFalse();
    expect(actor instanceof Registrar).toBeFalse();
    expect(actor.addrs[0]).toBe(`unix://${world.dir}/guest@${process.pid}.sock`);
    expect(actor.addrs[1]).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    expect(actor.addrs).not.toContain(world.tcp);
    const names = await hub.run(async ({ furrow }) => {
      await using registry = await furrow.getRegistry();
      return (await registry.run.listActors()).map(({ id }) => id.name);
    });
    expect(names).toEqual(["hub", "guest"]);
  });

  test("binds the union of registry and bind addresses as the registrar", async () => {
    await using world = new World();
    const extra = `tcp://127.0.0.1:${freePort()}` as const;
    await using actor = await openRootActor({ ...world.options, bindAddrs: [world.unix, extra] });
    expect(actor.addrs.toSorted()).toEqual([...world.registryAddrs, extra].toSorted());
  });

  test("binds exactly the bind addresses otherwise, a port of 0 made real", async () => {
    await using world = new World();
    await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, bindAddrs: ["tcp://127.0.0.1:0"] });
    expect(actor.addrs).toHaveLength(1);
    expect(actor.addrs[0]).toMatch(/^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
  });

  test("gives a registry port of 0 a real one, and says which", async () => {
    await using world = new World();
    await using actor = await openRootActor({
      registryAddrs: ["tcp://127.0.0.1:0"],
      enableTransports: ["tcp"],
    });
    expect(actor.registryAddrs).toEqual(actor.addrs);
    expect(actor.registryAddrs[0]).toMatch(/:[1-9]\d*$/);
    expect(existsSync(world.dir)).toBeTrue();
  });

  test("fails with RegistryOccupiedError over an http server, which still answers", async () => {
    await using world = new World();
    using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("still here"),
    });
    const occupied: Address = `tcp://127.0.0.1:${server.port}`;
    // longer than this test may take: what answers is not waited for
    const limits = { probeTimeoutMs: 60_000 };
    const error = await failure(openRootActor({ registryAddrs: [world.unix, occupied], limits }));
    expect(error).toBeInstanceOf(RegistryOccupiedError);
    expect(error.message).toContain(occupied);
    expect(await (await fetch(`http://127.0.0.1:${server.port}/`)).text()).toBe("still here");
    expect(existsSync(world.unix.slice("unix://".length))).toBeFalse();
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });

  test("fails with RegistryOccupiedError over a peer that accepts and closes, or accepts and is silent", async () => {
    await using world = new World();
    const closing = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: (socket) => void socket.end(), data() {} },
    });
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      for (const { port } of [closing, silent]) {
        const options = { ...world.options, registryAddrs: [`tcp://127.0.0.1:${port}`] as const };
        const error = await failure(openRootActor({ ...options, limits: { probeTimeoutMs: 50 } }));
        expect(error).toBeInstanceOf(RegistryOccupiedError);
      }
    } finally {
      closing.stop(true);
      silent.stop(true);
    }
  });

  test("fails with RegistryOccupiedError over an actor that is not a registrar", async () => {
    await using world = new World();
    await world.actor("hub");
    const plain = await world.actor("plain");
    const addr = await plain.run(({ furrow }) => furrow.currentActor().addrs[1]!);
    const error = await failure(openRootActor({ registryAddrs: [addr] }));
    expect(error).toBeInstanceOf(RegistryOccupiedError);
    expect(error.message).toContain("not a registrar");
  });

  test("joins the registrar at one address although another is occupied", async () => {
    await using world = new World();
    await world.actor("hub");
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("x") });
    await using actor = await openRootActor({
      registryAddrs: [`tcp://127.0.0.1:${server.port}`, world.unix],
    });
    expect(actor.isRegistrar).toBeFalse();
  });

  test("takes a socket file that a dead process left for absent, and replaces it", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await hub.kill();
    const path = world.unix.slice("unix://".length);
    expect(lstatSync(path).isSocket()).toBeTrue();
    await using actor = await openRootActor(world.options);
    expect(actor.isRegistrar).toBeTrue();
    // it is served again
    const guest = await world.actor("guest", { registryAddrs: [world.unix], enableTransports: ["unix"] });
    expect(await guest.run(({ furrow }) => furrow.currentActor().isRegistrar)).toBeFalse();
  });

  test("never replaces a file that is not a socket", async () => {
    await using world = new World();
    const path = join(world.dir, "notes.txt");
    writeFileSync(path, "mine");
    const error = await failure(
      openRootActor({ registryAddrs: [`unix://${path}`], enableTransports: ["unix"] }),
    );
    expect(error.name).toBeOneOf(["RegistryOccupiedError", "AddressError"]);
    expect(await Bun.file(path).text()).toBe("mine");
  });

  test("fails with RegistryExistsError when ensureRegistry is asked for and a registrar answers", async () => {
    await using world = new World();
    await world.actor("hub");
    const error = await failure(openRootActor({ ...world.options, ensureRegistry: true }));
    expect(error).toBeInstanceOf(RegistryExistsError);
    expect(error.message).toContain("hub#");
    await using alone = await openRootActor({
      registryAddrs: ["tcp://127.0.0.1:0"],
      enableTransports: ["tcp"],
      ensureRegistry: true,
    });
    expect(alone.isRegistrar).toBeTrue();
  });

  test("says that a registry address is not of this host instead of hanging", async () => {
    await using world = new World();
    const error = await failure(
      openRootActor({
        registryAddrs: ["tcp://192.0.2.1:1616"],
        security: { tls: writeTls(world.dir, "own", new Authority().issue("own")) },
        limits: { probeTimeoutMs: 100, dialTimeoutMs: 100 },
      }),
    );
    expect(error.name).toBeOneOf(["RegistryUnavailableError", "RegistryOccupiedError"]);
    expect(error.message).toContain("192.0.2.1");
  });

  test("refuses an address of a transport that is not enabled, naming both options", async () => {
    await using world = new World();
    const registry = await failure(openRootActor({ registryAddrs: [world.unix], enableTransports: ["tcp"] }));
    expect(registry).toBeInstanceOf(AddressError);
    expect(registry.message).toContain("registryAddrs");
    expect(registry.message).toContain("enableTransports");
    const bind = await failure(
      openRootActor({ registryAddrs: [world.tcp], enableTransports: ["tcp"], bindAddrs: [world.unix] }),
    );
    expect(bind).toBeInstanceOf(AddressError);
    expect(bind.message).toContain("bindAddrs");
  });

  test("creates the directory of a registry socket, with its parents", async () => {
    await using world = new World();
    const path = join(world.dir, "a", "b", "r.sock");
    await using actor = await openRootActor({
      registryAddrs: [`unix://${path}`],
      enableTransports: ["unix"],
    });
    expect(actor.addrs).toEqual([`unix://${path}`]);
    expect(lstatSync(join(world.dir, "a", "b")).mode & 0o777).toBe(0o700);
  });

  test("sweeps the socket files of dead processes, and no others", async () => {
    await using world = new World();
    await world.actor("hub");
    const dead = await world.actor("dead");
    const alive = await world.actor("alive");
    const [left] = await dead.run(({ furrow }) => furrow.currentActor().addrs);
    const [kept] = await alive.run(({ furrow }) => furrow.currentActor().addrs);
    const path = left!.slice("unix://".length);
    await dead.kill();
    await until(() => !existsSync(path)); // the registrar that held its lease
    writeFileSync(join(world.dir, "notes@4194304.sock"), ""); // no process can have that pid
    // of a process that was killed before it had bound
    writeFileSync(join(world.dir, "ghost@4194304.sock.lock"), "");
    mkdirSync(join(world.dir, "keep"));
    await using _actor = await openRootActor({ ...world.options, name: "sweeper" });
    expect(existsSync(join(world.dir, "ghost@4194304.sock.lock"))).toBeFalse();
    for (const name of ["notes@4194304.sock", "keep"]) expect(existsSync(join(world.dir, name))).toBeTrue();
    expect(existsSync(kept!.slice("unix://".length))).toBeTrue();
  });

  test("waits for a process that is about to bind an address, and joins or replaces it", async () => {
    await using world = new World();
    // a process that holds the lock is about to bind, or serves: the socket is not there yet
    const lock = lockPath(`${world.unix.slice("unix://".length)}.lock`)!;
    try {
      const error = await failure(openRootActor({ ...world.options, timeout: 100 }));
      expect(error).toBeInstanceOf(RegistryUnavailableError);
      expect(error.message).toContain(world.unix);
    } finally {
      lock.release();
    }
    await using actor = await openRootActor(world.options);
    expect(actor.isRegistrar).toBeTrue();
  });

  test("opens one actor per process", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    expect(await failure(openRootActor(world.options))).toBeInstanceOf(RuntimeExistsError);
  });

  test("leaves the process free for another after its end, and after a failed boot", async () => {
    await using world = new World();
    for (let round = 0; round < 3; round++) {
      await using actor = await openRootActor({ ...world.options, name: `r${round}` });
      expect(currentActor()).toBe(actor);
      expect(actor.addrs).toHaveLength(2);
    }
    expect(() => currentActor()).toThrow(NoRuntimeError);
    expect(existsSync(world.unix.slice("unix://".length))).toBeFalse();
    expect(await failure(openRootActor({ name: "bad\nname" }))).toMatchObject({ code: "ERR_ACTOR_NAME" });
    expect(await failure(openRootActor({ limits: { maxFrameBytes: 0 } }))).toMatchObject({
      code: "ERR_LIMIT",
    });
    await using again = await openRootActor(world.options);
    expect(again.isRegistrar).toBeTrue();
  });

  test("is cancelled by its signal, also while it boots", async () => {
    await using world = new World();
    const early = AbortSignal.abort(new Error("not now"));
    expect((await failure(openRootActor({ ...world.options, signal: early }))).message).toBe("not now");
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const during = new AbortController();
    const opening = openRootActor({
      registryAddrs: [`tcp://127.0.0.1:${silent.port}`],
      signal: during.signal,
    });
    setTimeout(() => during.abort(new Error("stop booting")), 20);
    expect((await failure(opening)).message).toBe("stop booting");
    silent.stop(true);
    const later = new AbortController();
    const actor = await openRootActor({ ...world.options, signal: later.signal });
    later.abort();
    expect(actor.signal.aborted).toBeTrue();
    await actor.cancel();
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });

  test("uses the environment's registry addresses, and the defaults of the runtime directory", async () => {
    await using world = new World();
    const program = await world.program({
      FURROW_REGISTRY_ADDRS: ` ${world.tcp} , /unix${world.dir}/env.sock `,
    });
    const fromEnv = await program.run(async ({ furrow }) => (await furrow.openRootActor()).registryAddrs);
    expect(fromEnv).toEqual([world.tcp, `unix://${world.dir}/env.sock`]);
  });
});

describe("currentActor", () => {
  test("throws NoRuntimeError without an actor, as does every lookup", async () => {
    expect(() => currentActor()).toThrow(NoRuntimeError);
    expect(await failure(findActor("x"))).toBeInstanceOf(NoRuntimeError);
    expect(await failure(getRegistry())).toBeInstanceOf(NoRuntimeError);
  });
});

describe("getRegistry", () => {
  test("fails with RegistryUnavailableError where nobody, or no registrar, answers", async () => {
    await using world = new World();
    await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "asker" });
    const nobody: Address = `tcp://127.0.0.1:${freePort()}`;
    expect(await failure(getRegistry(nobody))).toBeInstanceOf(RegistryUnavailableError);
    const plain = await world.actor("plain");
    const addr = await plain.run(({ furrow }) => furrow.currentActor().addrs[1]!);
    const error = await failure(getRegistry(addr));
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(error.message).toContain("not a registrar");
    expect(actor.stats().peers).toBeGreaterThan(0);
  });
});
