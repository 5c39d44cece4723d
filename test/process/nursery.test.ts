import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  ActorDiedError,
  ActorNameError,
  currentActor,
  findActor,
  getPeerByName,
  getRoot,
  LocalPortal,
  NoRuntimeError,
  openNursery,
  openRootActor,
  RuntimeExistsError,
  SpawnError,
  TransportClosedError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");
const fixture = (name: string): string => new URL(`../fixtures/${name}`, import.meta.url).href;

describe("openNursery", () => {
  test("boots a root if there is none, and ends it when the nursery ends", async () => {
    await using world = new World();
    {
      await using nursery = await openNursery(world.options);
      expect(currentActor().isRoot).toBeTrue();
      expect(nursery.signal.aborted).toBeFalse();
    }
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });

  test("uses an existing actor, and leaves it running", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    {
      await using nursery = await openNursery();
      await nursery.startActor("child", { module: service });
    }
    expect(actor.signal.aborted).toBeFalse();
    expect(await findActor("child")).toBeNull();
    expect(await failure(openNursery(world.options))).toBeInstanceOf(RuntimeExistsError);
  });

  test("leaves its block only when every child process is reaped and unregistered", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const pids: number[] = [];
    {
      await using nursery = await openNursery();
      const children = await Promise.all(
        ["a", "b", "c"].map((name) => nursery.startActor(name, { module: service })),
      );
      pids.push(...children.map(({ id }) => id.pid));
      expect(pids.every(isProcessAlive)).toBeTrue();
    }
    expect(pids.some(isProcessAlive)).toBeFalse();
    expect(actor.stats().registrar?.actors).toBe(1);
  });
});

describe("startActor", () => {
  test("gives a typed portal, to functions of one file and of separate modules", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", {
      module: service,
      modules: [fixture("other.ts")],
    });
    expect(await child.run.add(2, 3)).toBe(5);
    expect(await child.run.callerName()).toBe("root");
    const other = child as unknown as typeof child & { run: { twice(n: number): Promise<number> } };
    expect(await other.run.twice(21)).toBe(42);
    expect(await child.run.identity()).toMatchObject({ name: "child", isRegistrar: false });
    expect(await child.run.rootName()).toBe("root");
    expect(child.id.name).toBe("child");
  });

  test("nests to any depth; each level knows the root, and all are found by name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const one = await nursery.startActor<Service>("one", { module: service });
    await one.run.startChild("two");
    await using two = await findActor<Service>("two", { raiseOnNone: true });
    await two.run.startChild("three");
    await using three = await findActor<Service>("three", { raiseOnNone: true });
    expect(await three.run.rootName()).toBe("root");
    expect(await three.run.registryNames()).toEqual(["one", "root", "three", "two"]);
    expect(await three.run.findAndCall("one", 1, 2)).toBe(3);
  });

  test("merges the environment, and hides its own variables", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", {
      module: service,
      env: { COLOUR: "blue", HOME: world.dir },
    });
    expect(await child.run.environment("HOME")).toBe(world.dir);
    expect(await child.run.environment("COLOUR")).toBe("blue");
    expect(await child.run.environment("FURROW_RUNTIME_DIR")).toBe(process.env["FURROW_RUNTIME_DIR"]!);
    expect(await child.run.environment("FURROW_CHILD")).toBeNull();
    expect(await child.run.environment("BUN_FEATURE_FLAG_NO_ORPHANS")).toBeNull();
  });

  test("binds a child to exactly the addresses that it is given", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", {
      module: service,
      bindAddrs: ["tcp://127.0.0.1:0"],
    });
    expect((await child.run.identity()).addrs).toHaveLength(1);
    const tcp = await nursery.startActor<Service>("tcp", { module: service, enableTransports: ["tcp"] });
    expect((await tcp.run.identity()).addrs.map((addr) => addr.slice(0, 6))).toEqual(["tcp://"]);
  });

  test("fails with SpawnError and the module's own error when it cannot be loaded", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const missing = await failure(nursery.startActor("missing", { module: fixture("not-there.ts") }));
    expect(missing).toBeInstanceOf(SpawnError);
    expect(missing.message).toContain("not-there.ts");
    const broken = await failure(nursery.startActor("broken", { module: fixture("broken.ts") }));
    expect(broken).toBeInstanceOf(SpawnError);
    expect(broken.message).toContain("this module cannot be loaded");
    expect(broken.cause).toBeInstanceOf(RangeError);
    const file = join(world.dir, "syntax.ts");
    writeFileSync(file, "export function (");
    expect(await failure(nursery.startActor("syntax", { module: file }))).toBeInstanceOf(SpawnError);
    // a caught SpawnError isn't a failure of the nursery
    expect(nursery.signal.aborted).toBeFalse();
    await nursery.startActor("fine", { module: service });
  });

  test("fails with SpawnError, and the end of its stderr, when the child dies or hangs during its start", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const died = await failure(
      nursery.startActor("died", { module: fixture("dies-at-start.ts"), output: "ignore" }),
    );
    expect(died).toBeInstanceOf(SpawnError);
    expect(died.message).toContain("code 7");
    expect(died.message).toContain("last words on stderr");
    const hung = await failure(
      nursery.startActor("hung", { module: fixture("hangs-at-start.ts"), timeout: 300 }),
    );
    expect(hung).toBeInstanceOf(SpawnError);
    expect(hung.message).toContain("300 ms");
    expect(await findActor("hung")).toBeNull();
    const abort = new AbortController();
    const aborted = failure(
      nursery.startActor("aborted", { module: fixture("hangs-at-start.ts"), signal: abort.signal }),
    );
    setTimeout(() => abort.abort(new Error("changed my mind")), 50);
    expect((await aborted).message).toBe("changed my mind");
  });

  test("hides the actor from lookups until it has started, even from its parent", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const starting = failure(
      nursery.startActor("starting", { module: fixture("hangs-at-start.ts"), timeout: 1_000 }),
    );
    // it connects to its parent long before that
    await until(() => currentActor().stats().peers === 1);
    expect(await findActor("starting")).toBeNull();
    expect(getPeerByName("starting")).toBeNull();
    expect(await starting).toBeInstanceOf(SpawnError);
  });

  test("refuses a bad name, the same export in two modules, and a closed nursery", async () => {
    await using world = new World();
    let closed: Awaited<ReturnType<typeof openNursery>>;
    {
      await using nursery = await openNursery(world.options);
      closed = nursery;
      expect(await failure(nursery.startActor("", { module: service }))).toBeInstanceOf(ActorNameError);
      expect(await failure(nursery.startActor("x".repeat(256), { module: service }))).toBeInstanceOf(
        ActorNameError,
      );
      const twice = await failure(nursery.startActor("twice", { modules: [service, fixture("clash.ts")] }));
      expect(twice).toBeInstanceOf(SpawnError);
      expect(twice.message).toContain('"add"');
    }
    expect(await failure(closed.startActor("late", { module: service }))).toBeInstanceOf(SpawnError);
  });

  test("starts nothing in a nursery that was cancelled or has failed, though its actor keeps running", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using cancelled = await openNursery();
    await cancelled.cancel();
    expect(await failure(cancelled.startActor("late", { module: service }))).toBeInstanceOf(SpawnError);
    const failed = await openNursery();
    const child = await failed.startActor<Service>("child", { module: service, output: "ignore" });
    await child.run.exit(1);
    await failure(failed.join());
    const error = await failure(failed.startActor("late", { module: service }));
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.cause).toBeInstanceOf(ActorDiedError);
    await failed[Symbol.asyncDispose]();
    expect(actor.stats().registrar?.actors).toBe(1);
  });

  test("gives a child the limits of its tree", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxCallsInFlight: 2 } });
    const child = await nursery.startActor<Service>("child", { module: service });
    await child.run.startChild("grandchild");
    await using grandchild = await findActor<Service>("grandchild", { raiseOnNone: true });
    const hanging = [1, 2].map(() => failure(grandchild.run.hang()));
    expect((await failure(grandchild.run.add(1, 1))).message).toContain("maxCallsInFlight is 2");
    await nursery.cancel();
    await Promise.all(hanging);
  });

  test("accepts names that aren't valid file names", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    for (const name of ["../../etc/passwd", "with space", "名前", "x".repeat(255), "registry", "a@1.sock"]) {
      const child = await nursery.startActor<Service>(name, { module: service });
      expect((await child.run.identity()).name).toBe(name);
      await using found = await findActor<Service>(name, { raiseOnNone: true });
      expect(await found.run.add(1, 1)).toBe(2);
    }
  });

  test("forwards a child's output, with its name before each line on request", async () => {
    await using world = new World();
    const program = await world.actor("printer");
    await program.run(async ({ furrow, args }) => {
      await using nursery = await furrow.openNursery();
      for (const output of ["inherit", "prefix", "ignore"] as const) {
        const child = await nursery.startActor<{ print(text: string): void }>(output, {
          module: args[0] as string,
          output,
        });
        await child.run.print(`from ${output}`);
      }
    }, fixture("prints.ts"));
    await program.run(() => void setTimeout(() => process.exit(0), 10));
    expect((await program.stdout).trimEnd().split("\n")).toEqual([
      "out from inherit",
      "prefix: out from prefix",
    ]);
    const stderr = await program.stderr;
    expect(stderr).toContain("err from inherit\n");
    expect(stderr).toContain("prefix: err from prefix\n");
    expect(stderr).not.toContain("from ignore");
  });
});

describe("Nursery", () => {
  test("join waits until every child has ended on its own", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor("child", { module: service });
    let joined = false;
    const join = nursery.join().then(() => (joined = true));
    await Bun.sleep(20);
    expect(joined).toBeFalse();
    expect(await child.cancelActor()).toBeTrue();
    await join;
    expect(isProcessAlive(child.id.pid)).toBeFalse();
    expect(await findActor("child")).toBeNull();
  });

  test("a child that dies fails it: siblings are cancelled, join and the block give ActorDiedError", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const child = await nursery.startActor<Service>("dying", { module: service, output: "ignore" });
    const sibling = await nursery.startActor<Service>("sibling", { module: service });
    const pending = failure(child.run.hang());
    process.kill(child.id.pid, "SIGKILL");
    expect(await pending).toBeInstanceOf(TransportClosedError);
    const error = await failure(nursery.join());
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error).toMatchObject({ code: "ERR_ACTOR_DIED", signal: "SIGKILL", actor: { name: "dying" } });
    expect(nursery.signal.aborted).toBeTrue();
    expect(isProcessAlive(sibling.id.pid)).toBeFalse();
    // join has reported it; the end of the block doesn't report it again
    await nursery[Symbol.asyncDispose]();
    expect(actor.stats().registrar?.actors).toBe(1);
  });

  test("an uncaught exception or an unhandled rejection of a child is its failure, rebuilt as the cause", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    for (const [verb, type, message] of [
      ["crash", RangeError, "crashed on purpose"],
      ["reject", TypeError, "rejected on purpose"],
    ] as const) {
      const nursery = await openNursery();
      const child = await nursery.startActor<Service>("child", { module: service, output: "ignore" });
      await child.run[verb]();
      const error = (await failure(nursery.join())) as ActorDiedError;
      expect(error).toBeInstanceOf(ActorDiedError);
      expect(error.exitCode).toBe(1);
      expect(error.cause).toBeInstanceOf(type);
      expect((error.cause as Error).message).toBe(message);
      expect(error.stderr).toContain(message);
      await nursery[Symbol.asyncDispose]();
    }
  });

  test("a child killed by a foreign SIGTERM is a failure, even if the nursery stops it right after", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    for (let round = 0; round < 10; round++) {
      const left = (async () => {
        await using nursery = await openNursery();
        const child = await nursery.startActor<Service>("child", { module: service });
        process.kill(child.id.pid, "SIGTERM");
        // leave the block as soon as the connection is gone, usually before the process is reaped
        await child.closed;
      })();
      const error = await left.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "ERR_ACTOR_DIED", exitCode: null, signal: "SIGTERM" });
    }
  });

  test("an exit code other than 0 is a failure, 0 isn't", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    {
      await using nursery = await openNursery();
      const child = await nursery.startActor<Service>("fine", { module: service });
      await child.run.exit(0);
      await nursery.join();
    }
    const nursery = await openNursery();
    const child = await nursery.startActor<Service>("bad", { module: service });
    await child.run.exit(3);
    const error = await failure(nursery[Symbol.asyncDispose]().then(() => nursery.join()));
    expect(error).toMatchObject({ name: "ActorDiedError", exitCode: 3 });
  });

  test("several failures are one AggregateError, a single one is itself", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const children = await Promise.all([1, 2].map((at) => nursery.startActor(`c${at}`, { module: service })));
    for (const { id } of children) process.kill(id.pid, "SIGKILL");
    await until(() => !children.some(({ id }) => isProcessAlive(id.pid)));
    const error = (await failure(nursery[Symbol.asyncDispose]())) as AggregateError;
    expect(error).toBeInstanceOf(AggregateError);
    expect(error.errors.map(({ name }: Error) => name)).toEqual(["ActorDiedError", "ActorDiedError"]);
  });

  test("does not count a failed call that the caller caught as a failed child", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Service>("child", { module: service });
    expect((await failure(child.run.fail("caught"))).message).toContain("caught");
    expect(await child.run.add(1, 1)).toBe(2);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("stops a child that ignores the cancel message with SIGTERM, and one that ignores SIGTERM with SIGKILL", async () => {
    await using world = new World();
    const limits = { stopGraceMs: 100, stopTermMs: 100 };
    await using _actor = await openRootActor({ ...world.options, limits });
    const pids: number[] = [];
    {
      await using nursery = await openNursery();
      const spinning = await nursery.startActor<Service>("spinning", { module: service });
      void spinning.run.spin().catch(() => {});
      const stubborn = await nursery.startActor<{ ignoreTerm(): void; spin(): never }>("stubborn", {
        module: fixture("stubborn.ts"),
      });
      await stubborn.run.ignoreTerm();
      void stubborn.run.spin().catch(() => {});
      const stopped = await nursery.startActor("stopped", { module: service });
      process.kill(stopped.id.pid, "SIGSTOP");
      pids.push(spinning.id.pid, stubborn.id.pid, stopped.id.pid);
    }
    expect(pids.some(isProcessAlive)).toBeFalse();
  });

  test("comes to SIGKILL only after SIGTERM, and to that after the cancel message: each gets its time", async () => {
    await using world = new World();
    const limits = { stopGraceMs: 50, stopTermMs: 10_000 };
    await using _actor = await openRootActor({ ...world.options, limits });
    const file = join(world.dir, "ended-by");
    {
      await using nursery = await openNursery();
      const child = await nursery.startActor<{ endOnTermOnly(file: string): void }>("child", {
        module: fixture("stubborn.ts"),
      });
      await child.run.endOnTermOnly(file);
    }
    expect(readFileSync(file, "utf8")).toBe("SIGTERM");
  });

  test("cancel ends every child and is idempotent", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor("child", { module: service });
    await Promise.all([nursery.cancel(), nursery.cancel()]);
    expect(isProcessAlive(child.id.pid)).toBeFalse();
    expect(nursery.signal.aborted).toBeTrue();
    await nursery.join();
  });

  test("leaves nothing after several rounds of children", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    for (let round = 0; round < 6; round++) {
      await using nursery = await openNursery();
      await Promise.all([1, 2].map((at) => nursery.startActor(`c${at}`, { module: service })));
    }
    expect(actor.stats()).toMatchObject({ peers: 0, callsInFlight: 0, registrar: { actors: 1, names: 1 } });
  }, 30_000);
});

describe("getRoot", () => {
  test("is a local portal in the root itself", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const root = await getRoot();
    expect(root).toBeInstanceOf(LocalPortal);
    expect(root.id).toEqual(actor.id);
  });
});
