/** What a program registers with `onEnd` runs at the end of its actor, whatever ends it. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { currentRuntime } from "../../src/actor/current.ts";
import {
  currentActor,
  findActor,
  NoRuntimeError,
  openNursery,
  openRootActor,
  type Portal,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { Kind } from "../../src/wire/messages.ts";
import { arrivals, openGate } from "../fixtures/gates.ts";
import { failure } from "../support/outcome.ts";
import { until, World } from "../support/world.ts";

const gates = new URL("../fixtures/gates.ts", import.meta.url);
const module = new URL("../fixtures/drains.ts", import.meta.url);
type Drains = typeof import("../fixtures/drains.ts");
const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

/** The lines that clean-ups have written. */
function written(file: string): string[] {
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
}

describe("onEnd", () => {
  test("runs clean-ups one after the other, the last one first, and cancel waits for them", async () => {
    await using world = new World();
    const actor = await openRootActor(world.options);
    const events: string[] = [];
    const add = (name: string): (() => void) =>
      actor.onEnd(async () => {
        events.push(`${name} begins`);
        await Bun.sleep(1);
        events.push(`${name} ends`);
      });
    add("first");
    const takeBack = add("second");
    add("third");
    takeBack();
    takeBack();
    await actor.cancel();
    expect(events).toEqual(["third begins", "third ends", "first begins", "first ends"]);
  });

  test("runs them when tasks and children have ended and no lookup finds the actor; it may still call others", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const program = await world.actor("program", { enableModules: [module.href] });
    const child = await program.run(async ({ furrow, keep, args }) => {
      keep["nursery"] = await furrow.openNursery();
      const portal = await (keep["nursery"] as Awaited<ReturnType<typeof openNursery>>).startActor("child", {
        module: args[0] as string,
      });
      return portal.id.pid;
    }, module.href);
    await using portal = await findActor<Drains>("program", { raiseOnNone: true });
    await portal.run.cleanUpInto("/dev/null", ["last"], "still connected");
    const running = failure(portal.run.work("aborted at the end"));
    await arrivals("aborted at the end");
    const cancelled = portal.cancelActor();
    await arrivals("still connected last");
    expect((await running).name).toBe("ContextCancelledError");
    expect(isProcessAlive(child)).toBeFalse();
    expect(await findActor("program")).toBeNull();
    openGate("still connected last");
    expect(await cancelled).toBeTrue();
  });

  test("goes on after a clean-up that fails or takes too long, and logs both", async () => {
    await using world = new World();
    const program = await world.actor("program", {}, { FURROW_LOG: "actor=info" });
    const events = await program.run(async ({ furrow, keep, setTiming }) => {
      setTiming({ noticeableMs: 0 });
      const actor = keep["actor"] as ReturnType<typeof furrow.currentActor>;
      const done: string[] = [];
      actor.onEnd(() => void done.push("last"));
      actor.onEnd(function throws() {
        throw new Error("cannot close");
      });
      actor.onEnd(
        function hangs(signal) {
          signal.addEventListener("abort", () => done.push(String(signal.reason)));
          return new Promise(() => {});
        },
        { timeout: 20 },
      );
      await actor.cancel();
      return done;
    });
    expect(events).toEqual(["TimeoutError: clean-up hangs took longer than 20 ms", "last"]);
    await program.run(() => void setTimeout(() => process.exit(0), 0));
    const log = await program.stderr;
    expect(log).toContain("warn program");
    expect(log).toContain("actor: clean-up hangs took longer than 20 ms: ending without it");
    expect(log).toContain("actor: clean-up throws failed: cannot close");
    expect(log).toMatch(
      /actor: program#\w+ ended after \d+ ms; waited for .*clean-up hangs \(\d+ ms\), clean-up throws \(\d+ ms\), a clean-up \(\d+ ms\)/,
    );
  });

  test("says in the log which calls and children the end has waited for", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const env = { FURROW_LOG: "actor=info" };
    const program = await world.actor("program", { enableModules: [module.href] }, env);
    await program.run(async ({ furrow, keep, setTiming, args }) => {
      setTiming({ noticeableMs: 0 });
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      await nursery.startActor("child", { module: args[0] as string });
    }, module.href);
    await using portal = await findActor<Drains>("program", { raiseOnNone: true });
    void portal.run.work("for the log").catch(() => {});
    await arrivals("for the log");
    expect(await portal.cancelActor()).toBeTrue();
    await program.run(() => void setTimeout(() => process.exit(0), 0));
    expect(await program.stderr).toMatch(
      /program#\w+ ended after \d+ ms; waited for calls: work \(\d+ ms\), child child#\w+ \(\d+ ms\)/,
    );
  });

  test("refuses a timeout that doesn't bound, and what would come too late", async () => {
    await using world = new World();
    const actor = await openRootActor(world.options);
    for (const timeout of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => actor.onEnd(() => {}, { timeout })).toThrow(RangeError);
    const events: string[] = [];
    actor.onEnd(() => {
      events.push("one");
      actor.onEnd(() => void events.push("registered meanwhile"));
    });
    await actor.cancel();
    expect(events).toEqual(["one", "registered meanwhile"]);
    expect(() => actor.onEnd(() => {})).toThrow(NoRuntimeError);
    const without = await openRootActor(world.options);
    await without.cancel();
    expect(() => without.onEnd(() => {})).toThrow(NoRuntimeError);
  });
});

describe("clean-up runs to its end", () => {
  /** A child whose clean-up writes to a file after its gate has opened. */
  async function childWith(world: World, nursery: Awaited<ReturnType<typeof openNursery>>, gate?: string) {
    const child = await nursery.startActor<Drains>("child", { module });
    const file = join(world.dir, "cleaned");
    await child.run.cleanUpInto(file, ["a", "b"], gate);
    return { child, file };
  }

  test("when the parent cancels the actor, though that takes longer than all steps of the ladder", async () => {
    await using world = new World();
    // by itself the ladder is over after 8 times this
    const limits = { stopGraceMs: 150, stopTermMs: 1 };
    await using nursery = await openNursery({ ...world.options, limits });
    const child = await nursery.startActor<Drains>("child", { module });
    const below = await child.run.startBelow("below");
    await using grandchild = await findActor<Drains>("below", { raiseOnNone: true });
    const file = join(world.dir, "cleaned");
    await grandchild.run.cleanUpSlowlyInto(file, ["a", "b"], 800);
    await nursery.cancel();
    expect(written(file)).toEqual(["b", "a"]);
    expect([child.id.pid, below].some(isProcessAlive)).toBeFalse();
  });

  test("when it is shielded, just as well", async () => {
    await using world = new World();
    const limits = { stopGraceMs: 150, stopTermMs: 1 };
    await using nursery = await openNursery({ ...world.options, limits });
    const child = await nursery.startActor<Service>("child", { module: service });
    const file = join(world.dir, "cleaned");
    const hanging = failure(child.run.hangAndCleanUp(file, 1_600));
    await child.run.add(1, 2);
    await nursery.cancel();
    await hanging;
    expect(written(file)).toEqual(["cleaned"]);
  });

  test("when it is drained, or cancelled by a peer", async () => {
    for (const end of [(portal: Portal) => portal.drainActor(), (portal: Portal) => portal.cancelActor()]) {
      await using world = new World();
      await using nursery = await openNursery(world.options);
      const { child, file } = await childWith(world, nursery);
      expect(await end(child)).toBeTrue();
      expect(written(file)).toEqual(["b", "a"]);
    }
  });

  test("when a program without a nursery cancels it, which hears now and then that it's still ending", async () => {
    await using world = new World();
    await using actor = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
    const limits = { stopGraceMs: 30 };
    await world.actor("program", { enableModules: [module.href], limits });
    await using portal = await findActor<Drains>("program", { raiseOnNone: true });
    await portal.run.cleanUpInto("/dev/null", ["slowly"], "heartbeats");
    const { channel } = currentRuntime().peers.get(portal.id.uuid)!;
    const heard = Promise.withResolvers<void>();
    const { handler } = channel;
    channel.handler = {
      ...handler,
      onMessage(message, bytes) {
        if (message[0] === Kind.stopping) heard.resolve();
        handler.onMessage(message, bytes);
      },
    };
    const cancelled = portal.cancelActor();
    await heard.promise;
    openGate("heartbeats slowly");
    expect(await cancelled).toBeTrue();
    expect(actor.signal.aborted).toBeFalse();
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    test(`when the root handles ${signal}, in the root and in its children`, async () => {
      await using world = new World();
      const file = join(world.dir, "cleaned");
      const program = await world.actor("program", { enableModules: [module.href] });
      await program.run(
        async ({ furrow, keep, args: [href, name] }) => {
          const nursery = await furrow.openNursery();
          keep["nursery"] = nursery;
          const child = await nursery.startActor<Drains>("child", { module: href as string });
          await child.run.cleanUpInto(name as string, ["child"]);
          const root = await furrow.getRoot<Drains>();
          await root.run.cleanUpInto(name as string, ["root"]);
        },
        module.href,
        file,
      );
      const lines = until(() => written(file).length === 2).then(() => written(file));
      program.signal(signal);
      expect(await program.process.exited).toBe(code);
      expect(await lines).toEqual(["child", "root"]);
    });
  }

  test("when its program leaves the block of its nursery", async () => {
    await using world = new World();
    const file = join(world.dir, "cleaned");
    {
      await using nursery = await openNursery(world.options);
      await childWith(world, nursery);
      currentActor().onEnd(() => Bun.write(file, `${readFileSync(file, "utf8")}root\n`));
    }
    expect(written(file)).toEqual(["b", "a", "root"]);
  });

  test("when its process gets SIGTERM, which still counts as a death by that signal", async () => {
    await using world = new World();
    const nursery = await openNursery(world.options);
    const { child, file } = await childWith(world, nursery);
    process.kill(child.id.pid, "SIGTERM");
    expect(await failure(nursery.join())).toMatchObject({ name: "ActorDiedError", signal: "SIGTERM" });
    expect(written(file)).toEqual(["b", "a"]);
    await nursery[Symbol.asyncDispose]();
  });

  test("when its parent is killed, or loses the connection to it", async () => {
    for (const end of ["SIGKILL", "cut"] as const) {
      await using world = new World();
      await using _ = await openRootActor({ ...world.options, name: "gates", enableModules: [gates] });
      const file = join(world.dir, "cleaned");
      const program = await world.actor("program");
      const pid = await program.run(
        async ({ furrow, keep, args: [href, name, gate] }) => {
          const nursery = await furrow.openNursery();
          keep["nursery"] = nursery;
          void nursery.join().catch(() => {});
          const child = await nursery.startActor<Drains>("child", { module: href as string });
          await child.run.cleanUpInto(name as string, ["a", "b"], gate as string);
          return child.id.pid;
        },
        module.href,
        file,
        end,
      );
      if (end === "SIGKILL") program.signal("SIGKILL");
      else
        await program.run(({ furrow }) => {
          const { peers } = furrow.currentActor() as unknown as {
            peers: Iterable<{ id: { name: string }; channel: { link: { abort(): void } } }>;
          };
          for (const peer of peers) if (peer.id.name === "child") peer.channel.link.abort();
        });
      await arrivals(`${end} b`);
      openGate(`${end} b`);
      openGate(`${end} a`);
      await until(() => !isProcessAlive(pid));
      expect(written(file)).toEqual(["b", "a"]);
      expect(readdirSync(world.dir).filter((name) => name.endsWith(".c"))).toEqual([]);
    }
  });
});

describe("an actor with clean-ups", () => {
  test("doesn't outlive its parent for longer than the stop bounds, whether it hangs or computes", async () => {
    await using world = new World();
    for (const [name, blocks] of [
      ["hangs", false],
      ["computes", true],
    ] as const) {
      const limits = { stopGraceMs: 100, stopTermMs: 100 };
      const program = await world.actor(name, { limits });
      const pid = await program.run(
        async ({ furrow, keep, args: [href, isBlocked] }) => {
          const nursery = await furrow.openNursery();
          keep["nursery"] = nursery;
          const child = await nursery.startActor<Drains>("child", { module: href as string });
          await child.run.cleanUpSlowlyInto("/dev/null", ["never"], 9_000);
          if (isBlocked === true) child.run.spin().catch(() => {});
          return child.id.pid;
        },
        module.href,
        blocks,
      );
      await program.kill();
      await until(() => !isProcessAlive(pid));
    }
  });
});
