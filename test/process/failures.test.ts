/** An error anywhere in a tree surfaces at the scope that owns it, with the path it took, and takes the tree down. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";

import {
  ActorDiedError,
  findActor,
  getRegistry,
  openNursery,
  openRootActor,
  RemoteActorError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const module = new URL("../fixtures/branches.ts", import.meta.url);
type Branches = typeof import("../fixtures/branches.ts");

describe("a failure in one leaf of a tree of depth 3", () => {
  test("reaches the root with the leaf's error and its path, and ends all 14 processes", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const pids: number[] = [];
    const thrown = failure(
      (async () => {
        await using nursery = await openNursery();
        const branches = await Promise.all(
          ["l", "r"].map((name) => nursery.startActor<Branches>(name, { module })),
        );
        await Promise.all(branches.map((branch) => branch.run.work(2)));
      })(),
    );
    await until(() => actor.stats().registrar?.actors === 15, 10_000);
    const registry = await getRegistry();
    const entries = await registry.run.listActors();
    pids.push(...entries.map(({ id }) => id.pid).filter((pid) => pid !== process.pid));
    const leaves = entries.map(({ id }) => id.name).filter((name) => name.length === 3);
    expect(leaves.toSorted()).toEqual(["lll", "llr", "lrl", "lrr", "rll", "rlr", "rrl", "rrr"]);
    // all of them are working when one fails
    for (const name of leaves) {
      await using leaf = await findActor<Branches>(name, { raiseOnNone: true });
      await until(async () => await leaf.run.isWorking());
    }
    {
      await using leaf = await findActor<Branches>("lrl", { raiseOnNone: true });
      await leaf.run.failWork("the leaf's own");
    }
    const error = (await thrown) as RemoteActorError;
    // the root leaves its block only when everything is reaped, so there is nothing to wait for here
    expect(pids.filter(isProcessAlive)).toEqual([]);
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error.relayPath.map(({ name }) => name)).toEqual(["lrl", "lr", "l"]);
    expect(error.actor).toMatchObject({ name: "lrl" });
    expect(error.remoteName).toBe("TypeError");
    expect(error.remoteStack).toContain("branches.ts");
    expect(error.cause).toBeInstanceOf(TypeError);
    expect((error.cause as Error).message).toBe("the leaf's own");
    expect((error.cause as Error).cause).toBeInstanceOf(RangeError);
    await until(() => actor.stats().registrar?.actors === 1);
    expect(actor.stats()).toMatchObject({ peers: 0, callsInFlight: 0, registrar: { names: 1 } });
    expect(readdirSync(world.dir).filter((name) => name.endsWith(".sock"))).toEqual(["registry@1.sock"]);
  }, 30_000);

  test("by its death reaches the root as the cut call and the ActorDiedError, and ends all processes", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const thrown = failure(
      (async () => {
        await using nursery = await openNursery();
        const top = await nursery.startActor<Branches>("t", { module });
        await top.run.work(2);
      })(),
    );
    await until(() => actor.stats().registrar?.actors === 8, 10_000);
    const registry = await getRegistry();
    const entries = await registry.run.listActors();
    const pids = entries.map(({ id }) => id.pid).filter((pid) => pid !== process.pid);
    const leaf = entries.find(({ id }) => id.name === "trl")!;
    for (const { id } of entries.filter(({ id: { name } }) => name.length === 3)) {
      await using portal = await findActor<Branches>(id.name, { raiseOnNone: true });
      await until(async () => await portal.run.isWorking());
    }
    process.kill(leaf.id.pid, "SIGKILL");
    const error = (await thrown) as RemoteActorError;
    expect(pids.filter(isProcessAlive)).toEqual([]);
    expect(error).toBeInstanceOf(RemoteActorError);
    const suppressed = error.cause as SuppressedError;
    expect(suppressed).toBeInstanceOf(SuppressedError);
    expect(suppressed.error).toBeInstanceOf(ActorDiedError);
    expect(suppressed.error).toMatchObject({ signal: "SIGKILL", actor: { name: "trl" } });
    expect(suppressed.suppressed).toMatchObject({ name: "TransportClosedError" });
    expect(error.relayPath.map(({ name }) => name)).toEqual(["tr", "t"]);
    await until(() => actor.stats().registrar?.actors === 1);
    expect(readdirSync(world.dir).filter((name) => name.endsWith(".sock"))).toEqual(["registry@1.sock"]);
  }, 30_000);
});

describe("a failure reported by an actor in between", () => {
  test("is an ActorDiedError with its actor, code, stderr and cause, the dead actor first in the path", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    await nursery.startActor("middle", { module });
    const outer = await nursery.startActor<Branches>("outer", { module });
    const error = (await failure(outer.run.relays("middle", ["victim"]))) as RemoteActorError;
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error.relayPath.map(({ name }) => name)).toEqual(["victim", "middle", "outer"]);
    expect(error.actor.name).toBe("victim");
    const died = error.cause as ActorDiedError;
    expect(died).toBeInstanceOf(ActorDiedError);
    expect(died).toMatchObject({
      code: "ERR_ACTOR_DIED",
      exitCode: 1,
      signal: null,
      actor: { name: "victim" },
    });
    expect(died.stderr).toContain("crash of victim");
    expect(died.cause).toBeInstanceOf(RangeError);
    expect((died.cause as Error).message).toBe("crash of victim");
    // the other nurseries haven't failed: their calls were caught
    expect(nursery.signal.aborted).toBeFalse();
  });

  test("is an AggregateError of all failures, in the order of failing, when there are several", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const middle = await nursery.startActor<Branches>("middle", { module });
    const error = (await failure(middle.run.loses(["one", "two", "three"]))) as RemoteActorError;
    expect(error).toBeInstanceOf(RemoteActorError);
    const all = error.cause as AggregateError & { errors: ActorDiedError[] };
    expect(all).toBeInstanceOf(AggregateError);
    expect(all.errors.every((one) => one instanceof ActorDiedError)).toBeTrue();
    const told = all.errors.map(({ actor, cause }) => `${actor.name}: ${(cause as Error).message}`);
    expect(new Set(told)).toEqual(
      new Set(["one: crash of one", "two: crash of two", "three: crash of three"]),
    );
  });

  test("is a SuppressedError with both errors when a block fails and its end fails too", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const middle = await nursery.startActor<Branches>("middle", { module });
    const error = (await failure(middle.run.failsTwice("victim"))) as RemoteActorError;
    const both = error.cause as SuppressedError;
    expect(both).toBeInstanceOf(SuppressedError);
    expect(both.error).toBeInstanceOf(ActorDiedError);
    expect(both.error).toMatchObject({ signal: "SIGKILL", actor: { name: "victim" } });
    expect(both.suppressed).toBeInstanceOf(TypeError);
    expect(both.suppressed).toMatchObject({ message: "the block's own" });
  });
});
