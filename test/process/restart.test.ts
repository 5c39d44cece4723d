/** Children that are restarted: a new process takes over the name. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import {
  ActorDiedError,
  currentActor,
  findActor,
  openNursery,
  openRootActor,
  type Portal,
  SpawnError,
  TransportClosedError,
  waitForActor,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const module = new URL("../fixtures/restarting.ts", import.meta.url);
type Restarting = typeof import("../fixtures/restarting.ts");
/** Long enough that a test waiting for it would exceed its time limit. */
const longMs = 600_000;

/** Waits for a process of this name other than the given one. */
async function next(name: string, before: string): Promise<Portal<Restarting>> {
  for (;;) {
    const portal = await waitForActor<Restarting>(name);
    if (portal.id.uuid !== before) return portal;
    await portal[Symbol.asyncDispose]();
    await until(async () => {
      await using found = await findActor(name);
      return found?.id.uuid !== before;
    });
  }
}

/** A file to which each start of a child adds its pid. */
function counter(world: World): { env: Record<string, string>; pids: () => number[] } {
  const file = join(world.dir, "starts");
  const pids = (): number[] =>
    existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").map(Number) : [];
  return { env: { STARTS_FILE: file }, pids };
}

describe("restart: on-failure", () => {
  test("the name continues in a new process with a new uuid, and the nursery doesn't fail", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Restarting>("phoenix", { module, restart: "on-failure" });
    process.kill(child.id.pid, "SIGKILL");
    await using again = await next("phoenix", child.id.uuid);
    expect(again.id.name).toBe("phoenix");
    expect(again.id.pid).not.toBe(child.id.pid);
    expect(await again.run.pid()).toBe(again.id.pid);
    expect(nursery.signal.aborted).toBeFalse();
    // the portal to the first process stays closed
    expect((await child.closed).reason).toBe("peer-died");
    expect(await failure(child.run.pid())).toBeInstanceOf(TransportClosedError);
    expect(currentActor().stats().registrar).toMatchObject({ actors: 2, names: 2 });
  });

  test("a waiting lookup gets the new process; the old uuid is never found again, by any actor", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using nursery = await openNursery();
    const gate = join(world.dir, "gate");
    writeFileSync(gate, "");
    const { env, pids } = counter(world);
    const child = await nursery.startActor<Restarting>("phoenix", {
      module,
      restart: "on-failure",
      env: { ...env, GATE_FILE: gate },
    });
    const other = await world.actor("other");
    const find = async (): Promise<string[]> =>
      await other.run(async ({ furrow }) => {
        await using all = await furrow.findActor("phoenix", { onlyFirst: false });
        return all.map(({ id: { uuid } }) => uuid);
      });
    expect(await find()).toEqual([child.id.uuid]);
    await child.run.exit(1);
    // the second process has started, but is held up before it registers
    await until(() => pids().length === 2);
    await until(() => actor.stats().registrar?.actors === 2);
    expect(await find()).toEqual([]);
    const waiting = other.run(async ({ furrow }) => {
      const portals = await Promise.all([
        furrow.waitForActor<Restarting>("phoenix"),
        furrow.waitForActor<Restarting>("phoenix"),
      ]);
      return await Promise.all(portals.map(async ({ id, run }) => [id.uuid, await run.pid()] as const));
    });
    rmSync(gate);
    const [one, two] = await waiting;
    expect(one![1]).toBe(pids()[1]!);
    expect(two).toEqual(one);
    expect(one![0]).not.toBe(child.id.uuid);
    expect(await find()).toEqual([one![0]]);
    expect(actor.stats().registrar).toMatchObject({ actors: 3 });
  });

  test("an end with code 0 is not a failure: the child is not started again, and join resolves", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const child = await nursery.startActor<Restarting>("done", { module, env, restart: "on-failure" });
    await child.run.exit(0);
    await nursery.join();
    expect(pids()).toEqual([child.id.pid]);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("cancelActor is not a failure either", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const child = await nursery.startActor<Restarting>("done", { module, env, restart: "on-failure" });
    expect(await child.cancelActor()).toBeTrue();
    await nursery.join();
    expect(pids()).toHaveLength(1);
  });

  test("join waits through restarts until the last process ends", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    let child: Portal<Restarting> = await nursery.startActor("lives", { module, env, restart: "on-failure" });
    const order: string[] = [];
    const joined = nursery.join().then(() => order.push("joined"));
    for (const code of [3, 4]) {
      await child.run.exit(code);
      child = await next("lives", child.id.uuid);
      order.push(`restarted after ${code}`);
    }
    await child.run.exit(0);
    await joined;
    expect(order).toEqual(["restarted after 3", "restarted after 4", "joined"]);
    expect(pids()).toHaveLength(3);
    expect(pids().some(isProcessAlive)).toBeFalse();
  });

  test("the failure that exhausts the window fails the nursery, and cancels the siblings", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const { env, pids } = counter(world);
    const sibling = await nursery.startActor("sibling", { module });
    let child: Portal<Restarting> = await nursery.startActor("fails", {
      module,
      env,
      output: "ignore",
      restart: { when: "on-failure", maxRestarts: 2, backoffMs: [1, 1] },
    });
    for (const round of [1, 2]) {
      await child.run.crash(`crash ${round}`);
      child = await next("fails", child.id.uuid);
    }
    await child.run.crash("crash 3");
    const error = (await failure(nursery.join())) as ActorDiedError;
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error.actor).toEqual(child.id);
    expect((error.cause as Error).message).toBe("crash 3");
    expect(nursery.signal.reason).toBe(error);
    expect(pids()).toHaveLength(3);
    expect(isProcessAlive(sibling.id.pid)).toBeFalse();
    await nursery[Symbol.asyncDispose]();
    expect(actor.stats().registrar).toMatchObject({ actors: 1 });
  });

  test("a new process that can't start counts as another failure", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const { env, pids } = counter(world);
    const child = await nursery.startActor<Restarting>("broken", {
      module,
      env: { ...env, FAIL_STARTS_AFTER: "1" },
      output: "ignore",
      restart: { when: "on-failure", maxRestarts: 3, backoffMs: [1, 1] },
    });
    await child.run.crash("first");
    const error = await failure(nursery.join());
    expect(error).toBeInstanceOf(SpawnError);
    expect(error.message).toContain("start 4 failed on purpose");
    expect(pids()).toHaveLength(4);
    expect(pids().some(isProcessAlive)).toBeFalse();
    await nursery[Symbol.asyncDispose]();
  });
});

describe("restart: always", () => {
  test("a process that ends with code 0, or is cancelled, is replaced", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const child = await nursery.startActor<Restarting>("always", { module, env, restart: "always" });
    await child.run.exit(0);
    await using second = await next("always", child.id.uuid);
    expect(await second.cancelActor()).toBeTrue();
    await using third = await next("always", second.id.uuid);
    expect(pids()).toEqual([child.id.pid, second.id.pid, third.id.pid]);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("exhausting the window with exits of code 0 ends the child without a failure", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const restart = { when: "always", maxRestarts: 1, backoffMs: [1, 1] } as const;
    const child = await nursery.startActor<Restarting>("always", { module, env, restart });
    await child.run.exit(0);
    const second = await next("always", child.id.uuid);
    await second.run.exit(0);
    await nursery.join();
    expect(pids()).toHaveLength(2);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("leaving the nursery's block is final", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const { env, pids } = counter(world);
    {
      await using nursery = await openNursery();
      await nursery.startActor<Restarting>("always", { module, env, restart: "always" });
    }
    expect(pids()).toHaveLength(1);
    expect(pids().some(isProcessAlive)).toBeFalse();
    expect(actor.stats().registrar).toMatchObject({ actors: 1 });
  });

  test("a first start that fails or is aborted rejects startActor, and is not repeated", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const options = { module, restart: "always", output: "ignore" } as const;
    const failed = await failure(
      nursery.startActor("broken", { ...options, env: { ...env, FAIL_STARTS_AFTER: "0" } }),
    );
    expect(failed).toBeInstanceOf(SpawnError);
    await nursery.join();
    expect(pids()).toHaveLength(1);
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("a first start that is aborted does not come back, even if the process gets ready at that moment", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const gate = join(world.dir, "gate");
    writeFileSync(gate, "");
    writeFileSync(env["STARTS_FILE"]!, "0\n");
    const abort = new AbortController();
    const starting = nursery.startActor("late", {
      module,
      restart: "always",
      env: { ...env, GATE_FILE: gate },
      signal: abort.signal,
    });
    await until(() => pids().length === 2);
    rmSync(gate);
    abort.abort(new Error("changed my mind"));
    expect((await failure(starting)).message).toBe("changed my mind");
    await nursery.join();
    expect(pids()).toHaveLength(2);
  });
});

describe("cancelling the nursery", () => {
  test("during the back-off ends it at once: nothing more is started", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using nursery = await openNursery();
    const { env, pids } = counter(world);
    const restart = { when: "always", backoffMs: [longMs, longMs] } as const;
    const child = await nursery.startActor<Restarting>("waits", { module, env, restart });
    process.kill(child.id.pid, "SIGKILL");
    await child.closed;
    await until(() => !isProcessAlive(child.id.pid));
    const joined = nursery.join();
    await nursery.cancel();
    // a child that was being restarted hasn't failed
    await joined;
    expect(pids()).toHaveLength(1);
    expect(await findActor("waits")).toBeNull();
  });

  test("while a new process starts ends that process, and is not a failure", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const gate = join(world.dir, "gate");
    writeFileSync(gate, "");
    const { env, pids } = counter(world);
    await using nursery = await openNursery();
    const child = await nursery.startActor<Restarting>("starts", {
      module,
      env: { ...env, GATE_FILE: gate },
      restart: { when: "always", backoffMs: [0, 0] },
    });
    process.kill(child.id.pid, "SIGKILL");
    await until(() => pids().length === 2);
    await nursery.cancel();
    await nursery.join();
    expect(pids()).toHaveLength(2);
    expect(pids().some(isProcessAlive)).toBeFalse();
  });

  test("by a sibling's failure ends a restart too, and only the sibling's failure is reported", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const nursery = await openNursery();
    const restart = { when: "always", backoffMs: [longMs, longMs] } as const;
    const waits = await nursery.startActor<Restarting>("waits", { module, restart });
    const sibling = await nursery.startActor<Restarting>("sibling", { module });
    process.kill(waits.id.pid, "SIGKILL");
    await waits.closed;
    await until(() => !isProcessAlive(waits.id.pid));
    process.kill(sibling.id.pid, "SIGKILL");
    const error = await failure(nursery[Symbol.asyncDispose]().then(() => nursery.join()));
    expect(error).toMatchObject({ name: "ActorDiedError", actor: { name: "sibling" } });
  });
});

describe("restart: never", () => {
  test("is the default: the first failure fails the nursery", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    for (const options of [{}, { restart: "never" }] as const) {
      const nursery = await openNursery();
      const child = await nursery.startActor<Restarting>("once", { module, ...options });
      await child.run.exit(9);
      expect(await failure(nursery.join())).toMatchObject({ name: "ActorDiedError", exitCode: 9 });
      await nursery[Symbol.asyncDispose]();
    }
  });

  test("an invalid policy is refused before anything is started", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const { env, pids } = counter(world);
    const bad = { when: "always", maxRestarts: -1 } as const;
    expect(await failure(nursery.startActor("bad", { module, env, restart: bad }))).toBeInstanceOf(
      RangeError,
    );
    expect(pids()).toEqual([]);
    await nursery.join();
  });
});
