/** Names that only one actor of all hosts may have. */
import { describe, expect, test } from "bun:test";

import type { Nursery } from "../../src/index.ts";
import { ClusterHost, lacksHosts } from "../support/cluster-host.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { type Program, until } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;
const isSkipped = lacksHosts !== undefined || lacksEtcd !== undefined;

/** An etcd, and two hosts that share it, with a root on each. */
class Scene extends AsyncDisposableStack {
  etcd!: EtcdServers;
  a!: Program;
  b!: Program;

  static async open(): Promise<Scene> {
    const scene = new Scene();
    scene.etcd = scene.use(await EtcdServers.start(1));
    const { urls } = scene.etcd;
    [scene.a, scene.b] = (await Promise.all(
      ["root-a", "root-b"].map(async (name) => await scene.use(new ClusterHost(urls)).actor(name)),
    )) as [Program, Program];
    for (const program of [scene.a, scene.b]) {
      await until(
        async () => (await program.run(({ furrow }) => furrow.currentActor().stats().registrar))?.hosts === 1,
      );
      await program.run(async ({ furrow, keep }) => void (keep["nursery"] = await furrow.openNursery()));
    }
    return scene;
  }
}

/** Starts "x" in the program's nursery, or finds it; the uuid, or the error. */
async function begin(
  program: Program,
  verb: "findOrStart" | "startActor",
  options: object = {},
): Promise<{ uuid?: string; error?: string; cause?: string; holder?: { host: string } }> {
  return await program.run(
    async ({ keep, args: [module, verb, options] }) => {
      try {
        const nursery = keep["nursery"] as Nursery;
        const how = { module: module as string, ...(options as object) };
        const portal = await (verb === "findOrStart"
          ? nursery.findOrStart("x", how)
          : nursery.startActor("x", how));
        ((keep["portals"] ??= []) as unknown[]).push(portal);
        return { uuid: portal.id.uuid };
      } catch (thrown) {
        const { name, cause, holder } = thrown as Error & { holder?: { host: string } };
        return {
          error: name,
          ...(cause instanceof Error && { cause: cause.name }),
          ...(holder && { holder: { host: holder.host } }),
        };
      }
    },
    service,
    verb,
    options,
  );
}

/** How many actors of that name the program's registrar knows. */
async function count(program: Program): Promise<number> {
  return await program.run(async ({ furrow }) => {
    await using registry = await furrow.getRegistry();
    return (await registry.run.listActors()).filter(({ id }) => id.name === "x").length;
  });
}

describe.skipIf(isSkipped)("hosts of a cluster", () => {
  test("start an actor once, however many ask for it on both at once", async () => {
    await using scene = await Scene.open();
    const asked = [scene.a, scene.b, scene.a, scene.b].map((program) => begin(program, "findOrStart"));
    const uuids = (await Promise.all(asked)).map(({ uuid }) => uuid);
    expect(uuids[0]).toBeString();
    expect(new Set(uuids).size).toBe(1);
    await until(async () => (await count(scene.a)) === 1 && (await count(scene.b)) === 1);
  });

  test("start an actor of a unique name right after a boot, before their lease is open", async () => {
    await using etcd = await EtcdServers.start(1);
    for (let round = 0; round < 3; round++) {
      // each is a host that the others don't know
      await using host = new ClusterHost(etcd.urls, { ttlMs: 2_000, space: `round-${round}` });
      const program = await host.actor("root");
      const uuid = await program.run(async ({ furrow, args: [module] }) => {
        await using nursery = await furrow.openNursery();
        const { id } = await nursery.startActor("x", { module: module as string, unique: true });
        await nursery.cancel();
        return id.uuid;
      }, service);
      expect(uuid).toBeString();
    }
  }, 20_000);

  test("refuse a unique name that an actor of the other has, and let it go when that ends", async () => {
    await using scene = await Scene.open();
    const { uuid } = await begin(scene.a, "startActor", { unique: true });
    expect(uuid).toBeString();
    const host = await scene.a.run(({ furrow }) => furrow.currentActor().id.host);
    const taken = { error: "NameTakenError", holder: { host } };
    await until(async () => (await count(scene.b)) === 1);
    expect(await begin(scene.b, "startActor", { unique: true })).toEqual(taken);
    // any other start of that name, too
    expect(await begin(scene.b, "startActor")).toEqual(taken);
    expect(await begin(scene.b, "findOrStart")).toEqual({ uuid: uuid! });
    await scene.a.run(async ({ keep }) => await (keep["nursery"] as Nursery).cancel());
    await until(async () => (await begin(scene.b, "startActor", { unique: true })).uuid !== undefined);
  }, 20_000);

  test("refuse a unique name that the store has given to the other, before the actor is registered", async () => {
    await using scene = await Scene.open();
    const slow = new URL("../fixtures/slow-module.ts", import.meta.url).href;
    const options = { unique: true, env: { FURROW_TEST_SLOW_MS: "1500" }, modules: [slow] };
    const first = begin(scene.a, "startActor", options);
    const host = await scene.a.run(({ furrow }) => furrow.currentActor().id.host);
    await Bun.sleep(300);
    expect(await begin(scene.b, "startActor", { unique: true })).toEqual({
      error: "NameTakenError",
      holder: { host },
    });
    // waits for the one that is being started there
    const found = await begin(scene.b, "findOrStart");
    expect(found).toEqual(await first);
    expect(found.uuid).toBeString();
  }, 20_000);

  test("give each holder of a name a higher number than the one before", async () => {
    await using scene = await Scene.open();
    const fenceOf = async (program: Program): Promise<number> =>
      await program.run(async ({ keep }) => {
        const portal = (keep["portals"] as { run: { fence: () => Promise<number> } }[]).at(-1)!;
        return await portal.run.fence();
      });
    await begin(scene.a, "startActor", { unique: true });
    const first = await fenceOf(scene.a);
    expect(first).toBeGreaterThan(0);
    await scene.a.run(async ({ keep }) => await (keep["nursery"] as Nursery).cancel());
    await until(async () => (await begin(scene.b, "findOrStart", { unique: true })).uuid !== undefined);
    expect(await fenceOf(scene.b)).toBeGreaterThan(first);
  }, 20_000);

  test("agree again on actors and names when the store is restored from a copy that knows neither", async () => {
    await using scene = await Scene.open();
    // so that the copy has the leases, as they are
    await scene.etcd.kill(0);
    scene.etcd.copy(0);
    await scene.etcd.up(0);
    await until(
      async () => (await begin(scene.a, "startActor", { unique: true })).uuid !== undefined,
      10_000,
    );
    await until(async () => (await count(scene.b)) === 1, 10_000);
    // until the host's record is written: from then on it has nothing to write
    await Bun.sleep(1_500);
    await scene.etcd.kill(0);
    scene.etcd.restore(0);
    await scene.etcd.up(0);
    await until(async () => (await count(scene.b)) === 1, 10_000);
    const host = await scene.a.run(({ furrow }) => furrow.currentActor().id.host);
    // until the store has the name again, the other may get it: never both in the end
    await Bun.sleep(1_000);
    expect(await begin(scene.b, "startActor", { unique: true })).toEqual({
      error: "NameTakenError",
      holder: { host },
    });
    expect([await count(scene.a), await count(scene.b)]).toEqual([1, 1]);
  }, 40_000);

  test("promise nothing new while the store is gone, and keep what they have", async () => {
    await using scene = await Scene.open();
    const { uuid } = await begin(scene.a, "findOrStart");
    await until(async () => (await count(scene.b)) === 1);
    await scene.etcd.kill(0);
    await until(
      async () =>
        (await scene.a.run(({ furrow }) => furrow.currentActor().stats().registrar))?.stale === true,
    );
    for (const program of [scene.a, scene.b])
      expect(await begin(program, "findOrStart")).toEqual({ uuid: uuid! });
    const refused = await scene.a.run(async ({ keep, args: [module] }) => {
      const options = { module: module as string, unique: true, timeout: 8_000 };
      const error = await (keep["nursery"] as Nursery)
        .startActor("y", options)
        .catch((thrown: unknown) => thrown);
      const { name, cause, message } = error as Error;
      return { name, cause: (cause as Error).name, message };
    }, service);
    expect(refused).toMatchObject({ name: "RegistryUnavailableError", cause: "StoreUnavailableError" });
    expect(refused.message).toStartWith(`cannot promise that "y" runs only once among all hosts: `);
    // a start that nobody else minds
    expect((await begin(scene.a, "startActor")).uuid).toBeString();
    await scene.etcd.up(0);
    await until(async () => (await begin(scene.b, "findOrStart")).uuid !== undefined);
  }, 30_000);

  test("end an actor whose name another host got while this one was cut off for longer than its lease", async () => {
    await using scene = await Scene.open();
    await begin(scene.a, "startActor", { unique: true });
    await until(async () => (await count(scene.b)) === 1);
    // the registrar and the parent of "x"; that itself runs on, and nobody else knows
    await scene.a.freeze();
    await until(async () => (await count(scene.b)) === 0, 10_000);
    expect((await begin(scene.b, "findOrStart", { unique: true })).uuid).toBeString();
    scene.a.signal("SIGCONT");
    const host = await scene.b.run(({ furrow }) => furrow.currentActor().id.host);
    // until it has learnt of the other, its own is the only one that it knows
    await until(
      async () => (await scene.a.run(async ({ furrow }) => (await furrow.queryActor("x")).id?.host)) === host,
      10_000,
    );
    await until(async () => (await count(scene.a)) === 1 && (await count(scene.b)) === 1, 10_000);
  }, 30_000);
});
