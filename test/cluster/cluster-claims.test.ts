/** Names held by a host, as its lease comes and goes: over a directory in memory. */
import { describe, expect, spyOn, test } from "bun:test";

import type { Runtime } from "../../src/actor/runtime.ts";
import { Cluster } from "../../src/discovery/cluster.ts";
import { ClusterClaims } from "../../src/discovery/cluster-claims.ts";
import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import { MemoryDirectory } from "../../src/discovery/memory-directory.ts";
import { MemoryStore } from "../../src/discovery/memory-store.ts";
import type { RegistrarService } from "../../src/discovery/registrar.ts";
import type { DirectoryStore, HostLease, OpenOptions } from "../../src/discovery/store.ts";
import { StoreUnavailableError } from "../../src/errors.ts";
import { recordOf } from "../support/directories.ts";
import { failure } from "../support/outcome.ts";
import { until } from "../support/world.ts";

const [a, b] = ["a", "b"].map((letter) => letter.padStart(16, "0")) as [string, string];
const never = new AbortController().signal;

class Scene extends AsyncDisposableStack {
  readonly directory: MemoryDirectory = this.use(new MemoryDirectory());

  async lease(host: string): Promise<HostLease> {
    const store = this.use(new MemoryStore(this.directory, host));
    return await store.open(recordOf(host, "unix:///r"), { ttlMs: 60_000 });
  }

  /** A host's claims, under a lease if it has one. */
  claims(host: string, lease?: HostLease): ClusterClaims {
    const claims = new ClusterClaims({ host, holder: () => undefined }, never);
    if (lease !== undefined) claims.use(lease);
    this.defer(() => claims.use(undefined));
    return claims;
  }
}

/** A store in which a claim fails as often as this; all else goes well. */
class FailingClaims implements DirectoryStore {
  readonly description = "memory";
  readonly #store: MemoryStore;
  #failures: number;

  constructor(directory: MemoryDirectory, host: string, failures: number) {
    this.#store = new MemoryStore(directory, host);
    this.#failures = failures;
  }

  async open(host: Parameters<MemoryStore["open"]>[0], options: OpenOptions): Promise<HostLease> {
    const lease = await this.#store.open(host, options);
    const claim = lease.claim.bind(lease);
    lease.claim = (...args) =>
      this.#failures-- > 0 ? Promise.reject(new StoreUnavailableError("no answer")) : claim(...args);
    return lease;
  }

  follow: MemoryStore["follow"] = (...args) => this.#store.follow(...args);
  holder: MemoryStore["holder"] = (...args) => this.#store.holder(...args);

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }
}

describe("a host's claims", () => {
  test("wait while the first lease is being opened, and after one is lost", async () => {
    await using scene = new Scene();
    const claims = scene.claims(a);
    const first = claims.take("x", "key-x", true);
    claims.use(await scene.lease(a));
    expect(await first).toBeNumber();
    claims.use(undefined);
    const second = claims.take("y", "key-y", true);
    claims.use(await scene.lease(a));
    expect(await second).toBeNumber();
  });

  test("are refused while no lease can be opened, those that wait too", async () => {
    await using scene = new Scene();
    const claims = scene.claims(a);
    const waiting = failure(claims.take("x", "key-x", true));
    claims.refuse("the store is gone");
    const error = await waiting;
    expect([error.name, error.message]).toEqual([
      "RegistryUnavailableError",
      'cannot promise that "x" runs only once among all hosts: the store is gone',
    ]);
    expect((await failure(claims.take("x", "key-x", true))).message).toBe(error.message);
    claims.use(await scene.lease(a));
    expect(await claims.take("x", "key-x", true)).toBeNumber();
  });

  test("aren't made for one who has given up while it waited for a lease", async () => {
    await using scene = new Scene();
    const claims = scene.claims(a);
    const waiting = failure(claims.take("x", "key-x", true));
    claims.give("x", "key-x");
    claims.use(await scene.lease(a));
    await waiting;
    expect(await claims.take("y", "key-y", true)).toBeNumber();
    expect([...scene.directory.claims.keys()]).toEqual(["y"]);
  });

  test("aren't made again when they are given back while the store is asked once more", async () => {
    await using scene = new Scene();
    const claims = scene.claims(a, await scene.lease(a));
    const taking = claims.take("x", "key-x", true);
    claims.recheck("x");
    claims.give("x", "key-x");
    claims.recheck("x");
    await taking.catch(() => {});
    expect(await claims.take("y", "key-y", true)).toBeNumber();
    await until(() => !scene.directory.claims.has("x"));
    await Bun.sleep(20);
    expect([...scene.directory.claims.keys()]).toEqual(["y"]);
  });

  test("are asked for once more, and not once for each reason", async () => {
    await using scene = new Scene();
    const lease = await scene.lease(a);
    const claim = spyOn(lease, "claim");
    const claims = scene.claims(a, lease);
    await claims.take("x", "key-x", true);
    for (let reason = 0; reason < 20; reason++) claims.recheck("x");
    await claims.take("y", "key-y", true);
    await Bun.sleep(20);
    // taken, asked for once, and once more for what came meanwhile; and the other
    expect(claim.mock.calls.map(([name]) => name).toSorted()).toEqual(["x", "x", "x", "y"]);
  });

  test("go before what an earlier registrar of the host has left, whose holders aren't back", async () => {
    await using scene = new Scene();
    const former = await scene.lease(a);
    await scene.claims(a, former).take("x", "key-1", true);
    former.abandon();
    const claims = scene.claims(a, await scene.lease(a));
    expect(await claims.take("x", "key-2", true)).toBeNumber();
    // but not before those of other hosts
    expect(await scene.claims(b, await scene.lease(b)).take("x", "key-3", true)).toEqual({
      host: a,
      isUnique: true,
    });
  });
});

describe("a registrar's successor", () => {
  test("doesn't let go of a name that is held here, though its first claim fails", async () => {
    await using scene = new Scene();
    const { directory } = scene;
    const open = (uuid: string, failures: number, mayGoOn: Promise<void>): Cluster => {
      const store = new ClusterStore("memory", 60_000, async () => new FailingClaims(directory, a, failures));
      // a registrar without actors, whose grace period ends when the test says so
      const service = { share() {}, awaited: () => mayGoOn, onElsewhere() {} } as unknown as RegistrarService;
      const id = { name: "root", uuid, pid: 1, host: a };
      const runtime = { id, watchSessions: () => () => {} } as unknown as Runtime;
      return new Cluster(service, runtime, store, ["unix:///r"]);
    };
    const first = open("r1", 0, Promise.resolve());
    expect(await first.claims.take("x", "key", true)).toBeNumber();
    first.end();

    const grace = Promise.withResolvers<void>();
    const next = open("r2", 2, grace.promise);
    const lost: string[] = [];
    next.claims.onLost = (name) => lost.push(name);
    await next.joined;
    next.claims.resume("x", "key", true);
    grace.resolve();
    await Bun.sleep(50);
    // settled or not: the name isn't free in between
    const other = scene.claims(b, await scene.lease(b));
    expect(await other.take("x", "key-b", true)).toEqual({ host: a, isUnique: true });
    await until(() => next.claims.confirmed === undefined);
    await until(() => directory.hosts.get(a)?.record.content?.count === 0);
    expect(await other.take("x", "key-b", true)).toEqual({ host: a, isUnique: true });
    expect(lost).toEqual([]);
    next.end();
  });
});
