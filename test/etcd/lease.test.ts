/** What becomes of requests that the network delivers late: `src/etcd/lease.ts` against a real etcd. */
import { describe, expect, test } from "bun:test";

import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import { etcd } from "../../src/etcd.ts";
import { recordOf } from "../support/directories.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { TcpRelay } from "../support/tcp-relay.ts";

const host = "a".padStart(16, "0");

describe.skipIf(lacksEtcd !== undefined)("a claim whose request arrives late", () => {
  test.each([
    ["was given back meanwhile", "id-1"],
    ["was given back meanwhile, and claimed by another", "id-2"],
  ])("isn't made when it %s", async (_, next) => {
    await using servers = await EtcdServers.start(1);
    // two ways to one server
    await using one = new TcpRelay(servers.ports[0]!);
    await using other = new TcpRelay(servers.ports[0]!);
    const urls = [one, other].map(({ port }) => `http://127.0.0.1:${port}`);
    await using store = await ClusterStore.open(etcd(urls));
    const lease = await store.open(recordOf(host), { ttlMs: 60_000 });
    const slow = one.connections > 0 ? one : other;
    slow.swallow("there");
    expect(await lease.claim("x", "id-1")).toMatchObject({ type: "granted" });
    await lease.unclaim("x", "id-1");
    if (next !== "id-1") await lease.claim("x", next);
    slow.mend();
    await Bun.sleep(300);
    if (next === "id-1") expect(await store.holder("x")).toBeNull();
    else expect(await store.holder("x")).toMatchObject({ uuid: next });
    // and the name is free for the next
    await lease.unclaim("x", next);
    expect(await lease.claim("x", "id-3")).toMatchObject({ type: "granted" });
  });

  test("isn't given back by what was asked before it was claimed again", async () => {
    await using servers = await EtcdServers.start(1);
    await using one = new TcpRelay(servers.ports[0]!);
    await using other = new TcpRelay(servers.ports[0]!);
    const urls = [one, other].map(({ port }) => `http://127.0.0.1:${port}`);
    await using store = await ClusterStore.open(etcd(urls));
    const lease = await store.open(recordOf(host), { ttlMs: 60_000 });
    await lease.claim("x", "id-1");
    const slow = one.connections > 0 ? one : other;
    slow.swallow("there");
    await lease.unclaim("x", "id-1");
    await lease.claim("x", "id-1");
    slow.mend();
    await Bun.sleep(300);
    expect(await store.holder("x")).toMatchObject({ uuid: "id-1" });
  });
});
