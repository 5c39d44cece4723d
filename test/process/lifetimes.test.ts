/** No process outlives the scope that started it, whatever dies first. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { currentRuntime } from "../../src/actor/current.ts";
import {
  ActorDiedError,
  TransportClosedError,
  ContextCancelledError,
  findActor,
  openNursery,
  openRootActor,
  type Portal,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawRegistrar } from "../support/raw-peer.ts";
import { type Program, until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");
const stubborn = new URL("../fixtures/stubborn.ts", import.meta.url).href;
type Stubborn = typeof import("../fixtures/stubborn.ts");

/** Starts a child and a grandchild under the program's root; returns their pids. */
async function grow(program: Program, busy?: "child" | "grandchild"): Promise<number[]> {
  return await program.run(
    async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      const child = await nursery.startActor<Service>("child", { module: args[0] as string });
      const grandchild = await child.run.startChild("grandchild");
      if (args[1] !== null) {
        const portal = await furrow.findActor<Service>(args[1] as string, { raiseOnNone: true });
        portal.run.spin().catch(() => {});
      }
      return [child.id.pid, grandchild];
    },
    service.href,
    busy ?? null,
  );
}

function socketFiles(world: World): string[] {
  return readdirSync(world.dir).filter((name) => name.endsWith(".sock"));
}

describe("the root's end", () => {
  for (const signal of ["SIGKILL", "SIGABRT", "SIGSEGV"] as const) {
    test(`by ${signal} takes the whole tree with it, and the next boot sweeps`, async () => {
      await using world = new World();
      const root = await world.actor("root");
      const pids = await grow(root);
      root.signal(signal);
      await root.process.exited;
      await until(() => !pids.some(isProcessAlive), 2_000);
      await using actor = await openRootActor(world.options);
      expect(actor.isRegistrar).toBeTrue();
      // a process may count as dead while its last thread still holds its files, and so its locks
      await until(() => socketFiles(world).length === 1);
      expect(socketFiles(world)).toEqual(["registry@1.sock"]);
    });
  }

  test("by SIGKILL also ends a process that keeps its event loop busy", async () => {
    // the root's own child, whose parent can't stop it any more, and a grandchild
    for (const busy of ["child", "grandchild"] as const) {
      await using world = new World();
      const root = await world.actor("root", { limits: { stopGraceMs: 60_000 } });
      const pids = await grow(root, busy);
      await root.kill();
      await until(() => !pids.some(isProcessAlive));
    }
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    test(`by ${signal} cancels the tree, logs it, exits with ${code}, and leaves no file`, async () => {
      await using world = new World();
      const root = await world.actor("root");
      const pids = await grow(root);
      root.signal(signal);
      expect(await root.process.exited).toBe(code);
      expect(await root.stderr).toContain(`furrow: ${signal}`);
      expect(pids.some(isProcessAlive)).toBeFalse();
      expect(readdirSync(world.dir)).toEqual([]);
    });
  }

  test("by a signal is left to the program with handleSignals: false", async () => {
    await using world = new World();
    const root = await world.actor("root", { handleSignals: false });
    const pids = await grow(root);
    root.signal("SIGTERM");
    await root.process.exited;
    expect(root.process.signalCode).toBe("SIGTERM");
    expect(await root.stderr).toBe("");
    await until(() => !pids.some(isProcessAlive));
  });

  for (const [what, signal, code] of [
    ["Ctrl-C", "SIGINT", 130],
    ["a terminal that closes", "SIGHUP", 129],
  ] as const) {
    test(`by ${what}, whose signal reaches every process of the group, is just as orderly`, async () => {
      await using world = new World();
      const root = await world.actor("root");
      const pids = await grow(root);
      // like a terminal: signal every process of the group, here the children first
      for (const pid of [...pids, root.pid]) process.kill(pid, signal);
      expect(await root.process.exited).toBe(code);
      expect(pids.some(isProcessAlive)).toBeFalse();
      expect(readdirSync(world.dir)).toEqual([]);
      expect(await root.stderr).not.toContain("ActorDiedError");
    });
  }

  test("by SIGTERM to the whole group, as systemd sends it, isn't a failure of the children", async () => {
    for (let round = 0; round < 3; round++) {
      await using world = new World();
      const root = await world.actor("root");
      const pids = await root.run(async ({ furrow, args: [module] }) => {
        const nursery = await furrow.openNursery();
        const names = ["a", "b", "c"];
        const children = await Promise.all(
          names.map((name) => nursery.startActor(name, { module: module as string })),
        );
        void nursery.join().then(
          () => console.log("joined"),
          (error: unknown) => console.log(String(error)),
        );
        return children.map(({ id }) => id.pid);
      }, service.href);
      for (const pid of [...pids, root.pid]) process.kill(pid, "SIGTERM");
      expect(await root.process.exited).toBe(143);
      expect(await root.stdout).toBe("joined\n");
      expect(pids.some(isProcessAlive)).toBeFalse();
      expect(readdirSync(world.dir)).toEqual([]);
    }
  });

  test("by a second SIGINT is immediate, and still takes the tree with it", async () => {
    await using world = new World();
    const root = await world.actor("root", { limits: { stopGraceMs: 60_000 } });
    const pids = await grow(root, "grandchild");
    root.signal("SIGINT");
    await until(async () => (await Promise.race([root.process.exited, Bun.sleep(50)])) === undefined);
    root.signal("SIGINT");
    expect(await root.process.exited).toBe(130);
    await until(() => !pids.some(isProcessAlive), 2_000);
  });

  test("by an abrupt exit or an uncaught exception leaves no process and no file of its own", async () => {
    await using world = new World();
    for (const end of [
      () => void setTimeout(() => process.exit(0), 0),
      () =>
        void setTimeout(() => {
          throw new Error("uncaught in the root");
        }, 0),
    ]) {
      const root = await world.actor("root");
      const pids = await grow(root);
      await root.run(end);
      await root.process.exited;
      await until(() => !pids.some(isProcessAlive), 2_000);
      expect(existsSync(world.unix.slice("unix://".length))).toBeFalse();
    }
  });
});

describe("a child", () => {
  test("ends when the connection to its parent ends, though the parent lives", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const child = await nursery.startActor<Service>("child", { module: service });
    const grandchild = await child.run.startChild("grandchild");
    currentRuntime().peers.get(child.id.uuid)!.channel.abort(new Error("cut by the test"));
    // it lost its parent, and its parent lost it: neither counts as a clean end
    const error = await nursery.join().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ERR_ACTOR_DIED", exitCode: 1 });
    await nursery[Symbol.asyncDispose]();
    expect([child.id.pid, grandchild].some(isProcessAlive)).toBeFalse();
  });

  test("that exits on its own leaves no socket file, though its registrar doesn't clean up", async () => {
    await using hub = new RawRegistrar();
    await using nursery = await openNursery({ registryAddrs: [hub.addr] });
    const child = await nursery.startActor<Service>("child", { module: service });
    const { addrs } = await child.run.identity();
    const path = addrs.find((addr) => addr.startsWith("unix"))!.slice("unix://".length);
    expect(existsSync(path)).toBeTrue();
    await child.run.exit(0);
    await nursery.join();
    expect(existsSync(path)).toBeFalse();
  });

  test("leaves SIGINT and SIGHUP to its root: it gets the signals too, and keeps running", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    for (const signal of ["SIGINT", "SIGHUP"] as const) process.kill(child.id.pid, signal);
    expect(await child.run.add(1, 2)).toBe(3);
    expect(nursery.signal.aborted).toBeFalse();
  });
});

describe("the end of an actor", () => {
  test("unregisters first, then closes its connections with a bye", async () => {
    await using hub = new RawRegistrar();
    const actor = await openRootActor({ registryAddrs: [hub.addr] });
    await actor.cancel();
    const session = hub.peers.at(-1)!;
    await session.ended;
    expect(session.received.map(([kind]) => kind)).toEqual([
      Kind.hello,
      Kind.register,
      Kind.ready,
      Kind.unregister,
      Kind.bye,
    ]);
  });

  test("isn't held up by a silent registrar", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const limits = { stopGraceMs: 50 };
    const actor = await openRootActor({ ...world.options, name: "guest", limits });
    await hub.freeze();
    await actor.cancel();
    expect(socketFiles(world)).toEqual(["registry@1.sock"]);
  });
});

describe("a middle actor's end", () => {
  test("by SIGKILL takes its subtree with it; the root is notified, and no file is left", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const child = await nursery.startActor<Service>("child", { module: service });
    const grandchild = await child.run.startChild("grandchild");
    process.kill(child.id.pid, "SIGKILL");
    const error = await nursery.join().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ActorDiedError);
    await until(() => !isProcessAlive(grandchild), 2_000);
    await until(() => socketFiles(world).length === 1, 2_000);
    expect(await findActor("grandchild")).toBeNull();
    await nursery[Symbol.asyncDispose]();
  });

  test("waits until its own children are killed, however busy they are, within the grace periods", async () => {
    await using world = new World();
    const limits = { stopGraceMs: 300, stopTermMs: 300 };
    let busy = 0;
    let end: Portal["closed"];
    await using _actor = await openRootActor({ ...world.options, limits });
    {
      await using nursery = await openNursery();
      const child = await nursery.startActor<Service>("child", { module: service });
      busy = await child.run.startChild("grandchild", stubborn);
      await using portal = await findActor<Stubborn>("grandchild", { raiseOnNone: true });
      await portal.run.ignoreTerm();
      void portal.run.spin().catch(() => {});
      end = child.closed;
    }
    expect(isProcessAlive(busy)).toBeFalse();
    // it took longer than one grace period, and wasn't killed for that
    expect((await end).reason).toBe("peer-closed");
    await until(() => socketFiles(world).length === 1, 2_000);
  });
});

describe("an actor that is killed while it ends", () => {
  test("leaves no socket file either: the registrar still remembers its addresses", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const victim = await world.actor("victim", { enableModules: [service.href] });
    // it has unregistered, and is stopped before it removes its file
    await victim.run(({ furrow, keep }) => {
      const runtime = furrow.currentActor() as unknown as {
        ending: { at(phase: string, work: () => Promise<void>): void };
      };
      runtime.ending.at("rest", () => new Promise(() => {}));
      keep["ending"] = furrow.currentActor().cancel();
    });
    await until(() => actor.stats().registrar?.actors === 1);
    expect(socketFiles(world)).toHaveLength(2);
    await victim.kill();
    await until(() => socketFiles(world).length === 1);
  });
});

describe("cancelActor", () => {
  test("ends a spawned actor with its process and its children, and returns true", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    const grandchild = await child.run.startChild("grandchild");
    expect(await child.cancelActor()).toBeTrue();
    // acknowledged once it has unregistered and its children are reaped
    expect(await findActor("child")).toBeNull();
    expect(isProcessAlive(grandchild)).toBeFalse();
    await nursery.join();
    expect(isProcessAlive(child.id.pid)).toBeFalse();
    expect((await child.closed).reason).toBe("peer-closed");
  });

  test("ends the runtime of a program that wasn't spawned, but not its process", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const other = await world.actor("other");
    await using portal = await findActor("other", { raiseOnNone: true });
    expect(await portal.cancelActor()).toBeTrue();
    expect(await findActor("other")).toBeNull();
    expect(
      await other.run(({ furrow }) => {
        try {
          return furrow.currentActor().name;
        } catch (error) {
          return (error as { code: string }).code;
        }
      }),
    ).toBe("ERR_NO_RUNTIME");
  });

  test("waits for shielded clean-up, and for what the functions still have to say", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    const file = join(world.dir, "cleaned");
    const call = child.run.hangAndCleanUp(file).catch((error: unknown) => error);
    await child.run.add(1, 1);
    expect(await child.cancelActor()).toBeTrue();
    expect(existsSync(file)).toBeTrue();
    expect(await call).toBeInstanceOf(ContextCancelledError);
    await nursery.join();
  });

  test("doesn't wait for ever for a function that ignores its abort", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { stopGraceMs: 100 } });
    const child = await nursery.startActor<Service>("child", { module: service });
    const call = child.run.deaf().catch((error: unknown) => error);
    await child.run.add(1, 1);
    expect(await child.cancelActor()).toBeTrue();
    expect(await call).toBeInstanceOf(TransportClosedError);
    await nursery.join();
  });

  test("returns false when the actor is gone or doesn't answer in time", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const frozen = await world.actor("frozen");
    await using portal = await findActor("frozen", { raiseOnNone: true });
    await frozen.freeze();
    expect(await portal.cancelActor({ timeout: 50 })).toBeFalse();
    await frozen.kill();
    expect(await portal.cancelActor()).toBeFalse();
    expect((await portal.closed).reason).toBe("peer-died");
  });
});
