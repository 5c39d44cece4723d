/** Several actors of one module, with work distributed among them. */
import { describe, expect, test } from "bun:test";

import {
  type ActorCluster,
  ActorDiedError,
  currentActor,
  findActor,
  NoRuntimeError,
  openActorCluster,
  openRootActor,
  RemoteActorError,
  SpawnError,
  TransportClosedError,
} from "../../src/index.ts";
import { isProcessAlive } from "../../src/transport/runtime-dir.ts";
import { until, World } from "../support/world.ts";
import { failure } from "../support/outcome.ts";

const module = new URL("../fixtures/workers.ts", import.meta.url);
type Workers = typeof import("../fixtures/workers.ts");

/** Every event of every worker since the last call. */
async function events(cluster: ActorCluster<Workers>): Promise<string[]> {
  const all = await Promise.all(Array.from(cluster.portals.values(), (portal) => portal.run.events()));
  return all.flat();
}

describe("openActorCluster", () => {
  test("starts count actors, named and found by number, and ends all of them with its block", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const pids: number[] = [];
    {
      await using cluster = await openActorCluster<Workers>({ module, count: 3, name: "prime" });
      expect(Array.from(cluster.portals.keys())).toEqual(["prime-1", "prime-2", "prime-3"]);
      for (const [name, portal] of cluster.portals) {
        expect(portal.id.name).toBe(name);
        expect(await portal.run.square(3)).toBe(9);
        pids.push(portal.id.pid);
      }
      expect(new Set(pids).size).toBe(3);
      await using found = await findActor<Workers>("prime-2", { raiseOnNone: true });
      expect(found.id).toEqual(cluster.portals.get("prime-2")!.id);
    }
    expect(pids.some(isProcessAlive)).toBeFalse();
    expect(actor.stats().registrar).toMatchObject({ actors: 1 });
  });

  test("is named worker by default, with an actor per processor", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using cluster = await openActorCluster<Workers>({ module });
    const names = Array.from({ length: navigator.hardwareConcurrency }, (_, at) => `worker-${at + 1}`);
    expect(Array.from(cluster.portals.keys())).toEqual(names);
  });

  test("boots a root actor if there is none, and ends it when the cluster ends", async () => {
    await using world = new World();
    process.env["FURROW_REGISTRY_ADDRS"] = world.registryAddrs.join(",");
    try {
      await using cluster = await openActorCluster<Workers>({ module, count: 1 });
      expect(currentActor().isRoot).toBeTrue();
      expect(await cluster.map("square", [2])).toEqual([4]);
    } finally {
      delete process.env["FURROW_REGISTRY_ADDRS"];
    }
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });

  test("refuses a count that is not a positive integer, before anything is started", async () => {
    for (const count of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await failure(openActorCluster({ module, count }))).toBeInstanceOf(RangeError);
    }
    expect(() => currentActor()).toThrow(NoRuntimeError);
  });

  test("leaves nothing when an actor can't be started", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const error = await failure(
      openActorCluster({ module: new URL("../fixtures/broken.ts", import.meta.url), count: 3 }),
    );
    expect(error).toBeInstanceOf(SpawnError);
    expect(actor.stats()).toMatchObject({ peers: 0, registrar: { actors: 1 } });
  });
});

describe("ActorCluster.map", () => {
  test("gives the results in the order of the items, and takes any iterable", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using cluster = await openActorCluster<Workers>({ module, count: 3 });
    const items = Array.from({ length: 100 }, (_, n) => n);
    expect(await cluster.map("square", items)).toEqual(items.map((n) => n * n));
    expect(await cluster.map("square", new Set([5, 3, 1]))).toEqual([25, 9, 1]);
    expect(await cluster.map("square", [])).toEqual([]);
    // an item is the only argument: the function's other parameters keep their defaults
    expect(await cluster.map("add", [1, 2])).toEqual([2, 3]);
  });

  test("gives work to the next free worker: one that is held up takes one item, the others all the rest", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using cluster = await openActorCluster<Workers>({ module, count: 3 });
    const abort = new AbortController();
    function* items(): Generator<{ n: number; slow: string }> {
      for (let n = 0; n < 30; n++) yield { n, slow: "worker-2" };
    }
    const mapping = cluster.map("signed", items(), { signal: abort.signal });
    const rejected = failure(mapping);
    // all but the held item are answered: only that one is in flight
    await until(() => currentActor().stats().callsInFlight === 1);
    abort.abort(new Error("enough"));
    expect((await rejected).message).toBe("enough");
    const answered = await cluster.map("signed", [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
    expect(answered.map(([, n]) => n)).toEqual([1, 4, 9, 16]);
    expect(new Set(answered.map(([name]) => name))).toEqual(new Set(["worker-1", "worker-2", "worker-3"]));
  });

  test("throws the first error, cancels items in flight and starts no more; the cluster lives on", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using cluster = await openActorCluster<Workers>({ module, count: 3 });
    const items = Array.from({ length: 10 }, (_, n) => ({ n, failing: 1 }));
    const error = (await failure(cluster.map("failsFor", items))) as RemoteActorError;
    expect(error).toBeInstanceOf(RemoteActorError);
    expect(error.cause).toBeInstanceOf(RangeError);
    expect((error.cause as Error).message).toBe("failed for 1");
    expect(error.actor.name).toBe("worker-2");
    const seen = await events(cluster);
    await until(async () => {
      seen.push(...(await events(cluster)));
      return seen.filter((event) => event.startsWith("aborted")).length === 2;
    });
    expect(seen.filter((event) => event.startsWith("began")).toSorted()).toEqual([
      "began 0",
      "began 1",
      "began 2",
    ]);
    expect(await cluster.map("square", [1, 2, 3, 4])).toEqual([1, 4, 9, 16]);
    expect(currentActor().stats().callsInFlight).toBe(0);
  });

  test("rejects with its signal's reason, at once if it is already aborted", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using cluster = await openActorCluster<Workers>({ module, count: 2 });
    const abort = new AbortController();
    const reason = new Error("enough");
    const mapping = failure(cluster.map("hang", ["a", "b", "c"], { signal: abort.signal }));
    const seen: string[] = [];
    await until(async () => seen.push(...(await events(cluster))) === 2);
    abort.abort(reason);
    expect(await mapping).toBe(reason);
    await until(async () => seen.push(...(await events(cluster))) === 4);
    expect(seen.toSorted()).toEqual(["aborted a", "aborted b", "hang a", "hang b"]);
    expect(await failure(cluster.map("square", [1], { signal: abort.signal }))).toBe(reason);
    expect(await events(cluster)).toEqual([]);
  });

  test("a worker that dies fails the map with the cut call, and the cluster's block with its death", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    const cluster = await openActorCluster<Workers>({ module, count: 2 });
    const pids = Array.from(cluster.portals.values(), ({ id }) => id.pid);
    expect(await failure(cluster.map("dies", [1, 2, 0, 3, 4]))).toBeInstanceOf(TransportClosedError);
    const error = await failure(cluster[Symbol.asyncDispose]());
    expect(error).toBeInstanceOf(ActorDiedError);
    expect(error).toMatchObject({ signal: "SIGKILL" });
    expect(pids.some(isProcessAlive)).toBeFalse();
    expect(actor.stats().registrar).toMatchObject({ actors: 1 });
  });
});
