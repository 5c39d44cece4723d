/** The promises of `src/discovery/store.ts`, tested for a directory in memory, on one etcd, and on three. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { HostTakenError, LimitError, StoreUnavailableError } from "../../src/errors.ts";
import { comparePlaces } from "../../src/discovery/stored-registration.ts";
import type { HostLease } from "../../src/discovery/store.ts";
import {
  type Directory,
  EtcdPlace,
  MemoryPlace,
  type Place,
  put,
  range,
  recordOf,
  remove,
} from "../support/directories.ts";
import { lacksEtcd } from "../support/etcd-servers.ts";
import { Mirror } from "../support/mirror.ts";
import { failure } from "../support/outcome.ts";

const a = "aaaaaaaaaaaaaaaa";
const b = "bbbbbbbbbbbbbbbb";
const faultTimeoutMs = 40_000;

interface Kind {
  readonly name: string;
  /** The shortest that it takes, or what is safe on a busy machine. */
  readonly ttlMs: number;
  readonly place: () => Promise<Place>;
}

const kinds: readonly Kind[] = [
  { name: "in memory", ttlMs: 500, place: () => Promise.resolve(new MemoryPlace()) },
  ...(lacksEtcd === undefined
    ? [
        { name: "on one etcd", ttlMs: 2_000, place: () => EtcdPlace.start(1) },
        { name: "on three etcds", ttlMs: 2_000, place: () => EtcdPlace.start(3) },
      ]
    : []),
];
if (lacksEtcd !== undefined) test.skip(`on etcd: ${lacksEtcd}`, () => {});

async function mirrorOf(directory: Directory, host: string): Promise<Mirror> {
  const mirror = new Mirror(await directory.store(host));
  await mirror.until(() => mirror.isFresh, "loaded");
  return mirror;
}

function report(what: string, sinceMs: number): void {
  console.log(`${what}: ${Math.round(performance.now() - sinceMs)} ms`);
}

describe.each(kinds.map((kind) => [kind.name, kind] as const))("a directory %s", (name, kind) => {
  const { ttlMs } = kind;
  let place: Place;

  /** A lease of a host, without a registrar around it. */
  async function leaseOf(directory: Directory, host: string, record = recordOf(host)): Promise<HostLease> {
    return (await directory.store(host)).open(record, { ttlMs });
  }

  beforeAll(async () => {
    place = await kind.place();
  }, 60_000);
  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  test("shows what a host publishes to all that follow, as it was registered", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    await lease.apply([put(a, "u1", "market", 7)]);
    await mirror.until(() => mirror.entries.size === 1);
    const entry = mirror.entries.get(`${a}/u1`)!;
    expect({ ...entry.id, order: entry.order, addrs: entry.addrs, details: entry.details }).toEqual({
      name: "market",
      uuid: "u1",
      pid: 4_711,
      host: a,
      order: 7,
      addrs: [`unix://${a}/run/u1.sock`],
      details: {
        version: "1.2.3",
        metadata: { zone: "a" },
        parent: null,
        startedAt: 1_700_000_000_000,
        functions: [],
        state: "ready",
      },
    });
  });

  test("brings each change of a host once, in order", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    const expected: string[] = [];
    for (const round of range(10)) {
      await lease.apply(range(5).map((index) => put(a, `u${round}-${index}`)));
      await lease.apply([remove(`u${round}-2`), put(a, `u${round}-0`, "renamed")]);
      expected.push(...range(5).map((index) => `+u${round}-${index}`), `-u${round}-2`, `+u${round}-0`);
    }
    await mirror.until(() => mirror.history(a).length >= expected.length);
    expect(mirror.history(a)).toEqual(expected);
    expect([mirror.loads, mirror.told]).toEqual([1, ["stale", "load", "fresh"]]);
  });

  test("makes any number of changes, in transactions that a store takes", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    await lease.apply(range(350).map((index) => put(a, `u${index}`)));
    await lease.apply(range(350).map((index) => remove(`u${index}`)));
    await lease.apply([put(a, "last")]);
    await mirror.until(() => mirror.entries.has(`${a}/last`));
    expect([mirror.of(a), mirror.history(a).length]).toEqual([["last"], 701]);
  });

  test("makes the last of several changes of an actor, and none that changes nothing", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    await lease.settle();
    await lease.apply([put(a, "u1"), put(a, "u2"), put(a, "u1", "again"), remove("u3"), put(a, "u2")]);
    await lease.apply([put(a, "u2"), put(a, "u1", "again"), remove("u4"), put(a, "u5"), remove("u5")]);
    await lease.apply([put(a, "last")]);
    await mirror.until(() => mirror.entries.has(`${a}/last`));
    expect(mirror.history(a)).toEqual(["+u1", "+u2", "+last"]);
  });

  test("loads everything in pages for one that comes later, and orders instances by registration", async () => {
    await using directory = place.directory();
    const [first, second] = [await leaseOf(directory, a), await leaseOf(directory, b)];
    await first.apply(range(1_250).map((index) => put(a, `a${index}`, "worker", index)));
    await second.apply(range(1_250).map((index) => put(b, `b${index}`, "worker", index)));
    await first.apply([put(a, "a9999", "worker", 9_999)]);
    await using mirror = await mirrorOf(directory, b);
    const instances = Array.from(mirror.entries.values()).toSorted(comparePlaces);
    expect(instances.map(({ uuid }) => uuid)).toEqual([
      ...range(1_250).map((index) => `a${index}`),
      ...range(1_250).map((index) => `b${index}`),
      "a9999",
    ]);
    expect([mirror.loads, mirror.batches.length]).toEqual([1, 0]);
  });

  test("keeps an instance's place when it changes", async () => {
    await using directory = place.directory();
    const lease = await leaseOf(directory, a);
    await lease.apply([put(a, "u1", "worker", 1)]);
    await lease.apply([put(a, "u2", "worker", 2)]);
    await lease.apply([put(a, "u1", "worker 1", 1)]);
    await using mirror = await mirrorOf(directory, b);
    const [one, two] = ["u1", "u2"].map((uuid) => mirror.entries.get(`${a}/${uuid}`)!);
    expect(comparePlaces(one!, two!)).toBeLessThan(0);
    expect(one!.changed).toBeGreaterThan(two!.changed);
  });

  test("says how much a host has once its table is complete, and again when that changes", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    await lease.apply([put(a, "u1"), put(a, "u2")]);
    await mirror.until(() => mirror.entries.size === 2);
    expect(mirror.hosts.get(a)!.content).toBeNull();
    await lease.settle();
    await mirror.until(() => mirror.hosts.get(a)?.content?.count === 2);
    await lease.apply([remove("u1")]);
    await mirror.until(() => mirror.hosts.get(a)?.content?.count === 1);
    expect(mirror.loads).toBe(1);
  });

  test("loads again when a follower holds something else than the host says", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    await lease.apply([put(a, "u1"), put(a, "u2")]);
    await mirror.until(() => mirror.entries.size === 2);
    mirror.entries.delete(`${a}/u1`);
    await lease.settle();
    await mirror.until(() => mirror.loads === 2);
    expect(mirror.of(a)).toEqual(["u1", "u2"]);
  });

  test("removes all that a host published in one batch when it releases its lease", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const lease = await leaseOf(directory, a);
    await lease.apply(range(300).map((index) => put(a, `u${index}`)));
    await lease.claim("leader", "u1");
    await mirror.until(() => mirror.entries.size === 300 && mirror.claims.size === 1);
    const before = mirror.batches.length;
    await lease.release();
    await mirror.until(() => mirror.hosts.size === 0 && mirror.claims.size === 0);
    const [end, ...more] = mirror.batches.slice(before);
    expect(more).toEqual([]);
    expect(end!.filter(({ type }) => type === "remove")).toHaveLength(300);
    expect([mirror.entries.size, end!.length]).toEqual([0, 302]);
    expect(await failure(lease.apply([put(a, "u1")]))).toBeInstanceOf(StoreUnavailableError);
    await lease.release();
  });

  test("refuses a host to another registry as long as the first one lives", async () => {
    await using directory = place.directory();
    const record = recordOf(a, "unix:///run/one");
    const lease = await leaseOf(directory, a, record);
    const refused = await failure(leaseOf(directory, a, recordOf(a, "unix:///run/two")));
    expect(refused).toBeInstanceOf(HostTakenError);
    expect((refused as HostTakenError).holder).toEqual(record.registrar);
    await lease.release();
    const next = await leaseOf(directory, a, recordOf(a, "unix:///run/two"));
    expect(next.epoch).toBe(1);
  });

  test("refuses a host to the one that had it when another machine has taken it for its own", async () => {
    await using directory = place.directory();
    const [record, twin] = [recordOf(a), recordOf(a)];
    const store = await directory.store(a);
    const lease = await store.open(record, { ttlMs });
    const other = await leaseOf(directory, a, twin);
    expect(await failure(lease.apply([put(a, "u1")]))).toBeInstanceOf(StoreUnavailableError);
    const refused = await failure(store.open(record, { ttlMs }));
    expect(refused).toBeInstanceOf(HostTakenError);
    expect(refused.message).toEndWith(", perhaps on another machine with the same machine id");
    await other.apply([put(a, "u2")]);
    await other.release();
    await store.open(record, { ttlMs });
  });

  test("lets a successor take over without a moment in which an entry is missing", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const former = await leaseOf(directory, a);
    await former.apply([put(a, "stays", "stays"), put(a, "goes", "goes")]);
    await former.claim("kept", "stays");
    await former.claim("dropped", "goes");
    await former.settle();
    await mirror.until(() => mirror.claims.size === 2);
    const successor = await leaseOf(directory, a);
    expect([former.epoch, successor.epoch]).toEqual([1, 2]);
    // the former one finds out by itself, and can't write any more
    expect(await failure(former.apply([put(a, "late")]))).toBeInstanceOf(StoreUnavailableError);
    await former.lost;
    await successor.apply([put(a, "stays", "stays")]);
    expect(await successor.claim("kept", "stays")).toMatchObject({ type: "granted" });
    await mirror.until(() => mirror.history(a).length === 3);
    expect(mirror.of(a)).toEqual(["goes", "stays"]);
    await successor.settle();
    await mirror.until(() => mirror.entries.size === 1 && mirror.claims.size === 1);
    expect(mirror.history(a)).toEqual(["+stays", "+goes", "+stays", "-goes"]);
    await mirror.until(() => mirror.hosts.get(a)?.content?.count === 1);
    expect([mirror.loads, [...mirror.claims.keys()]]).toEqual([1, ["kept"]]);
  });

  test("keeps what a dead registrar left until its successor has settled, however long that takes", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const [store, next] = [await directory.store(a), await directory.store(a)];
    const record = recordOf(a);
    const former = await store.open(record, { ttlMs });
    await former.apply([put(a, "stays"), put(a, "goes")]);
    former.abandon();
    await mirror.until(() => mirror.entries.size === 2);
    const successor = await next.open(recordOf(a, record.registry), { ttlMs });
    await Bun.sleep(1.5 * ttlMs);
    await successor.apply([put(a, "stays")]);
    await successor.settle();
    await mirror.until(() => mirror.entries.size === 1);
    expect(mirror.history(a).filter((change) => change !== "+stays")).toEqual(["+goes", "-goes"]);
  });

  test("removes what a chain of dead registrars left when the last one has settled", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    for (const life of range(3)) {
      const lease = await leaseOf(directory, a);
      await lease.apply([put(a, `u${life}`)]);
      lease.abandon();
    }
    const last = await leaseOf(directory, a);
    await last.apply([put(a, "u3")]);
    await last.settle();
    await mirror.until(() => mirror.of(a).join() === "u3");
    expect(last.epoch).toBe(4);
  });

  test("grants a claim to one, again to the same one, and to the next when it is given back", async () => {
    await using directory = place.directory();
    await using mirror = await mirrorOf(directory, b);
    const [first, second] = [await leaseOf(directory, a), await leaseOf(directory, b)];
    const claim = await first.claim("leader", "u1");
    expect(claim.type).toBe("granted");
    expect(await first.claim("leader", "u1")).toEqual(claim);
    const holder = { type: "held", uuid: "u1", host: a, fence: claim.fence } as const;
    expect(await second.claim("leader", "u2")).toEqual(holder);
    expect(await (await directory.store(b)).holder("leader")).toEqual(holder);
    await mirror.until(() => mirror.claims.size === 1);
    expect(mirror.claims.get("leader")).toEqual(holder);
    await second.unclaim("leader", "u2");
    expect(await second.claim("leader", "u2")).toEqual(holder);
    await first.unclaim("leader", "u1");
    const next = await second.claim("leader", "u2");
    expect(next.type).toBe("granted");
    expect(next.fence).toBeGreaterThan(claim.fence);
    await second.release();
    expect(await (await directory.store(b)).holder("leader")).toBeNull();
  });

  test("grants each of many claims that race to exactly one", async () => {
    await using directory = place.directory();
    const leases = [await leaseOf(directory, a), await leaseOf(directory, b)];
    const names = range(50).map((index) => `shard ${index} \u00e9/${index}`);
    const answers = await Promise.all(
      names.flatMap((unique) =>
        leases.flatMap((lease, host) =>
          range(3).map(async (index) => ({
            unique,
            uuid: `u${host}-${index}`,
            answer: await lease.claim(unique, `u${host}-${index}`),
          })),
        ),
      ),
    );
    for (const unique of names) {
      const own = answers.filter((one) => one.unique === unique);
      const [winner, ...more] = own.filter(({ answer }) => answer.type === "granted");
      expect(more).toEqual([]);
      for (const { answer } of own)
        if (answer.type === "held")
          expect([answer.uuid, answer.fence]).toEqual([winner!.uuid, winner!.answer.fence]);
    }
  });

  describe("as time passes", () => {
    // they mostly wait, each in a directory of its own: all at once
    const scenarios: Record<string, () => Promise<void>> = {
      "removes all that a host published when it dies, in one batch, and not before its lease lapses":
        async () => {
          await using directory = place.directory();
          await using mirror = await mirrorOf(directory, b);
          const lease = await leaseOf(directory, a);
          await lease.apply(range(300).map((index) => put(a, `u${index}`)));
          await lease.settle();
          await mirror.until(() => mirror.entries.size === 300);
          const began = performance.now();
          lease.abandon();
          await mirror.until(() => mirror.entries.size === 0);
          report(`${name}: a host that died is gone (ttl ${ttlMs} ms)`, began);
          expect(performance.now()).toBeGreaterThanOrEqual(lease.validUntil);
          expect(mirror.batches.at(-1)!.filter(({ type }) => type === "remove")).toHaveLength(300);
          expect(mirror.hosts.size).toBe(0);
        },
      "frees the claims of a host that dies": async () => {
        await using directory = place.directory();
        await using mirror = await mirrorOf(directory, b);
        const [first, second] = [await leaseOf(directory, a), await leaseOf(directory, b)];
        const claim = await first.claim("leader", "u1");
        first.abandon();
        await mirror.until(() => mirror.claims.size === 1);
        await mirror.until(() => mirror.claims.size === 0);
        const next = await second.claim("leader", "u2");
        expect(next.type).toBe("granted");
        expect(next.fence).toBeGreaterThan(claim.fence);
      },
      "brings what a host missed while it was cut off, without loading again, and says that it was stale":
        async () => {
          await using directory = place.directory();
          await using mirror = await mirrorOf(directory, b);
          const lease = await leaseOf(directory, a);
          await lease.apply(range(20).map((index) => put(a, `u${index}`)));
          await mirror.until(() => mirror.entries.size === 20);
          const began = performance.now();
          directory.cut(b);
          await mirror.until(() => !mirror.isFresh);
          report(`${name}: a blackhole is noticed`, began);
          await lease.apply(range(10).map((index) => remove(`u${index}`)));
          await lease.apply(range(500).map((index) => put(a, `v${index}`)));
          expect(mirror.entries.size).toBe(20);
          const mended = performance.now();
          directory.mend(b);
          await mirror.until(() => mirror.entries.size === 510);
          report(`${name}: 510 missed changes are there after the cut`, mended);
          await mirror.until(() => mirror.isFresh);
          expect([mirror.loads, mirror.told]).toEqual([1, ["stale", "load", "fresh", "stale", "fresh"]]);
          expect(mirror.history(a)).toHaveLength(530);
        },
      "tells a host that was cut off for longer than its lease that it is lost, and takes its table anew":
        async () => {
          await using directory = place.directory();
          await using mirror = await mirrorOf(directory, b);
          const record = recordOf(a);
          const store = await directory.store(a);
          const lease = await store.open(record, { ttlMs });
          await lease.apply([put(a, "u1")]);
          await lease.settle();
          await mirror.until(() => mirror.entries.size === 1);
          directory.cut(a);
          await mirror.until(() => mirror.entries.size === 0);
          expect(performance.now()).toBeGreaterThanOrEqual(lease.validUntil);
          directory.mend(a);
          const mended = performance.now();
          await lease.lost;
          report(`${name}: a host learns that its lease lapsed`, mended);
          const next = await store.open(record, { ttlMs });
          await next.apply([put(a, "u1")]);
          await mirror.until(() => mirror.entries.size === 1);
        },
      "writes once what is repeated because the answer was lost": async () => {
        await using directory = place.directory();
        await using mirror = await mirrorOf(directory, b);
        const lease = await leaseOf(directory, a);
        await lease.apply([put(a, "u0")]);
        directory.cut(a, "answers");
        const changes = [put(a, "u1"), put(a, "u2")];
        const late = await failure(lease.apply(changes, { timeoutMs: 500 }));
        expect(late).toBeInstanceOf(StoreUnavailableError);
        // it was done all the same
        await mirror.until(() => mirror.entries.size === 3);
        directory.mend(a);
        await lease.apply(changes);
        await lease.apply([put(a, "u3")]);
        await mirror.until(() => mirror.entries.size === 4);
        expect(mirror.history(a)).toEqual(["+u0", "+u1", "+u2", "+u3"]);
      },
      "counts what it has published in the host's record, though the answer was lost": async () => {
        await using directory = place.directory();
        await using mirror = await mirrorOf(directory, b);
        const lease = await leaseOf(directory, a);
        await lease.apply([put(a, "u0")]);
        directory.cut(a, "answers");
        const late = await failure(lease.apply([put(a, "u1")], { timeoutMs: 500 }));
        expect(late).toBeInstanceOf(StoreUnavailableError);
        await mirror.until(() => mirror.entries.size === 2);
        directory.mend(a);
        // the record is the next to be written
        await lease.settle();
        await mirror.until(() => (mirror.hosts.get(a)?.content ?? null) !== null);
        expect([mirror.hosts.get(a)?.content?.count, mirror.loads]).toEqual([2, 1]);
      },
      "recognises its own claim when the answer was lost": async () => {
        await using directory = place.directory();
        await using mirror = await mirrorOf(directory, b);
        const lease = await leaseOf(directory, a);
        directory.cut(a, "answers");
        expect(await failure(lease.claim("leader", "u1", { timeoutMs: 500 }))).toBeInstanceOf(
          StoreUnavailableError,
        );
        await mirror.until(() => mirror.claims.size === 1);
        directory.mend(a);
        const { fence } = mirror.claims.get("leader")!;
        expect(await lease.claim("leader", "u1")).toEqual({ type: "granted", fence });
      },
      "keeps a lease for as long as it is renewed": async () => {
        await using directory = place.directory();
        await using mirror = await mirrorOf(directory, b);
        const lease = await leaseOf(directory, a);
        await lease.apply([put(a, "u1")]);
        const { validUntil } = lease;
        while (performance.now() < validUntil + ttlMs / 4) await Bun.sleep(50);
        expect(lease.validUntil).toBeGreaterThan(performance.now());
        expect([mirror.of(a), mirror.history(a)]).toEqual([["u1"], ["+u1"]]);
      },
    };
    let running: Map<string, Promise<void>>;
    beforeAll(() => {
      running = new Map(Object.entries(scenarios).map(([title, scenario]) => [title, scenario()]));
      // each test has its own
      for (const one of running.values()) one.catch(() => {});
    });
    test.each(Object.keys(scenarios))("%s", async (title) => running.get(title), faultTimeoutMs);
  });

  test("refuses a value that is too large, and takes the next one", async () => {
    await using directory = place.directory();
    const lease = await leaseOf(directory, a);
    const value = new Uint8Array(1_048_577);
    expect(await failure(lease.apply([{ type: "put", uuid: "u1", value }]))).toBeInstanceOf(LimitError);
    const large = range(300).map((index) => put(a, `u${index}`, "x".repeat(8_000)));
    expect(await lease.apply(large)).toBeGreaterThan(0);
  });

  test(
    "loads again when what a host missed is forgotten",
    async () => {
      await using directory = place.directory();
      await using mirror = await mirrorOf(directory, b);
      const lease = await leaseOf(directory, a);
      await lease.apply(range(20).map((index) => put(a, `u${index}`)));
      await mirror.until(() => mirror.entries.size === 20);
      directory.cut(b);
      await mirror.until(() => !mirror.isFresh);
      await lease.apply(range(10).map((index) => remove(`u${index}`)));
      await lease.apply([put(a, "v")]);
      await directory.compact();
      const mended = performance.now();
      directory.mend(b);
      await mirror.until(() => mirror.isFresh);
      report(`${name}: loaded again after a compaction during the cut`, mended);
      expect([mirror.loads, mirror.entries.size]).toEqual([2, 11]);
    },
    faultTimeoutMs,
  );

  test(
    "goes on where it was when the store is back, with nothing lost",
    async () => {
      await using directory = place.directory();
      await using mirror = await mirrorOf(directory, b);
      const lease = await leaseOf(directory, a);
      await lease.apply(range(100).map((index) => put(a, `u${index}`)));
      await lease.settle();
      await mirror.until(() => mirror.entries.size === 100);
      const stopped = performance.now();
      await directory.stop();
      expect(await failure(lease.apply([put(a, "v")], { timeoutMs: 500 }))).toBeInstanceOf(
        StoreUnavailableError,
      );
      await mirror.until(() => !mirror.isFresh);
      report(`${name}: the end of all servers is noticed`, stopped);
      await directory.start();
      const started = performance.now();
      await lease.apply([put(a, "v")]);
      await mirror.until(() => mirror.isFresh && mirror.entries.size === 101);
      report(`${name}: all is well after all servers are back`, started);
      expect(mirror.loads).toBe(1);
      expect(mirror.history(a)).toHaveLength(101);
    },
    faultTimeoutMs,
  );

  test(
    "begins anew when the store has lost everything",
    async () => {
      await using directory = place.directory();
      await using mirror = await mirrorOf(directory, b);
      const record = recordOf(a);
      const store = await directory.store(a);
      const lease = await store.open(record, { ttlMs });
      await lease.apply(range(30).map((index) => put(a, `u${index}`)));
      await mirror.until(() => mirror.entries.size === 30);
      await directory.wipe();
      const began = performance.now();
      await lease.lost;
      const next = await store.open(record, { ttlMs });
      await next.apply([put(a, "new")]);
      await mirror.until(() => mirror.isFresh && mirror.of(a).join() === "new");
      report(`${name}: after a wiped disk all is published again`, began);
    },
    faultTimeoutMs,
  );

  test("rejects with the reason of a signal, and says when it is closed", async () => {
    await using directory = place.directory();
    const store = await directory.store(a);
    const lease = await store.open(recordOf(a), { ttlMs });
    directory.cut(a);
    const reason = new Error("enough");
    const aborted = failure(lease.apply([put(a, "u1")], { signal: AbortSignal.abort(reason) }));
    expect(await aborted).toBe(reason);
    const controller = new AbortController();
    const waiting = failure(lease.apply([put(a, "u1")], { signal: controller.signal }));
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    const following = store.follow(new Mirror(await directory.store(b)), new AbortController().signal);
    await store[Symbol.asyncDispose]();
    await following;
    expect(await failure(store.holder("x"))).toBeInstanceOf(StoreUnavailableError);
    expect(await failure(lease.apply([put(a, "u1")]))).toBeInstanceOf(StoreUnavailableError);
  });

  test("ends following with what a sink throws", async () => {
    await using directory = place.directory();
    const lease = await leaseOf(directory, a);
    await lease.apply([put(a, "u1")]);
    const mirror = await mirrorOf(directory, b);
    const fault = new Error("a fault of the sink");
    mirror.change = () => {
      throw fault;
    };
    await lease.apply([put(a, "u2")]);
    expect(await failure(mirror.following)).toBe(fault);
  });
});
