/** A cluster: from one host to another, the copy of very many actors, and a lookup in it. */
import { join } from "node:path";

import { type Actor, openRootActor } from "../../src/index.ts";
import { actorOf, OtherHost } from "../fixtures/cluster.ts";
import { clusterParts, hasClusters, RegistryTable, watchActors } from "../harness/internals.ts";
import { farNameOf, manyFarNames } from "../harness/names.ts";
import type { RaceRow, Scene, WeighRow, Weight } from "../harness/row.ts";
import { Turns } from "../harness/turns.ts";
import { etcdServer, startEtcd } from "../stores/etcd.ts";
import { join as joinRegistry, type Parts, stackedContest } from "./contest.ts";
import { freshQuery } from "./lookup.ts";

const mirrored = 100_000;
const hosts = 100;

function skipWithoutEtcd(): string | undefined {
  if (!hasClusters) return "this revision has no clusters";
  return etcdServer === undefined ? "etcd is not installed" : undefined;
}

async function openRegistrar(scene: Scene, url: string): Promise<Actor> {
  const { etcd } = await clusterParts();
  return await openRootActor({
    name: "registrar",
    registryAddrs: [`unix://${join(scene.folder, "registry.sock")}`],
    enableTransports: ["unix"],
    cluster: etcd(url),
    requireCluster: true,
  });
}

const publish: RaceRow = {
  kind: "race",
  id: "cluster.publish",
  transport: "tcp",
  what: "an actor that a host's registrar has registered, or that is gone there, until another host's registrar has it, or not any more; one etcd",
  baseline: "a change in the same etcd, acknowledged to the one who made it",
  skip: skipWithoutEtcd,
  open: (scene) =>
    stackedContest(async (stack): Promise<Parts> => {
      const { url } = stack.use(await startEtcd(etcdServer ?? "", scene.folder));
      stack.use(await openRegistrar(scene, url));
      const far = stack.use(await OtherHost.open(url));
      const events = watchActors!("published");
      stack.defer(async () => void (await events.return?.()));
      await events.next();
      return {
        subject: {
          async run() {
            far.change("published");
            await events.next();
          },
        },
        baseline: { run: () => far.put() },
      };
    }),
};

const find: RaceRow = {
  kind: "race",
  id: "cluster.find",
  transport: "unix",
  what: `lookup.registrar.unix, for names of another host, ${manyFarNames} of which the registrar mirrors`,
  baseline: "lookup.registrar.unix, for names of this host",
  ...(hasClusters ? {} : { skip: skipWithoutEtcd }),
  server: { names: manyFarNames, farNames: manyFarNames },
  open: (scene) =>
    stackedContest(async (stack) => {
      stack.use(await joinRegistry(scene, { maxCachedNames: 2 * manyFarNames }));
      return {
        subject: { run: freshQuery(farNameOf, manyFarNames) },
        baseline: { run: freshQuery(undefined, manyFarNames) },
      };
    }),
};

const mirror: WeighRow = {
  kind: "weigh",
  id: `cluster.mirror.${mirrored}`,
  transport: "none",
  what: `memory of a registrar for each actor of ${mirrored} on ${hosts} other hosts; the time is that of loading one from an etcd, and stderr says how long a turn of its event loop has computed at most`,
  baseline: "the same actors, registered in a table",
  maxRounds: 2,
  skip: skipWithoutEtcd,
  weighSubject: weighMirror,
  weighBaseline: weighTable,
};

async function weighMirror(scene: Scene): Promise<Weight> {
  await using stack = new AsyncDisposableStack();
  const { url } = stack.use(await startEtcd(etcdServer ?? "", scene.folder));
  // all of the code, so that only the actors count
  await (await openRegistrar(scene, url)).cancel();
  const command = [process.execPath, join(import.meta.dir, "../fixtures/publish.ts"), url];
  const publisher = Bun.spawn([...command, String(hosts), String(mirrored)], {
    stdin: "pipe",
    stdout: "pipe",
  });
  stack.defer(async () => {
    await publisher.stdin.end();
    await publisher.exited;
  });
  const { done } = await publisher.stdout.getReader().read();
  if (done) throw new Error(`the process that publishes ended early, with ${await publisher.exited}`);
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const turns = new Turns();
  const start = Bun.nanoseconds();
  const registrar = stack.use(await openRegistrar(scene, url));
  const ns = Bun.nanoseconds() - start;
  const longest = turns.end();
  const { mirrored: loaded } = registrar.stats().registrar ?? {};
  if (loaded !== mirrored) throw new Error(`loaded ${loaded} of ${mirrored} actors`);
  console.error(
    `cluster.mirror: loaded in ${Math.round(ns / 1e6)} ms, the longest turn took ${longest.toFixed(1)} ms`,
  );
  Bun.gc(true);
  return { bytes: (process.memoryUsage.rss() - before) / mirrored, ns: ns / mirrored };
}

async function weighTable(): Promise<Weight> {
  const { encodeEntry, RemoteEntry } = await clusterParts();
  const values = Array.from({ length: mirrored }, (_, n) => {
    const stored = actorOf("0123456789abcdef", `actor-${n}`, n);
    return [stored.uuid, encodeEntry(stored, n)] as const;
  });
  const table = new RegistryTable();
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const start = Bun.nanoseconds();
  for (const [uuid, value] of values) {
    const { id, addrs, details } = new RemoteEntry("0123456789abcdef", uuid, value, 1, 1);
    table.register(id, addrs, undefined, details);
  }
  const ns = Bun.nanoseconds() - start;
  Bun.gc(true);
  return { bytes: (process.memoryUsage.rss() - before) / mirrored, ns: ns / mirrored };
}

export const clusterRows: readonly (RaceRow | WeighRow)[] = [publish, find, mirror];
