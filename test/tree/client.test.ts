/** A client: it looks, watches and calls, and is nobody. */
import { describe, expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import {
  type ActorNotFoundError,
  currentActor,
  explainLookup,
  findActor,
  forEachActor,
  getPeerByName,
  getRegistry,
  getRoot,
  NoRuntimeError,
  openClient,
  openNursery,
  openRootActor,
  openService,
  queryActor,
  RegistryUnavailableError,
  RuntimeExistsError,
  serveHealth,
  UnauthenticatedError,
  waitForActor,
  watchActors,
} from "../../src/index.ts";
import { lockPath } from "../../src/transport/flock.ts";
import { registrySocketPath } from "../../src/transport/socket-paths.ts";
import { formatHolder, lockFile } from "../../src/transport/socket-lock.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { failure } from "../support/outcome.ts";
import { rawHello, RawListener, RawRegistrar } from "../support/raw-peer.ts";
import { Watching } from "../support/watching.ts";
import { freePort, type Program, until, World } from "../support/world.ts";

const module = new URL("../fixtures/service.ts", import.meta.url).href;
type Service = typeof import("../fixtures/service.ts");
const flows = new URL("../fixtures/flows.ts", import.meta.url).href;
type Flows = typeof import("../fixtures/flows.ts");

/** Whether the program's actor is the registrar. */
function isRegistrar(program: Program): Promise<boolean> {
  return program.run(({ furrow }) => furrow.currentActor().isRegistrar);
}

/** The names that the registrar of this process lists. */
async function names(): Promise<string[]> {
  await using registry = await getRegistry();
  return (await registry.run.listActors()).map(({ id }) => id.name).toSorted();
}

describe("openClient", () => {
  test("lets every function that looks up names work: one by one, all, later, by watch and as a service", async () => {
    await using world = new World();
    await world.actor("hub", { enableModules: [module] });
    const worker = await world.actor("worker", { enableModules: [module] });
    await using client = await openClient({ registryAddrs: world.registryAddrs });
    expect(client.registryAddrs).toEqual(world.registryAddrs);
    await using hub = await findActor<Service>("hub", { raiseOnNone: true });
    expect(await hub.run.add(1, 2)).toBe(3);
    expect(await hub.run.callerName()).toBe(client.id.name);
    expect(getPeerByName("hub")?.map(({ id }) => id.uuid)).toEqual([hub.id.uuid]);
    await using all = await findActor("worker", { onlyFirst: false });
    expect(all.map(({ id }) => id.pid)).toEqual([worker.pid]);
    expect(await findActor("nobody")).toBeNull();
    const error = await failure(findActor("nobody", { raiseOnNone: true }));
    expect((error as ActorNotFoundError).code).toBe("ERR_ACTOR_NOT_FOUND");
    await using found = await queryActor("worker");
    expect([found.id?.pid, found.addr]).toEqual([worker.pid, all[0]!.addr]);
    expect((await explainLookup("worker")).candidates.map(({ id }) => id.pid)).toEqual([worker.pid]);
    expect(await names()).toEqual(["hub", "worker"]);

    const waiting = waitForActor<Service>("late");
    const watching = new Watching(watchActors("*"));
    expect(await watching.take(1)).toEqual(["sync hub worker"]);
    const late = await world.actor("late", { enableModules: [module] });
    await using portal = await waiting;
    expect(await portal.run.pid()).toBe(late.pid);
    expect(await watching.take(1)).toEqual(["up late"]);
    await watching.stop();

    const pids: number[] = [];
    await using service = await openService<Service>("worker");
    pids.push(await service.run.pid());
    const stop = new AbortController();
    const each = forEachActor<Service>(
      "w*",
      async (one) => {
        pids.push(await one.run.pid());
        stop.abort();
      },
      { signal: stop.signal },
    );
    await failure(each);
    expect(pids).toEqual([worker.pid, worker.pid]);
  });

  test("reads streams, holds dialogs, and ends actors, like any caller", async () => {
    await using world = new World();
    await world.actor("hub");
    const worker = await world.actor("worker", { enableModules: [flows] });
    await using _ = await openClient({ registryAddrs: world.registryAddrs });
    await using portal = await findActor<Flows>("worker", { raiseOnNone: true });
    expect(await Array.fromAsync(portal.stream.count(3))).toEqual([0, 1, 2]);
    expect(await portal.cancelActor()).toBe(true);
    await worker.run(() => {});
    expect(await findActor("worker")).toBeNull();
  });

  test("doesn't listen, isn't registered, and is no peer by name of those that it calls", async () => {
    await using world = new World();
    await world.actor("hub", { enableModules: [module] });
    const before = readdirSync(world.dir).toSorted();
    await using client = await openClient({ registryAddrs: world.registryAddrs });
    await using hub = await findActor<Service>("hub", { raiseOnNone: true });
    const { name } = client.id;
    expect(await hub.run.peerNames(name)).toBeNull();
    expect(await hub.run.find(name)).toBeNull();
    expect(await findActor(name)).toBeNull();
    expect(await names()).toEqual(["hub"]);
    expect(await hub.run.stats()).toMatchObject({ peers: 1, registrar: { actors: 1, names: 1 } });
    expect(readdirSync(world.dir).toSorted()).toEqual(before);
  });

  test("says on the wire that it listens nowhere and isn't registered, over one connection, and registers nothing", async () => {
    await using registrar = new RawRegistrar();
    {
      await using client = await openClient({ registryAddrs: [registrar.addr] });
      expect(await findActor("nobody")).toBeNull();
      expect(registrar.peers.map(({ received }) => received[0]?.slice(1, 10))).toEqual([
        [1, client.id.uuid, "client", client.id.host, process.pid, "boot", [], false, null],
      ]);
    }
    const [peer] = registrar.peers;
    await peer!.ended;
    expect(peer!.received.map(([kind]) => kind)).toEqual([Kind.hello, Kind.lookup, Kind.bye]);
  });

  test("lets nobody call it or stop it", async () => {
    await using registrar = new RawRegistrar();
    await using client = await openClient({
      registryAddrs: [registrar.addr],
      security: { policy: [{ from: "*", stop: true }] },
    });
    const peer = registrar.peers[0]!;
    peer.send([Kind.call, 1, "anything", []], [Kind.stop, 3]);
    const answers = (): typeof peer.received => peer.received.filter(([kind]) => kind === Kind.error);
    await until(() => answers().length === 2);
    for (const [at, [, id, error]] of answers().entries())
      expect([id, JSON.stringify(error).includes("ERR_PERMISSION_DENIED")]).toEqual([[1, 3][at], true]);
    expect(client.signal.aborted).toBe(false);
  });

  test("finds a registrar of the default port that serves tcp only, without being told so", async () => {
    await using world = new World();
    const registryAddrs = [world.tcp];
    const hub = await world.actor("hub", { enableTransports: ["tcp"], registryAddrs });
    // as if its port were 1616, which another program may have
    const lock = lockPath(lockFile(registrySocketPath(world.dir, 1616)))!;
    const holder = { pid: hub.pid, name: "hub", uuid: "a-uuid", root: "a-uuid", addrs: registryAddrs };
    lock.write(formatHolder(holder));
    const program = await world.program({ FURROW_REGISTRY_ADDRS: "" });
    const found = await program.run(async ({ furrow }) => {
      await using client = await furrow.openClient();
      return [client.registryAddrs, (await furrow.queryActor("hub")).id?.pid];
    });
    lock.release();
    expect(found).toEqual([registryAddrs, hub.pid]);
  });

  test("names the addresses of a registrar that serves others than those it is given", async () => {
    await using world = new World();
    const port = freePort();
    const tcp = `tcp://127.0.0.1:${port}`;
    await world.actor("hub", { enableTransports: ["tcp"], registryAddrs: [tcp] });
    const program = await world.program();
    const error = await failure(
      program.run(
        async ({ furrow, args }) => void (await furrow.openClient({ registryAddrs: [args[0] as never] })),
        `unix://${registrySocketPath(world.dir, port)}`,
      ),
    );
    expect(error.message).toContain(`serves ${tcp} but not`);
    expect(error.message).toEndWith("name those as registryAddrs");
  });

  test("uses tcp with the secret, and tcp with certificates", async () => {
    await using world = new World();
    await world.actor("hub", { enableModules: [module] });
    {
      await using _ = await openClient({ registryAddrs: [world.tcp] });
      await using hub = await findActor<Service>("hub", { raiseOnNone: true, enableTransports: ["tcp"] });
      expect([hub.addr, (await hub.run.peer()).auth]).toEqual([world.tcp, "secret"]);
    }
    const authority = new Authority();
    const tlsOf = (name: string): object => ({ tls: writeTls(world.dir, name, authority.issue(name)) });
    const registryAddrs = [`tcp://127.0.0.1:${freePort()}`] as const;
    await world.actor("safe", {
      enableTransports: ["tcp"],
      enableModules: [module],
      registryAddrs,
      security: tlsOf("safe"),
    });
    await using _ = await openClient({ registryAddrs, security: tlsOf("looker") });
    await using safe = await findActor<Service>("safe", { raiseOnNone: true });
    expect(await safe.run.peer()).toMatchObject({ auth: "tls", subject: "looker" });
  });

  test("uses all registrars at its addresses", async () => {
    await using world = new World();
    await world.actor("one", { registryAddrs: [world.unix] });
    await world.actor("two", { registryAddrs: [world.tcp] });
    await using client = await openClient({ registryAddrs: world.registryAddrs });
    for (const name of ["one", "two"]) expect((await queryActor(name)).id?.name).toBe(name);
    expect(client.stats().peers).toBe(2);
  });
});

describe("openClient where no registrar answers", () => {
  const opening = (registryAddrs: readonly World["unix"][], timeout = 5_000): Promise<Error> =>
    failure(openClient({ registryAddrs, timeout }));

  test("fails with the addresses and the reason for each, at once where nothing listens, and creates nothing", async () => {
    await using world = new World();
    const error = await opening(world.registryAddrs);
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(error.message).toBe(
      `no registrar answers at ${world.unix}, ${world.tcp}: ${world.unix}: no live process serves it; ` +
        `cannot connect to ${world.tcp}: nothing is listening there (ECONNREFUSED)`,
    );
    expect((error.cause as AggregateError).errors).toHaveLength(2);
    expect(readdirSync(world.dir)).toEqual([]);
  });

  test("fails with what is there instead of a registrar", async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("no") });
    const error = await opening([`tcp://127.0.0.1:${server.port}`]);
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(error.message).toContain("occupied by something that doesn't answer as a registrar");
  });

  test("waits for one that is frozen, and then names its pid", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await hub.freeze();
    for (const timeout of [300, 1_200]) {
      const error = await opening([world.unix], timeout);
      expect(error).toBeInstanceOf(RegistryUnavailableError);
      expect(error.message).toContain(`${world.unix} is held by hub#`);
      expect(error.message).toContain(`(pid ${hub.pid}), which doesn't answer`);
    }
    const client = openClient({ registryAddrs: [world.unix] });
    hub.signal("SIGCONT");
    await (await client).close();
  });

  test("waits for one that is just being elected", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const next = await world.actor("next");
    await next.freeze();
    await hub.kill();
    const opening = openClient({ registryAddrs: world.registryAddrs });
    next.signal("SIGCONT");
    await using _ = await opening;
    expect((await queryActor("next")).id?.pid).toBe(next.pid);
  });

  test("fails with UnauthenticatedError where the secrets differ", async () => {
    await using world = new World();
    await world.actor("hub");
    const secret = "a secret that the registrar doesn't have";
    const error = await failure(openClient({ registryAddrs: [world.tcp], security: { secret } }));
    expect(error).toBeInstanceOf(UnauthenticatedError);
  });

  test("rejects malformed options before anything is opened", async () => {
    for (const options of [
      { registryAddrs: [] },
      { registryAddrs: ["tcp://nowhere" as const] },
      { registryAddrs: ["tcp://192.0.2.1:1616" as const] },
      { timeout: -1 },
      { limits: { maxFrameBytes: 0 } },
      { security: { tls: { cert: "/nowhere", key: "/nowhere", ca: "/nowhere" } } },
    ])
      await failure(openClient(options));
    expect(() => getPeerByName("hub")).toThrow(NoRuntimeError);
  });
});

describe("a process with a client", () => {
  test("has no actor, and can't open one or another client until the client is closed", async () => {
    await using world = new World();
    await world.actor("hub");
    const options = { registryAddrs: world.registryAddrs };
    {
      const opening = openClient(options);
      expect(await failure(openRootActor(world.options))).toBeInstanceOf(RuntimeExistsError);
      await using _ = await opening;
      for (const open of [openClient, openRootActor, openNursery])
        expect(await failure(open({}))).toBeInstanceOf(RuntimeExistsError);
      expect(() => currentActor()).toThrow(NoRuntimeError);
      // these tell of an actor, and must not listen for nothing
      for (const open of [getRoot, () => serveHealth({ port: 0 })])
        expect(await failure(open())).toBeInstanceOf(NoRuntimeError);
    }
    await using actor = await openRootActor(world.options);
    expect(currentActor()).toBe(actor);
    expect(await failure(openClient(options))).toBeInstanceOf(RuntimeExistsError);
    await actor.cancel();
    await (await openClient(options)).close();
    await failure(openClient({ registryAddrs: [`tcp://127.0.0.1:${freePort()}`] }));
    await using _ = await openClient(options);
  });

  test("ends its calls, watches and lookups with the client", async () => {
    await using world = new World();
    await world.actor("hub", { enableModules: [module] });
    const client = await openClient({ registryAddrs: world.registryAddrs });
    await using hub = await findActor<Service>("hub", { raiseOnNone: true });
    const watching = new Watching(watchActors("*"));
    await watching.take(1);
    const service = await openService<Service>("hub");
    await service.run.add(1, 2);
    const pending = [hub.run.hang(), waitForActor("late"), service.run.hang()].map(failure);
    // over the same connection, so it is answered when those before it have begun
    await service.run.add(1, 2);
    await Promise.all([client.close(), client.close()]);
    expect(client.signal.aborted).toBe(true);
    for (const error of await Promise.all(pending)) expect(error).toBeInstanceOf(Error);
    await watching.stop();
    await service[Symbol.asyncDispose]();
    await using _ = await openClient({ registryAddrs: world.registryAddrs });
    await using again = await findActor<Service>("hub", { raiseOnNone: true });
    await until(async () => (await again.run.abortedCalls()) === 2);
  });

  test("aborts the opening with its signal's reason, and closes with it later", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const registryAddrs = world.registryAddrs;
    const reason = new Error("enough");
    expect(await failure(openClient({ registryAddrs, signal: AbortSignal.abort(reason) }))).toBe(reason);
    await hub.freeze();
    const abort = new AbortController();
    const opening = failure(openClient({ registryAddrs, signal: abort.signal }));
    abort.abort(reason);
    expect(await opening).toBe(reason);
    hub.signal("SIGCONT");
    const closing = new AbortController();
    const client = await openClient({ registryAddrs, signal: closing.signal });
    closing.abort(reason);
    expect(client.signal.reason).toBe(reason);
    await client.close();
    await (await openClient({ registryAddrs })).close();
  });

  test("exits by itself once the client is closed", async () => {
    await using world = new World();
    await world.actor("hub");
    const source = `
      const { openClient, queryActor } = await import(${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)});
      await using _ = await openClient();
      console.log((await queryActor("hub")).id.name);`;
    const process_ = Bun.spawn([process.execPath, "-e", source], {
      env: { ...process.env, ...world.env },
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await new Response(process_.stdout).text()).toBe("hub\n");
    expect(await process_.exited).toBe(0);
  });
});

describe("a client whose registrar ends", () => {
  test("goes on with the next one: lookups, watches and services", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const next = await world.actor("next", { enableModules: [module] });
    await using _ = await openClient({ registryAddrs: world.registryAddrs });
    const watching = new Watching(watchActors("*"));
    expect(await watching.take(1)).toEqual(["sync hub next"]);
    await using service = await openService<Service>("next");
    // connected, to an actor that isn't the registrar yet
    expect(await service.run.pid()).toBe(next.pid);
    await hub.kill();
    // never answered as absent, whichever moment of the takeover it is
    expect((await queryActor("next")).id?.pid).toBe(next.pid);
    await until(() => isRegistrar(next));
    expect(await watching.take(1)).toEqual(["sync next"]);
    expect(await service.run.pid()).toBe(next.pid);
    expect(await names()).toEqual(["next"]);
    await world.actor("late");
    expect(await watching.take(1)).toEqual(["up late"]);
    await watching.stop();
  });

  test("goes on with the next one when its socket was removed and another serves there, though it has asked for nothing yet", async () => {
    await using world = new World();
    const dir = join(world.dir, "deep");
    const registryAddrs = [`unix://${dir}/registry@1.sock`] as const;
    const options = { registryAddrs, enableTransports: ["unix"] };
    const env = { FURROW_RUNTIME_DIR: dir };
    const older = await world.actor("older", options, env);
    await using _ = await openClient({ registryAddrs });
    // it looks after its socket twice a second: the next one is there before
    await older.freeze();
    rmSync(dir, { recursive: true });
    const newer = await world.actor("newer", options, env);
    older.signal("SIGCONT");
    await until(async () => !(await isRegistrar(older)), 10_000);
    await until(async () => (await findActor("newer"))?.id.pid === newer.pid);
    await using found = await findActor("newer");
    expect(found?.id.pid).toBe(newer.pid);
  });

  test("goes on with the next one when the registrar yields its address", async () => {
    await using registrar = new RawRegistrar();
    await using _ = await openClient({ registryAddrs: [registrar.addr] });
    const [first] = registrar.peers;
    const asked = new Set<unknown>();
    registrar.onLookup = (peer, [, id]) => {
      asked.add(peer);
      peer.send([Kind.result, id, []]);
    };
    first!.send([Kind.retired]);
    await until(() => registrar.connections > 1);
    // the one that serves there now is the same: it's a peer still, and asked over the same connection
    expect(await findActor("nobody")).toBeNull();
    expect([first!.isOpen, asked.has(first)]).toEqual([true, true]);
  });

  test("looks again for a registrar that retired between its hello and the first use", async () => {
    const uuid = crypto.randomUUID();
    await using registrar = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      const hello = rawHello({ name: "raw", uuid, addrs: [registrar.addr], isRegistrar: true });
      peer.send(...(peer === registrar.peers[0] ? [hello, [Kind.retired] as const] : [hello]));
      await peer.ended;
    });
    await using _ = await openClient({ registryAddrs: [registrar.addr] });
    // it asked who is there when it first heard of it, and again when it began to use that registrar
    expect(registrar.peers).toHaveLength(3);
    expect(registrar.peers[0]!.isOpen).toBe(true);
  });

  test("never takes over: nothing serves the addresses until a root does", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using _ = await openClient({
      registryAddrs: world.registryAddrs,
      limits: { probeTimeoutMs: 100 },
    });
    const watching = new Watching(watchActors("*"));
    expect(await watching.take(1)).toEqual(["sync hub"]);
    await hub.kill();
    const error = await failure(findActor("hub"));
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    for (const addr of world.registryAddrs) expect(error.message).toContain(addr);
    const next = await world.actor("hub");
    expect(await isRegistrar(next)).toBe(true);
    await using found = await waitForActor("hub");
    expect(found.id.pid).toBe(next.pid);
    await watching.stop();
  });

  test("doesn't hold the next one back, nor is waited for", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const looker = await world.program();
    await looker.run(async ({ furrow, keep }) => {
      keep["client"] = await furrow.openClient();
    });
    await looker.freeze();
    await hub.kill();
    const next = await world.actor("next");
    // a miss is answered at once: no one is expected back
    expect(await next.run(async ({ furrow }) => await furrow.findActor("hub", { timeout: 400 }))).toBeNull();
  });
});
