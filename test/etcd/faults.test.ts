/** What happens to a directory when servers of etcd fail, one of three or the only one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import type { HostLease } from "../../src/discovery/store.ts";
import { StoreUnavailableError } from "../../src/errors.ts";
import { etcd } from "../../src/etcd.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { EtcdDirectory, put, range, recordOf } from "../support/directories.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { Mirror } from "../support/mirror.ts";
import { failure } from "../support/outcome.ts";
import { scaled } from "../support/soak.ts";
import { until } from "../support/world.ts";

const a = "aaaaaaaaaaaaaaaa";
const b = "bbbbbbbbbbbbbbbb";
const ttlMs = 6_000;
const faultTimeoutMs = 60_000;
const dir = mkdtempSync(join(process.env["FURROW_RUNTIME_DIR"]!, "tls-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const describeEtcd = lacksEtcd === undefined ? describe : describe.skip;

/** A host that publishes without a pause, and one that follows. */
class Traffic implements AsyncDisposable {
  readonly lease: HostLease;
  readonly mirror: Mirror;
  readonly acknowledged: string[] = [];
  /** The longest time between two acknowledged writes. */
  longestMs = 0;
  #isOver = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(lease: HostLease, mirror: Mirror) {
    this.lease = lease;
    this.mirror = mirror;
  }

  static async start(directory: EtcdDirectory, ttlMs = 6_000): Promise<Traffic> {
    const store = await directory.store(a);
    const lease = await store.open(recordOf(a), { ttlMs });
    const mirror = new Mirror(await directory.store(b));
    await mirror.until(() => mirror.isFresh);
    const traffic = new Traffic(lease, mirror);
    traffic.#writing = traffic.#write();
    await traffic.progress();
    return traffic;
  }

  /** Resolves when what is written from now on has arrived. */
  async progress(): Promise<void> {
    const already = this.acknowledged.length;
    const { mirror } = this;
    await mirror.until(
      () => this.acknowledged.length > already && mirror.entries.has(`${a}/${this.acknowledged[already]}`),
      "what is written arrives",
      30_000,
    );
  }

  /** Ends the writes, and checks that nothing is missing or comes twice. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#writing;
    const { mirror } = this;
    await mirror.until(() => mirror.entries.size === this.acknowledged.length, "all has arrived", 30_000);
    expect(mirror.history(a)).toEqual(this.acknowledged.map((uuid) => `+${uuid}`));
    expect(mirror.loads).toBe(1);
    // it was kept, and is renewed again
    await until(() => this.lease.validUntil > performance.now(), 10_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#writing;
    await this.mirror[Symbol.asyncDispose]();
  }

  async #write(): Promise<void> {
    for (let index = 0; !this.#isOver; index++) {
      const began = performance.now();
      const changes = [put(a, `u${index}`)];
      while (!this.#isOver) {
        try {
          await this.lease.apply(changes);
          this.acknowledged.push(`u${index}`);
          break;
        } catch (error) {
          if (!(error instanceof StoreUnavailableError)) throw error;
        }
      }
      this.longestMs = Math.max(this.longestMs, performance.now() - began);
      await Bun.sleep(5);
    }
  }
}

function report(what: string, traffic: Traffic): void {
  const stale = traffic.mirror.told.filter((word) => word === "stale").length - 1;
  console.log(`${what}: writes stood still for ${Math.round(traffic.longestMs)} ms, stale ${stale} times`);
}

describeEtcd("three etcds", () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start(3);
  }, 60_000);
  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
  });

  test(
    "go on when the leader is killed",
    async () => {
      await using directory = new EtcdDirectory(servers);
      await using traffic = await Traffic.start(directory);
      const leader = await servers.leader();
      await servers.kill(leader);
      await traffic.progress();
      await traffic.end();
      report("leader killed", traffic);
      await servers.up(leader);
    },
    faultTimeoutMs,
  );

  test(
    "go on when the leader is frozen, with the lease kept",
    async () => {
      await using directory = new EtcdDirectory(servers);
      await using traffic = await Traffic.start(directory);
      const leader = await servers.leader();
      servers.freeze(leader);
      try {
        await traffic.progress();
        await traffic.end();
        report("leader frozen", traffic);
      } finally {
        servers.thaw(leader);
      }
      await servers.healthy(leader);
    },
    faultTimeoutMs,
  );

  test(
    "go on when each server in turn is behind a blackhole",
    async () => {
      await using directory = new EtcdDirectory(servers);
      await using traffic = await Traffic.start(directory);
      for (const index of servers.all) {
        for (const host of [a, b]) directory.relays(host)[index]!.swallow();
        await traffic.progress();
        for (const host of [a, b]) directory.relays(host)[index]!.mend();
      }
      await traffic.end();
      report("each server in turn behind a blackhole", traffic);
    },
    faultTimeoutMs,
  );

  test(
    "refuse writes without a majority, and keep the lease until they have one again",
    async () => {
      await using directory = new EtcdDirectory(servers);
      await using traffic = await Traffic.start(directory, 3_000);
      const leader = await servers.leader();
      const other = servers.all.find((index) => index !== leader)!;
      // one that has nothing but the server that is left, which answers as if nothing had happened
      const left = servers.all.find((index) => index !== leader && index !== other)!;
      await using store = await ClusterStore.open(etcd(servers.urls[left]!, { space: directory.space }));
      await using blind = new Mirror(store);
      await blind.until(() => blind.isFresh);
      const began = performance.now();
      await servers.kill(leader, other);
      await blind.until(() => !blind.isFresh);
      console.log(
        `majority lost: noticed at the server that is left after ${Math.round(performance.now() - began)} ms`,
      );
      await traffic.mirror.until(() => !traffic.mirror.isFresh);
      console.log(`majority lost: noticed after ${Math.round(performance.now() - began)} ms`);
      const late = await failure(traffic.lease.claim("leader", "u1", { timeoutMs: 1_000 }));
      expect(late).toBeInstanceOf(StoreUnavailableError);
      // longer than the ttl: leases don't lapse without a leader
      while (performance.now() < traffic.lease.validUntil + 500) await Bun.sleep(50);
      await servers.up(leader, other);
      const back = performance.now();
      await traffic.progress();
      console.log(
        `majority lost: all is well ${Math.round(performance.now() - back)} ms after there is one again`,
      );
      await traffic.mirror.until(() => traffic.mirror.isFresh);
      await blind.until(() => blind.isFresh);
      await traffic.end();
    },
    faultTimeoutMs,
  );

  test(
    "grant each claim to one of two hosts while leaders are killed",
    async () => {
      await using directory = new EtcdDirectory(servers);
      const hosts = [a, b];
      const leases = await Promise.all(
        hosts.map(async (host) => (await directory.store(host)).open(recordOf(host), { ttlMs })),
      );
      const winners = new Map<string, Set<string>>();
      let isOver = false;
      const race = async (lease: HostLease, uuid: string): Promise<void> => {
        for (let index = 0; !isOver; index++) {
          const name = `claim ${index}`;
          try {
            const answer = await lease.claim(name, uuid);
            const winner = answer.type === "granted" ? uuid : answer.uuid;
            winners.set(name, (winners.get(name) ?? new Set()).add(winner));
          } catch (error) {
            if (!(error instanceof StoreUnavailableError)) throw error;
            index--;
          }
        }
      };
      const races = leases.map((lease, index) => race(lease, `u${index}`));
      for (const _ of range(scaled(20))) {
        const leader = await servers.leader();
        await servers.kill(leader);
        const already = winners.size;
        while (winners.size < already + 50) await Bun.sleep(20);
        await servers.up(leader);
      }
      isOver = true;
      await Promise.all(races);
      const several = Array.from(winners).filter(([, all]) => all.size > 1);
      expect(several).toEqual([]);
      const both = new Set(Array.from(winners.values()).flatMap((all) => Array.from(all)));
      console.log(`claims under leader kill: ${winners.size}, winners ${Array.from(both).join()}`);
    },
    faultTimeoutMs,
  );
});

describeEtcd("one etcd", () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start(1);
  }, 60_000);
  afterAll(async () => {
    await servers[Symbol.asyncDispose]();
  });

  test(
    "goes on after a freeze that is shorter than the ttl",
    async () => {
      await using directory = new EtcdDirectory(servers);
      await using traffic = await Traffic.start(directory);
      servers.freeze(0);
      const began = performance.now();
      try {
        await traffic.mirror.until(() => !traffic.mirror.isFresh);
        console.log(`one etcd frozen: noticed after ${Math.round(performance.now() - began)} ms`);
      } finally {
        servers.thaw(0);
      }
      await traffic.progress();
      await traffic.mirror.until(() => traffic.mirror.isFresh);
      await traffic.end();
    },
    faultTimeoutMs,
  );

  test("says which server gave no answer", async () => {
    const dead = servers.ports[0]! + 1;
    await using store = await ClusterStore.open(etcd(`http://127.0.0.1:${dead}`));
    const error = await failure(store.open(recordOf(a), { ttlMs, timeoutMs: 300 }));
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect(error.message).toStartWith(
      `etcd at http://127.0.0.1:${dead} (space "default") didn't answer within`,
    );
    expect(String((error.cause as Error).message)).toContain("ECONNREFUSED");
  });

  test("is told apart from something else that listens there", async () => {
    using other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
    await using store = await ClusterStore.open(etcd(`http://127.0.0.1:${other.port}`));
    expect(await failure(store.holder("x", { timeoutMs: 300 }))).toBeInstanceOf(StoreUnavailableError);
  });
});

describeEtcd("an etcd with TLS and users", () => {
  const authority = new Authority();
  const stranger = new Authority("another authority");
  const files = writeTls(dir, "server", authority.issue("etcd", { dns: "localhost" }));
  const client = writeTls(dir, "client", authority.issue("furrow/registrar"));
  const forged = writeTls(dir, "forged", stranger.issue("furrow/registrar"));
  const user = { username: "furrow", password: "the password" };
  let servers: EtcdServers;
  let url: string;
  beforeAll(async () => {
    servers = await EtcdServers.start(1, { tls: files, args: ["--bcrypt-cost=4", "--auth-token-ttl=2"] });
    url = servers.urls[0]!;
    for (const [name, password] of [
      ["root", "root"],
      [user.username, user.password],
    ])
      await servers.post(0, "/v3/auth/user/add", { name, password });
    await servers.post(0, "/v3/auth/role/add", { name: "furrow" });
    const key = "/furrow/1/default/";
    const permission = { permType: "READWRITE", key: btoa(key), range_end: btoa("/furrow/1/default0") };
    await servers.post(0, "/v3/auth/role/grant", { name: "furrow", perm: permission });
    await servers.post(0, "/v3/auth/user/grant", { user: user.username, role: "furrow" });
    await servers.post(0, "/v3/auth/user/grant", { user: "root", role: "root" });
    await servers.post(0, "/v3/auth/enable", {});
  }, 60_000);
  afterAll(async () => {
    await servers?.[Symbol.asyncDispose]();
  });

  test(
    "serves a user with a certificate, and goes on when the token has expired",
    async () => {
      const cluster = etcd(url, { tls: client, ...user });
      await using store = await ClusterStore.open(cluster);
      await using watcher = await ClusterStore.open(cluster);
      const lease = await store.open(recordOf(a), { ttlMs });
      await using mirror = new Mirror(watcher);
      await lease.apply(range(10).map((index) => put(a, `u${index}`)));
      await mirror.until(() => mirror.isFresh && mirror.entries.size === 10);
      // a restart forgets all tokens
      await servers.kill(0);
      servers.begin(0);
      await lease.apply([put(a, "v")]);
      await mirror.until(() => mirror.isFresh && mirror.entries.size === 11);
      expect(mirror.loads).toBe(1);
      await lease.release();
    },
    faultTimeoutMs,
  );

  test.each([
    ["a wrong password", { tls: client, ...user, password: "wrong" }, "authentication failed"],
    ["no password (the certificate's name isn't a user)", { tls: client }, "permission denied"],
    ["a space that the user may not read", { tls: client, ...user, space: "other" }, "permission denied"],
  ])("refuses %s at once", async (_, options, message) => {
    await using store = await ClusterStore.open(etcd(url, options));
    const error = await failure(store.open(recordOf(a), { ttlMs, timeoutMs: 10_000 }));
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("wrong");
  });

  test.each([
    ["a server of another authority", { tls: { ...client, ca: forged.ca }, ...user }],
    ["a client of another authority", { tls: { ...forged, ca: client.ca }, ...user }],
    ["a client without a certificate", { tls: { ca: client.ca }, ...user }],
  ])("isn't reached with %s", async (_, options) => {
    await using store = await ClusterStore.open(etcd(url, options));
    const error = await failure(store.holder("x", { timeoutMs: 1_000 }));
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect(error.cause).toBeInstanceOf(Error);
    console.log(`tls: ${(error.cause as Error).message}`);
  });

  test("isn't reached under a name that its certificate doesn't have", async () => {
    const address = url.replace("localhost", "127.0.0.1");
    await using store = await ClusterStore.open(etcd(address, { tls: client, ...user }));
    expect(await failure(store.holder("x", { timeoutMs: 1_000 }))).toBeInstanceOf(StoreUnavailableError);
  });
});
