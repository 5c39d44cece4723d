/** What hosts publish and mirror, over a directory in memory. */
import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";

import { MemoryDirectory } from "../../src/discovery/memory-directory.ts";
import { RemoteEntry } from "../../src/discovery/remote-entry.ts";
import { encodeEntry, encodeValue } from "../../src/discovery/remote-entry.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
import type { RemoteAddition, RemoteChange, RemoteHost } from "../../src/discovery/store.ts";
import { MemoryHost } from "../support/memory-host.ts";
import { until } from "../support/world.ts";

class Hosts extends AsyncDisposableStack {
  readonly directory: MemoryDirectory = this.use(new MemoryDirectory());

  async open(id: string): Promise<MemoryHost> {
    const host = this.use(new MemoryHost(this.directory, id));
    await host.open();
    return host;
  }
}

/** Resolves when each host shows what it has itself and all that the others have. */
async function agree(...hosts: readonly MemoryHost[]): Promise<void> {
  await until(() => hosts.every(({ shown }) => shown.join() === hosts[0]!.shown.join()));
}

type Put = Extract<RemoteAddition, { type: "put" }>;

async function* pagesOf(
  pages: readonly (readonly RemoteAddition[])[],
): AsyncIterable<readonly RemoteAddition[]> {
  yield* pages;
}

/** Entries of a host, made after one that `host` shows. */
function manyOf(id: string, { table }: MemoryHost) {
  const [template] = table.all("x");
  const value = encodeEntry(template!, 1, id);
  return Array.from({ length: 4_000 }, (_, at) => {
    const entry = new RemoteEntry(id, `${id}-${at}`, value, 1_000 + at, 1_000 + at);
    return { type: "put", entry } as const;
  });
}

function hostOf(host: string, content: RemoteHost["content"]) {
  const registrar = { name: "registrar", uuid: `r-${host}`, pid: 1, host };
  const record: RemoteHost = { host, registrar, registry: "unix:///r", epoch: 1, ttlMs: 6_000, content };
  return { type: "host", host: record } as const;
}

describe("a mirror", () => {
  test("has the actors of other hosts with all that they registered, and none of its own host", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1", { metadata: { zone: "eu" }, version: "2" });
    b.register("x", "2");
    await agree(a, b);
    expect(b.events).toEqual(["+1"]);
    const [mirrored] = b.table.all("x");
    expect(mirrored).toMatchObject({ uuid: "1", host: "a", pid: 7, addrs: ["tcp://a:1"] });
    expect(mirrored?.details).toMatchObject({ version: "2", metadata: { zone: "eu" } });
    a.register("x", "1", { metadata: { zone: "us" } });
    await until(() => b.events.length === 2);
    a.unregister("1");
    await until(() => b.events.length === 3);
    expect(b.events).toEqual(["+1", "~1", "-1"]);
    expect([b.mirror.size, Array.from(b.mirror.hosts(), ({ host }) => host)]).toEqual([0, ["a"]]);
  });

  test("says at once that it may be behind, and that it isn't only when all is done", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1");
    await until(() => b.mirror.size === 1 && !b.isStale);
    const many = manyOf("c", b);
    b.mirror.change(many, 30_000);
    expect(b.mirror.size).toBeLessThan(many.length);
    b.mirror.stale(0);
    expect(b.isStale).toBeTrue();
    b.mirror.fresh();
    b.mirror.stale(0);
    await until(() => b.mirror.size === many.length + 1);
    await Bun.sleep(0);
    expect(b.isStale).toBeTrue();
    // a load drops what has yet to be done, and not that the table is behind
    b.mirror.fresh();
    await until(() => !b.isStale);
    b.mirror.change(
      many.map(({ entry: { host, uuid } }) => ({ type: "remove", host, uuid })),
      40_000,
    );
    b.mirror.stale(0);
    await b.mirror.load(pagesOf([]), 50_000);
    expect(b.isStale).toBeTrue();
    expect(b.mirror.size).toBe(0);
  });

  test("takes in the next change when its target is idle", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1");
    await until(() => b.mirror.size === 1 && !b.isStale);
    const pushed = Promise.withResolvers<void>();
    b.idleAfter(2, pushed.promise);
    const many = manyOf("c", b);
    b.mirror.change(many, 30_000);
    b.mirror.fresh();
    await Bun.sleep(10);
    expect(b.mirror.size).toBe(1 + 2);
    pushed.resolve();
    await until(() => b.mirror.size === 1 + many.length);
    // a load drops what waits
    b.idleAfter(0, new Promise(() => {}));
    b.mirror.change(
      many.map(({ entry: { host, uuid } }) => ({ type: "remove", host, uuid })),
      40_000,
    );
    b.idleAfter(0, undefined);
    await b.mirror.load(pagesOf([many]), 50_000);
    expect(b.mirror.size).toBe(many.length);
  });

  test("says that it isn't behind any more when a load has dropped what it waited for", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1");
    await until(() => b.mirror.size === 1 && !b.isStale);
    b.mirror.stale(0);
    b.mirror.change(manyOf("c", b), 30_000);
    b.mirror.fresh();
    expect(b.isStale).toBeTrue();
    await b.mirror.load(pagesOf([]), 40_000);
    expect(b.isStale).toBeFalse();
  });

  test("doesn't hold it against a host that its record is older than its entries, in a load", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1");
    await until(() => b.mirror.size === 1 && !b.isStale);
    const [entry, later] = manyOf("c", b);
    const content = { count: 1, digest: entry!.entry.digest };
    const record = hostOf("c", content);
    await b.mirror.load(pagesOf([[entry!, later!], [record]]), 30_000);
    expect(b.mirror.change([], 30_001)).toBeTrue();
    // but if the host says so later, something is wrong
    expect(b.mirror.change([record], 30_002)).toBeFalse();
  });

  test.each([
    ["the uuid is malformed", "b", "a b"],
    ["the host id is malformed", "b\n", "a"],
  ])("leaves out an entry of which %s, and shows the others", async (fault, host, uuid) => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("z")];
    a.register("x", "1");
    await until(() => b.mirror.size === 1 && !b.isStale);
    const value = encodeEntry(b.table.all("x")[0]!, 1);
    const entries = [
      new RemoteEntry(host, uuid, value, 1_000, 1_000),
      new RemoteEntry("c", "c", value, 1_001, 1_001),
    ];
    expect(entries.map((one) => one.fault)).toEqual([fault, undefined]);
    b.mirror.change(
      entries.map((entry) => ({ type: "put", entry }) as const),
      30_000,
    );
    await until(() => b.mirror.size === 2);
    expect(b.table.all("x").map((one) => one.uuid)).toEqual(["1", "c"]);
  });

  test("looks through all hosts only for an actor that another of them has, too", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1");
    await until(() => b.mirror.size === 1 && !b.isStale);
    const [template] = b.table.all("x");
    const value = encodeEntry(template!, 1, "c");
    const [unreadable, readable] = [new Uint8Array([1]), value].map((one, kind) =>
      Array.from({ length: 3_000 }, (_, at) => {
        const entry = new RemoteEntry(`h${kind}${at}`, `u${kind}-${at}`, one, 1_000 + at, 1_000 + at);
        return { type: "put", entry } as const;
      }),
    ) as [Put[], Put[]];
    b.mirror.change([...unreadable, ...readable], 30_000);
    await until(() => b.mirror.size === readable.length + 1);
    const get = spyOn(Map.prototype, "get");
    try {
      const removals = readable.map((one) => ({
        type: "remove",
        host: one.entry.host,
        uuid: one.entry.uuid,
      }));
      b.mirror.change(removals as RemoteChange[], 30_001);
      await until(() => b.mirror.size === 1);
      // not one for each host
      expect(get.mock.calls.length / readable.length).toBeLessThan(30);
    } finally {
      get.mockRestore();
    }
  });

  test("orders instances of other hosts by registration, and the host's own after them", async () => {
    await using hosts = new Hosts();
    const [a, b, c] = [await hosts.open("a"), await hosts.open("b"), await hosts.open("c")];
    c.register("x", "own");
    b.register("x", "b1");
    await until(() => c.mirror.size === 1);
    for (const uuid of ["a1", "a2", "a3"]) a.register("x", uuid);
    await until(() => c.mirror.size === 4);
    b.register("x", "b2");
    await until(() => c.mirror.size === 5);
    expect(c.table.all("x").map(({ uuid }) => uuid)).toEqual(["b1", "a1", "a2", "a3", "b2", "own"]);
  });

  test("keeps actors of other hosts that drain where no name leads to them", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    for (const uuid of ["1", "2"]) a.register("x", uuid);
    await agree(a, b);
    a.register("x", "1", { state: "draining" });
    await agree(a, b);
    expect([b.table.all("x"), b.table.draining("x")].map((list) => list.map(({ uuid }) => uuid))).toEqual([
      ["2"],
      ["1"],
    ]);
    a.register("x", "1", { state: "ready" });
    await agree(a, b);
    expect(b.table.all("x").map(({ uuid }) => uuid)).toEqual(["2", "1"]);
    expect(b.events).toEqual(["+1", "+2", "~1", "~1"]);
  });

  test("counts an entry that it can't read, and shows it once it can", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    a.register("x", "1");
    await agree(a, b);
    const put = (value: Uint8Array): Promise<unknown> =>
      a.lease!.apply([{ type: "put", uuid: "odd", value }]);
    const odd = { name: "odd", uuid: "odd", pid: 1, host: "a" };
    const good = encodeEntry(new RegistryTable().register(odd, []), 1);
    for (const bad of [Uint8Array.of(1), encodeValue([7]), encodeValue(["odd", "pid", [], 1])]) {
      await put(good);
      await until(() => b.mirror.size === 2);
      await put(bad);
      await until(() => b.mirror.size === 1);
    }
    await a.lease!.settle();
    await until(() => hosts.directory.hosts.get("a")!.record.content?.count === 2);
    a.register("x", "2");
    await until(() => b.mirror.size === 2);
    // it was not taken for drift
    expect(b.events.filter((event) => event.endsWith("1"))).toEqual(["+1"]);
    expect(b.isStale).toBe(false);
  });

  test("takes all of a host that is gone out at once, and takes it in again when it comes back", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    for (const uuid of ["1", "2", "3"]) a.register("x", uuid);
    await agree(a, b);
    await a.lease!.release();
    await until(() => b.mirror.size === 0);
    expect(Array.from(b.mirror.hosts())).toEqual([]);
    await a.open();
    await agree(a, b);
    expect(b.events).toEqual(["+1", "+2", "+3", "-1", "-2", "-3", "+1", "+2", "+3"]);
  });

  test("keeps what it has while it is cut off, says that it is stale, and loads what it has missed", async () => {
    await using hosts = new Hosts();
    const [a, b] = [await hosts.open("a"), await hosts.open("b")];
    for (const uuid of ["1", "2", "3"]) a.register("x", uuid);
    await agree(a, b);
    hosts.directory.cut("b");
    await until(() => b.isStale);
    a.unregister("2");
    a.register("x", "1", { metadata: { n: 1 } });
    a.register("x", "4");
    await until(() => a.publisher.published === undefined);
    hosts.directory.compact();
    expect(b.mirror.size).toBe(3);
    hosts.directory.mend("b");
    await agree(a, b);
    await until(() => !b.isStale);
    expect(b.events.slice(0, 3)).toEqual(["+1", "+2", "+3"]);
    expect(b.events.slice(3).toSorted()).toEqual(["+4", "-2", "~1"]);
  });

  test("takes a registrar's successor on the same host for the same host: nothing comes or goes", async () => {
    await using hosts = new Hosts();
    const b = await hosts.open("b");
    const before = hosts.use(new MemoryHost(hosts.directory, "a"));
    const lease = await before.open();
    for (const uuid of ["1", "2", "3"]) before.register("x", uuid);
    await until(() => b.mirror.size === 3);
    // killed: nobody revokes its lease
    lease.abandon();
    const after = hosts.use(new MemoryHost(hosts.directory, "a"));
    for (const uuid of ["3", "1"]) after.register("x", uuid);
    await after.open();
    await until(() => b.mirror.size === 2);
    expect(b.events).toEqual(["+1", "+2", "+3", "-2"]);
    expect(b.table.all("x").map(({ uuid }) => uuid)).toEqual(["1", "3"]);
  });

  test("shows an actor that several hosts have registered once, until the last of them has lost it", async () => {
    await using hosts = new Hosts();
    const [a, b, c] = [await hosts.open("a"), await hosts.open("b"), await hosts.open("c")];
    a.register("x", "1", {}, "a");
    await until(() => c.mirror.size === 1);
    b.register("x", "1", {}, "a");
    await until(() => b.publisher.published === undefined);
    expect([b.table.all("x").length, b.mirror.size]).toEqual([1, 0]);
    a.unregister("1");
    await until(() => c.events.length > 1);
    expect(c.events).toEqual(["+1", "~1"]);
    expect(a.table.all("x").map(({ uuid }) => uuid)).toEqual(["1"]);
    b.unregister("1");
    await until(() => c.mirror.size === 0 && a.mirror.size === 0);
    expect([a, b, c].map(({ table }) => table.size)).toEqual([0, 0, 0]);
  });

  test("loads everything again when what it has contradicts a host's record", async () => {
    await using hosts = new Hosts();
    const b = await hosts.open("b");
    const value = encodeEntry(b.table.register({ name: "lost", uuid: "l", pid: 1, host: "z" }, []), 1);
    const record: RemoteHost = {
      host: "z",
      registrar: { name: "r", uuid: "r", pid: 1, host: "z" },
      registry: "r",
      epoch: 1,
      ttlMs: 1_000,
      content: { count: 1, digest: new RemoteEntry("z", "l", value, 1, 1).digest >>> 0 },
    };
    expect(b.mirror.change([{ type: "host", host: record }], 7)).toBe(false);
    expect(b.mirror.change([], 8)).toBe(true);
    const put = { type: "put", entry: new RemoteEntry("z", "l", value, 1, 1) } as const;
    expect(b.mirror.change([put, { type: "host", host: record }], 9)).toBe(true);
    expect(
      b.mirror.change([{ type: "host", host: { ...record, content: { count: 1, digest: 0 } } }], 10),
    ).toBe(false);
  });

  test("agrees with all hosts in the end, whatever they do and whoever is cut off meanwhile", async () => {
    const ids = ["a", "b", "c"];
    const uuid = fc.integer({ min: 0, max: 6 });
    const at = fc.integer({ min: 0, max: 2 });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant("register" as const), at, uuid) },
      { weight: 4, arbitrary: fc.tuple(fc.constant("unregister" as const), at, uuid) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("turn" as const), at, uuid) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("cut" as const), at, uuid) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("deafen" as const), at, uuid) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("mend" as const), at, uuid) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("compact" as const), at, uuid) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("reopen" as const), at, uuid) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        await using hosts = new Hosts();
        const all: MemoryHost[] = [];
        for (const id of ids) all.push(await hosts.open(id));
        const opening: Promise<unknown>[] = [];
        let life = 0;
        for (const [what, at, n] of steps) {
          const host = all[at]!;
          if (what === "register")
            host.register(`n${n % 2}`, `${host.host}${n}`, { metadata: { life: ++life } });
          else if (what === "unregister") host.unregister(`${host.host}${n}`);
          else if (what === "turn") await Bun.sleep(0);
          else if (what === "cut") hosts.directory.cut(host.host);
          else if (what === "deafen") hosts.directory.cut(host.host, "answers");
          else if (what === "mend") hosts.directory.mend(host.host);
          else if (what === "compact") hosts.directory.compact();
          else opening.push(host.open().catch(() => {}));
        }
        for (const id of ids) hosts.directory.mend(id);
        await Promise.all(opening);
        await agree(...all);
        await until(() =>
          all.every(({ publisher, isStale }) => publisher.published === undefined && !isStale),
        );
        await agree(...all);
        const own = all.flatMap((host) => host.own);
        expect(all[0]!.shown.map((line) => line.split(" ")[1]!).toSorted()).toEqual(own.toSorted());
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
