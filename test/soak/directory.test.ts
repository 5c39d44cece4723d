/** A directory of 100,000 actors: how long it takes to load, and whether that holds anything else up. */
import { expect, test } from "bun:test";

import type { RemoteEntry } from "../../src/discovery/remote-entry.ts";
import type { DirectoryStore, RemoteAddition, Sink } from "../../src/discovery/store.ts";
import { EtcdDirectory, put, range, recordOf } from "../support/directories.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { Turns } from "../../bench/harness/turns.ts";
import { announce, inFull, scaled } from "../support/soak.ts";

const entries = 100_000;
const hosts = 20;
/** The longest time that a load may keep the event loop busy. */
const stallMs = 50;

/** Keeps what it gets, and nothing more. */
class Keeper implements Sink {
  readonly entries = new Map<string, RemoteEntry>();
  readonly loaded: Promise<void>;
  readonly fresh: () => void;

  constructor() {
    ({ promise: this.loaded, resolve: this.fresh } = Promise.withResolvers<void>());
  }

  async load(pages: AsyncIterable<readonly RemoteAddition[]>): Promise<void> {
    for await (const page of pages)
      for (const addition of page)
        if (addition.type === "put") this.entries.set(addition.entry.uuid, addition.entry);
  }

  change(): boolean {
    return true;
  }

  stale(): void {}
}

async function publish(store: DirectoryStore, host: string, count: number): Promise<void> {
  const lease = await store.open(recordOf(host), { ttlMs: 60_000 });
  await lease.apply(
    range(count).map((index) => put(host, uuidOf(host, index), `worker-${index % 100}`, index)),
  );
  await lease.settle();
}

function uuidOf(host: string, index: number): string {
  return `${host.slice(8)}-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
}

test.skipIf(lacksEtcd !== undefined)(
  "a directory is loaded without a stall of the event loop",
  async () => {
    announce("a large directory");
    const count = scaled(entries);
    await using servers = await EtcdServers.start(1);
    await using directory = new EtcdDirectory(servers);
    const writer = await directory.store("writer");
    const began = performance.now();
    const names = range(hosts).map((index) => index.toString(16).padStart(16, "0"));
    await Promise.all(names.map((host) => publish(writer, host, count / hosts)));
    const publishedMs = performance.now() - began;
    const reader = await directory.store("reader");
    Bun.gc(true);
    const turns = new Turns();
    const loading = performance.now();
    const keeper = new Keeper();
    const ended = new AbortController();
    const following = reader.follow(keeper, ended.signal);
    await keeper.loaded;
    const loadedMs = performance.now() - loading;
    const stalledMs = turns.end();
    ended.abort();
    await following;
    console.log(
      `${count} entries of ${hosts} hosts: published in ${Math.round(publishedMs)} ms, loaded in ${Math.round(loadedMs)} ms, ` +
        `longest stall ${stalledMs.toFixed(1)} ms`,
    );
    expect(keeper.entries.size).toBe(count);
    if (inFull) expect(stalledMs).toBeLessThan(stallMs);
  },
  300_000,
);
