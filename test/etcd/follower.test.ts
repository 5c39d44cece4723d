/** What a load of a directory costs the server: `src/etcd/follower.ts` against a real etcd. */
import { describe, expect, test } from "bun:test";

import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import type { Sink } from "../../src/discovery/store.ts";
import { etcd } from "../../src/etcd.ts";
import { type CallOptions, EtcdClient } from "../../src/etcd/client.ts";
import { Follower } from "../../src/etcd/follower.ts";
import { Keys } from "../../src/etcd/keys.ts";
import { decodeNothing, encodeTransaction, methods } from "../../src/etcd/messages.ts";
import { ProtoReader } from "../../src/etcd/protobuf.ts";
import { encodeHost } from "../../src/etcd/records.ts";
import { put, range, recordOf } from "../support/directories.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { until } from "../support/world.ts";

const space = "pages";

/** A client that notes which ranges it asks for. */
class NotingClient extends EtcdClient {
  readonly ranges: { readonly from: string; readonly end: string }[] = [];

  override async call<T>(
    path: string,
    message: Uint8Array,
    decode: (answer: Uint8Array) => T,
    options?: CallOptions,
  ): Promise<T> {
    if (path === methods.range) {
      const texts = new Map<number, string>();
      const reader = new ProtoReader(message);
      for (let field = reader.field(); field !== 0; field = reader.field())
        if (field > 2) reader.skip();
        else texts.set(field, Buffer.from(reader.bytes()).toString("latin1"));
      this.ranges.push({ from: texts.get(1) ?? "", end: texts.get(2) ?? "" });
    }
    return await super.call(path, message, decode, options);
  }
}

describe.skipIf(lacksEtcd !== undefined)("a host whose record is never true", () => {
  test("is followed all the same, and doesn't make the others load everything over and over", async () => {
    await using servers = await EtcdServers.start(1);
    await using store = await ClusterStore.open(etcd(servers.urls, { space }));
    const host = "a".padStart(16, "0");
    const lease = await store.open(recordOf(host), { ttlMs: 60_000 });
    await lease.settle();
    const [endpoint = ""] = servers.urls;
    const client = new NotingClient({ description: "etcd", endpoints: [endpoint], readTls: () => undefined });
    const keys = new Keys(space);
    const stop = new AbortController();
    let loads = 0;
    let records = 0;
    const seen: string[] = [];
    const sink: Sink = {
      async load(pages) {
        loads++;
        for await (const page of pages)
          for (const one of page) if (one.type === "put") seen.push(one.entry.uuid);
      },
      change(batch) {
        for (const one of batch) if (one.type === "put") seen.push(one.entry.uuid);
        const isRecord = batch.some(({ type }) => type === "host");
        if (isRecord) records++;
        return !isRecord;
      },
      stale() {},
      fresh() {},
    };
    const following = new Follower(client, keys, sink, stop.signal).run();
    await until(() => loads === 1);
    const writes = 12;
    const value = encodeHost({
      ...recordOf(host),
      epoch: 1,
      ttlMs: 60_000,
      content: { count: 9, digest: 9 },
      formerLeases: [],
    });
    for (let write = 0; write < writes; write++) {
      const record = { put: keys.host(host), value, lease: 0 };
      await client.call(methods.transaction, encodeTransaction([], [record], []), decodeNothing);
      await lease.apply([put(host, `u${write}`)]);
      await Bun.sleep(100);
    }
    await until(() => new Set(seen).size === writes);
    // at once, and after 500 and 1,000 ms more
    expect(loads).toBeLessThanOrEqual(4);
    expect(loads).toBeGreaterThanOrEqual(2);
    expect(records).toBeGreaterThanOrEqual(writes - loads);
    stop.abort();
    await following;
    client.close();
  }, 15_000);
});

describe.skipIf(lacksEtcd !== undefined)("a load of a large directory", () => {
  test("asks for ranges of about a page: a server looks at all keys of a range", async () => {
    await using servers = await EtcdServers.start(1);
    const hosts = range(10).map((index) => `${index}`.padStart(16, "0"));
    const keys = new Keys(space);
    const present: string[] = [];
    await using store = await ClusterStore.open(etcd(servers.urls, { space }));
    for (const host of hosts) {
      const lease = await store.open(recordOf(host), { ttlMs: 60_000 });
      // of the last, more than a page
      const changes = range(host === hosts.at(-1) ? 1_200 : 600).map((index) => put(host, `u${index}`));
      await lease.apply(changes);
      await lease.settle();
      for (const { uuid } of changes) present.push(Buffer.from(keys.entry(host, uuid)).toString("latin1"));
    }
    const [endpoint = ""] = servers.urls;
    const client = new NotingClient({ description: "etcd", endpoints: [endpoint], readTls: () => undefined });
    const stop = new AbortController();
    let loaded = 0;
    const sink = {
      async load(pages: AsyncIterable<readonly { readonly type: string }[]>): Promise<void> {
        for await (const page of pages) loaded += page.filter(({ type }) => type === "put").length;
        stop.abort();
      },
      change: () => true,
      stale() {},
      fresh() {},
    };
    await new Follower(client, keys, sink, stop.signal).run();
    client.close();
    expect(loaded).toBe(present.length);
    const looked = client.ranges
      .map(({ from, end }) => present.filter((key) => key >= from && key < end).length)
      .reduce((sum, count) => sum + count, 0);
    // all of them once; those of the last host, which has two pages, also for the second
    expect(looked).toBeLessThanOrEqual(present.length + 200);
  });
});
