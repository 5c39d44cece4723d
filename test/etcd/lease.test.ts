/** What becomes of requests that the network delivers late: `src/etcd/lease.ts` against a real etcd. */
import { describe, expect, test } from "bun:test";

import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import { encodeValue } from "../../src/discovery/remote-entry.ts";
import type { DirectoryStore, HostLease } from "../../src/discovery/store.ts";
import { etcd } from "../../src/etcd.ts";
import { HostClaims } from "../../src/etcd/claims.ts";
import { EtcdClient } from "../../src/etcd/client.ts";
import { Keys } from "../../src/etcd/keys.ts";
import {
  decodeNothing,
  encodeTransaction,
  methods,
  type TransactionAnswer,
} from "../../src/etcd/messages.ts";
import { put, recordOf } from "../support/directories.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { failure } from "../support/outcome.ts";
import { until } from "../support/world.ts";
import { TcpRelay } from "../support/tcp-relay.ts";

const host = "a".padStart(16, "0");

/** Puts something into the directory that no registrar would. */
async function write(url: string, key: (keys: Keys) => Uint8Array, value: Uint8Array): Promise<void> {
  const client = new EtcdClient({ description: "etcd", endpoints: [url], readTls: () => undefined });
  const put = { put: key(new Keys("default")), value, lease: 0 };
  await client.call(methods.transaction, encodeTransaction([], [put], []), decodeNothing);
  client.close();
}

describe.skipIf(lacksEtcd !== undefined)("a host whose record is garbage", () => {
  test.each([
    ["no record at all", new TextEncoder().encode("garbage")],
    [
      "a record with leases that no etcd has",
      encodeValue([1, 2_000, "unix:///r", "r", "u", 1, null, [Infinity, Number.NaN, -5, 1e300, 0.5]]),
    ],
  ])("opens its lease all the same, and settles it: %s", async (_, value) => {
    await using servers = await EtcdServers.start(1);
    const [url = ""] = servers.urls;
    await write(url, (keys) => keys.host(host), value);
    await using store = await ClusterStore.open(etcd(url));
    const lease = await store.open(recordOf(host, "unix:///r"), { ttlMs: 2_000 });
    await lease.apply([put(host, "u1")]);
    await lease.settle();
    await lease.release();
  });
});

describe.skipIf(lacksEtcd !== undefined)("a lease of a host whose keys somebody has removed", () => {
  test.each([
    ["one actor", `/furrow/1/default/a/${host}/u1`, ""],
    [
      "the record of the host, and one actor",
      `/furrow/1/default/a/${host}/u2`,
      `/furrow/1/default/h/${host}0`,
    ],
    ["everything", "/furrow/1/default/", "/furrow/1/default0"],
  ])("is lost, so that they are published again: %s", async (_, key, end) => {
    await using servers = await EtcdServers.start(1);
    await using store = await ClusterStore.open(etcd(servers.urls));
    const lease = await store.open(recordOf(host), { ttlMs: 2_000 });
    await lease.apply([put(host, "u1"), put(host, "u2")]);
    await lease.settle();
    let isLost = false;
    void lease.lost.then(() => (isLost = true));
    // it isn't, as long as nothing is wrong
    await Bun.sleep(1_500);
    expect(isLost).toBeFalse();
    await servers.post(0, "/v3/kv/deleterange", {
      key: btoa(key),
      ...(end !== "" && { range_end: btoa(end) }),
    });
    await lease.lost;
  });
});

describe.skipIf(lacksEtcd !== undefined)(
  "a lease of a host among whose keys somebody has put another",
  () => {
    test("stays, and the key goes", async () => {
      await using servers = await EtcdServers.start(1);
      const [url = ""] = servers.urls;
      await using store = await ClusterStore.open(etcd(url));
      const lease = await store.open(recordOf(host), { ttlMs: 2_000 });
      await lease.apply([put(host, "u1")]);
      await lease.settle();
      let isLost = false;
      void lease.lost.then(() => (isLost = true));
      await write(url, (keys) => keys.entry(host, "stray"), new Uint8Array([1]));
      await write(url, (keys) => keys.entry(host, "\u00e9"), new Uint8Array([1]));
      const range = {
        key: btoa(`/furrow/1/default/a/${host}/`),
        range_end: btoa(`/furrow/1/default/a/${host}0`),
      };
      await until(
        async () => ((await servers.post(0, "/v3/kv/range", range)) as { count: string }).count === "1",
      );
      await lease.apply([put(host, "u2")]);
      expect(isLost).toBeFalse();
    });
  },
);

describe.skipIf(lacksEtcd !== undefined)("a host whose record somebody has removed", () => {
  test("writes it again", async () => {
    await using servers = await EtcdServers.start(1);
    await using store = await ClusterStore.open(etcd(servers.urls));
    const lease = await store.open(recordOf(host), { ttlMs: 2_000 });
    await lease.settle();
    const key = btoa(`/furrow/1/default/h/${host}`);
    const { deleted } = (await servers.post(0, "/v3/kv/deleterange", { key })) as { deleted: string };
    expect(deleted).toBe("1");
    await until(
      async () => ((await servers.post(0, "/v3/kv/range", { key })) as { count?: string }).count === "1",
    );
  });
});

describe("a host's claims, when the answers come in another order", () => {
  test("go on in the round that is just beginning", async () => {
    const header = { cluster: 1, revision: 7 };
    const pairOf = (value: string, lease = 1) => ({
      key: new Uint8Array(),
      value: new TextEncoder().encode(value),
      created: 3,
      changed: 3,
      lease,
    });
    const begun = Promise.withResolvers<TransactionAnswer>();
    let asked = 0;
    const lost: Error[] = [];
    // a lease at whose store the next round has begun, before anyone here knows
    const claims = new HostClaims(
      {
        id: 1,
        host,
        isOurs: { key: new Uint8Array(), is: "lease", value: 1 },
        transact: async (conditions, _then, _otherwise, _options, onRepeat) => {
          if (conditions.length === 2) return begun.promise;
          const round = conditions.at(-1) as { value: Uint8Array };
          const granted = { header, succeeded: true, found: [pairOf("x")], counts: [] };
          if (Buffer.from(round.value).toString() !== "0") return granted;
          if (++asked === 1) {
            // the store refuses it, after the round has begun there
            await Bun.sleep(1);
            const found = [undefined, pairOf("5"), pairOf("1")];
            return { header, succeeded: false, found, counts: [] };
          }
          onRepeat?.();
          return granted;
        },
        checkOurs: () => {},
        gone: () => {
          const error = new Error("gone");
          lost.push(error);
          return error;
        },
      },
      new Keys("default"),
    );
    const first = claims.claim("first", "id-1", {});
    const repeated = claims.claim("repeated", "id-2", {});
    const third = repeated.then(() => claims.claim("third", "id-3", {}));
    await Bun.sleep(10);
    begun.resolve({ header, succeeded: true, found: [], counts: [] });
    expect((await Promise.all([first, repeated, third])).map(({ type }) => type)).toEqual([
      "granted",
      "granted",
      "granted",
    ]);
    expect(lost).toEqual([]);
  });
});

describe.skipIf(lacksEtcd !== undefined)("a host's round of claims that somebody has changed", () => {
  test("costs it its lease with the next claim, so that the round is known again", async () => {
    await using servers = await EtcdServers.start(1);
    const [url = ""] = servers.urls;
    await using store = await ClusterStore.open(etcd(url));
    const lease = await store.open(recordOf(host), { ttlMs: 60_000 });
    await write(url, (keys) => keys.claimRound(host), new TextEncoder().encode("9"));
    expect((await failure(lease.claim("x", "id-1"))).name).toBe("StoreUnavailableError");
    await lease.lost;
  });
});

/** A host's lease whose claims go one of two ways to one server, until the way in use swallows what it is given. */
class TwoWays extends AsyncDisposableStack {
  store!: DirectoryStore;
  lease!: HostLease;
  #relays: TcpRelay[] = [];

  static async open(): Promise<TwoWays> {
    const scene = new TwoWays();
    const servers = scene.use(await EtcdServers.start(1));
    scene.#relays = [1, 2].map(() => scene.use(new TcpRelay(servers.ports[0]!)));
    const urls = scene.#relays.map(({ port }) => `http://127.0.0.1:${port}`);
    scene.store = scene.use(await ClusterStore.open(etcd(urls)));
    scene.lease = await scene.store.open(recordOf(host), { ttlMs: 60_000 });
    return scene;
  }

  /** What is sent the way in use stays on it from now on, until the function that this returns is called. */
  swallow(): () => void {
    const used = this.#relays.find(({ connections }) => connections > 0)!;
    used.swallow("there");
    return () => used.mend();
  }
}

describe.skipIf(lacksEtcd !== undefined)("a claim whose request arrives late", () => {
  test("isn't made when it was given back meanwhile", async () => {
    await using scene = await TwoWays.open();
    const { store, lease } = scene;
    const deliver = scene.swallow();
    expect(await lease.claim("x", "id-1")).toMatchObject({ type: "granted" });
    await lease.unclaim("x", "id-1");
    deliver();
    await Bun.sleep(300);
    expect(await store.holder("x")).toBeNull();
    expect(await lease.claim("x", "id-2")).toMatchObject({ type: "granted" });
  });

  test("isn't given back by what was asked before it was claimed again", async () => {
    await using scene = await TwoWays.open();
    const { store, lease } = scene;
    await lease.claim("x", "id-1");
    const deliver = scene.swallow();
    await lease.unclaim("x", "id-1");
    await lease.claim("x", "id-1");
    deliver();
    await Bun.sleep(300);
    expect(await store.holder("x")).toMatchObject({ uuid: "id-1" });
  });
});
