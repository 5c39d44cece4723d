import { describe, expect, test } from "bun:test";

import { writeBrief } from "../../src/discovery/brief.ts";
import { currentActor, openNursery, openRootActor, queryActor } from "../../src/index.ts";
import { NameCache } from "../../src/discovery/cache.ts";
import { noDetails } from "../../src/discovery/details.ts";
import { DetailedFound, type FoundRegistration, PlainFound } from "../../src/discovery/registration.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);
type Service = typeof import("../fixtures/service.ts");

describe("lookup cache", () => {
  test("answers a million lookups of a present name with one request to the registrar", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const target = await nursery.startActor("target", { module: service });
    const asker = await nursery.startActor<Service>("asker", { module: service });
    const before = currentActor().stats().registrar!.requests;
    expect(await asker.run.query("target", 1_000_000)).toEqual({ [target.id.uuid]: 1_000_000 });
    expect(currentActor().stats().registrar!.requests - before).toBe(1);
    const { lookups } = (await asker.run.stats()) as { lookups: { requests: number; hits: number } };
    expect(lookups).toMatchObject({ requests: 1, hits: 999_999 });
  }, 60_000);

  test("sees an actor that starts, ends or is killed within a message's travel", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const asker = await nursery.startActor<Service>("asker", { module: service });
    const one = (): Promise<Record<string, number>> => asker.run.query("coming", 1);
    expect(await one()).toEqual({ none: 1 });
    const { requests } = currentActor().stats().registrar!;
    // each change is acknowledged to us before we ask, and the push left before the acknowledgement
    const first = await world.actor("coming");
    const uuid = await first.run(({ furrow }) => furrow.currentActor().uuid);
    expect(await one()).toEqual({ [uuid]: 1 });
    await first.run(async ({ furrow }) => furrow.currentActor().cancel());
    expect(await one()).toEqual({ none: 1 });
    const second = await world.actor("coming");
    const { actors } = currentActor().stats().registrar!;
    await second.kill();
    await until(() => currentActor().stats().registrar!.actors === actors - 1);
    expect(await one()).toEqual({ none: 1 });
    // and all of that without another request by this peer
    const { lookups } = (await asker.run.stats()) as { lookups: { requests: number; pushes: number } };
    expect(lookups).toMatchObject({ requests: 1, pushes: 4 });
    expect(currentActor().stats().registrar!.requests).toBe(requests);
  });

  test("keeps a miss as a miss, and counts it as a hit from then on", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const asker = await nursery.startActor<Service>("asker", { module: service });
    expect(await asker.run.query("nobody", 100)).toEqual({ none: 100 });
    const { lookups } = (await asker.run.stats()) as { lookups: object };
    expect(lookups).toEqual({ requests: 1, hits: 99, pushes: 0 });
  });

  test("answers findActor and waitForActor of a present name from memory too", async () => {
    await using world = new World();
    await world.actor("hub");
    await world.actor("target");
    const asker = await world.actor("asker");
    const stats = await asker.run(async ({ furrow }) => {
      for (let at = 0; at < 10; at++) {
        await using found = await furrow.findActor("target", { raiseOnNone: true });
        await using waited = await furrow.waitForActor("target");
        if (found.id.uuid !== waited.id.uuid) throw new Error("another actor");
      }
      return furrow.currentActor().stats().lookups;
    });
    expect(stats.requests).toBe(1);
  });

  test("gives an evicted name's interest back, and asks for that name again", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, limits: { maxCachedNames: 10 } });
    const asker = await nursery.startActor<Service>("asker", { module: service });
    for (let at = 0; at < 30; at++) await asker.run.query(`name${at}`, 1);
    const before = currentActor().stats().registrar!.pushes;
    // of 30 names the registrar pushes only those that are still cached
    for (const name of ["name0-other", "name29-other"])
      await nursery.startActor(name, { module: service }).then((portal) => portal.cancelActor());
    expect(currentActor().stats().registrar!.pushes - before).toBe(0);
    await using early = await nursery.startActor("name0", { module: service });
    await using late = await nursery.startActor("name29", { module: service });
    expect(currentActor().stats().registrar!.pushes - before).toBe(1);
    expect(await asker.run.query("name0", 1)).toEqual({ [early.id.uuid]: 1 });
    expect(await asker.run.query("name29", 1)).toEqual({ [late.id.uuid]: 1 });
  });

  test("is void the moment its registrar's connection ends", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "asker" });
    const target = await world.actor("target");
    expect((await queryActor("target")).id?.name).toBe("target");
    expect((await queryActor("target")).registry).toBeNull();
    await Promise.all([hub.kill(), target.kill()]);
    await until(() => actor.stats().peers === 0);
    // the name is gone with the table that knew it; whoever takes over is asked anew
    expect((await queryActor("target", { timeout: 5_000 })).id).toBeNull();
  });
});

describe("a registrar's pushes", () => {
  const addr = "tcp://127.0.0.1:1";
  const form = (uuid: string): string => writeBrief(uuid, 1, 1, hostId(), [addr]);

  test("are not lost when one follows the answer in the same chunk", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    hub.onLookup = (peer, [, id, name]) =>
      peer.send(
        [Kind.result, id, [form("first")]],
        [Kind.added, name, form("second")],
        [Kind.removed, name, "first", 3],
      );
    expect((await queryActor("busy")).id?.uuid).toBe("first");
    expect((await queryActor("busy")).id?.uuid).toBe("second");
    expect(actor.stats().lookups).toEqual({ requests: 1, hits: 1, pushes: 2 });
  });

  test("are no answer to a lookup of another name, and lookups of one name share a request", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    const asked: unknown[] = [];
    hub.onLookup = (peer, [, id, name]) => {
      asked.push(name);
      peer.send([Kind.added, "other", form("pushed")], [Kind.result, id, []]);
    };
    const found = await Promise.all(Array.from({ length: 10 }, () => queryActor("some")));
    expect(found.map(({ id }) => id)).toEqual(Array(10).fill(null));
    expect((await queryActor("other")).id).toBeNull();
    expect(asked).toEqual(["some", "other"]);
    expect(actor.stats().lookups.requests).toBe(2);
  });

  test("reach each interested peer that is still there, once", async () => {
    await using world = new World();
    await using registrar = await openRootActor(world.options);
    const { pushes } = registrar.stats().registrar!;
    await using stays = await RawPeer.connect(world.unix, { name: "stays" });
    {
      await using leaves = await RawPeer.connect(world.unix, { name: "leaves" });
      for (const peer of [stays, leaves]) {
        await peer.take(Kind.hello);
        peer.send([Kind.lookup, 1, "name", true], [Kind.lookup, 2, "name", true]);
        await peer.take(Kind.result);
        await peer.take(Kind.result);
      }
    }
    await until(() => registrar.stats().peers === 1);
    await using peer = await RawPeer.connect(world.unix, { name: "name", uuid: "u" });
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, [addr]], [Kind.register, 2, []], [Kind.unregister, 3]);
    const [, name, [uuid]] = (await stays.take(Kind.added)) as unknown as [number, string, unknown[]];
    expect([name, uuid]).toEqual(["name", "u"]);
    await stays.take(Kind.added);
    expect((await stays.take(Kind.removed)).slice(1, 3)).toEqual(["name", "u"]);
    expect(registrar.stats().registrar!.pushes - pushes).toBe(3);
    stays.send([Kind.forget, "name"]);
    stays.send([Kind.ping, 1]);
    await stays.take(Kind.pong);
    peer.send([Kind.register, 4, [addr]]);
    await peer.take(Kind.result);
    await peer.take(Kind.result);
    expect(registrar.stats().registrar!.pushes - pushes).toBe(3);
  });

  test("are sent before the change is acknowledged", async () => {
    await using world = new World();
    await using _registrar = await openRootActor(world.options);
    // one connection, so that the order is to be seen
    await using peer = await RawPeer.connect(world.unix, { name: "name" });
    await peer.take(Kind.hello);
    peer.send([Kind.lookup, 1, "name", true], [Kind.register, 2, []], [Kind.unregister, 3]);
    while (peer.received.length < 6) await peer.take();
    expect(
      peer.received.slice(1).map(([kind, id]) => (kind === Kind.result ? `result ${String(id)}` : kind)),
    ).toEqual(["result 1", Kind.added, "result 2", Kind.removed, "result 3"]);
  });
});

describe("NameCache", () => {
  const found = (uuid: string): FoundRegistration =>
    new PlainFound({ name: "n", uuid, pid: 1, host: "h" }, []);
  const install = (cache: NameCache, name: string, list: FoundRegistration[]): void =>
    cache.answer(cache.begin(name), list);
  const uuids = (cache: NameCache, name = "n"): string[] | undefined =>
    cache.get(name)?.map(({ id }) => id.uuid);

  test("applies changes in order and keeps the order of registration", () => {
    const cache = new NameCache(10, () => {});
    expect(cache.added("n", found("early"))).toBeFalse();
    expect(uuids(cache)).toBeUndefined();
    install(cache, "n", [found("a"), found("b")]);
    cache.added("n", found("c"));
    cache.removed("n", "b");
    cache.added("n", found("a"));
    expect(uuids(cache)).toEqual(["a", "c"]);
    cache.removed("n", "a");
    cache.removed("n", "c");
    expect(uuids(cache)).toEqual([]);
    cache.clear();
    expect(uuids(cache)).toBeUndefined();
  });

  test("keeps details that are kept current when a late answer comes without them", () => {
    const cache = new NameCache(10, () => {});
    const detailed = (uuid: string): DetailedFound =>
      new DetailedFound({ name: "n", uuid, pid: 1, host: "h" }, [], 1, noDetails);
    install(cache, "n", [found("a")]);
    const entry = cache.find("n")!;
    cache.answer(entry, [detailed("a"), detailed("b")]);
    cache.answer(entry, [found("a")]);
    expect(uuids(cache)).toEqual(["a", "b"]);
    cache.answer(entry, [detailed("b")]);
    expect(uuids(cache)).toEqual(["b"]);
    cache.removed("n", "b");
    cache.answer(entry, [found("c")]);
    expect(uuids(cache)).toEqual(["c"]);
    expect(cache.size).toBe(1);
  });

  test("never changes a list that a lookup holds", () => {
    const cache = new NameCache(10, () => {});
    install(cache, "n", [found("a")]);
    const held = cache.get("n");
    cache.added("n", found("b"));
    cache.removed("n", "a");
    expect(held?.map(({ id }) => id.uuid)).toEqual(["a"]);
  });

  test("evicts what was unused for longest, never a name with a waiter", () => {
    const evicted: string[] = [];
    const cache = new NameCache(3, (name) => evicted.push(name));
    for (const name of ["a", "b", "c"]) install(cache, name, []);
    cache.watch("a", () => {});
    install(cache, "d", []); // all were used: each loses its chance, and the oldest goes
    install(cache, "e", []); // c was not used since
    expect(evicted).toEqual(["b", "c"]);
    expect(cache.size).toBe(3);
  });

  test("keeps its limit, and does not search for room, when any number of names is asked for at once", () => {
    const evicted: string[] = [];
    const cache = new NameCache(10, (name) => evicted.push(name));
    // each of them looking at all others would take a minute, and this test's time with it
    const entries = Array.from({ length: 40_000 }, (_, index) => {
      const entry = cache.begin(`n${index}`);
      entry.asking = { promise: Promise.resolve([]), join() {} };
      return entry;
    });
    expect(cache.size).toBe(0);
    for (const entry of entries) {
      cache.answer(entry, []);
      entry.asking = undefined;
    }
    expect(cache.size).toBe(10);
    expect(evicted).toHaveLength(40_000 - 10);
  });

  test("keeps its limit while names are waited for, and looks at few of them for each that it evicts", () => {
    const evicted: string[] = [];
    const cache = new NameCache(100, (name) => evicted.push(name));
    const undo: (() => void)[] = [];
    // a search that passes over all of these each time takes minutes
    for (let n = 0; n < 40_000; n++) {
      install(cache, `waited${n}`, []);
      undo.push(cache.watch(`waited${n}`, () => {}));
    }
    expect(cache.size).toBe(40_000);
    for (let n = 0; n < 20_000; n++) install(cache, `other${n}`, []);
    // one more than is waited for: the last answer is there for who has asked
    expect(cache.size).toBe(40_001);
    for (const stop of undo) stop();
    expect(cache.size).toBe(100);
    expect(evicted).toHaveLength(60_000 - 100);
  });

  test("keeps a name with very many instances, each change of which concerns that one alone", () => {
    const cache = new NameCache(10, () => {});
    install(cache, "n", []);
    // a copy of the list for each would take minutes
    for (let n = 0; n < 50_000; n++) cache.added("n", found(`u${n}`));
    const held = cache.get("n")!;
    for (let n = 0; n < 50_000; n += 2) cache.removed("n", `u${n}`);
    cache.added("n", found("early"), "u1");
    expect([held.length, held[0]?.id.uuid]).toEqual([50_000, "u0"]);
    expect(uuids(cache)?.slice(0, 3)).toEqual(["early", "u1", "u3"]);
    expect([cache.get("n")?.length, cache.find("n")?.last?.id.uuid]).toEqual([25_001, "u49999"]);
    for (let n = 1; n < 50_000; n += 2) cache.removed("n", `u${n}`);
    cache.removed("n", "early");
    expect([cache.get("n"), cache.find("n")?.last]).toEqual([[], null]);
  });

  test("forgets a name that was asked for in vain, and keeps one that is asked for anew", () => {
    const cache = new NameCache(10, () => {});
    cache.giveUp("n", cache.begin("n"));
    expect(cache.find("n")).toBeUndefined();
    const entry = cache.begin("n");
    entry.asking = { promise: Promise.resolve([]), join() {} };
    cache.answer(entry, []); // a late one
    cache.drop("n");
    expect(cache.find("n")).toBe(entry);
    expect(cache.has("n")).toBeFalse();
    expect(cache.size).toBe(0);
  });

  test("wakes each watcher once, at the next change or at the end", () => {
    const cache = new NameCache(3, () => {});
    const woken: string[] = [];
    install(cache, "n", []);
    cache.watch("n", () => woken.push("first"));
    const stop = cache.watch("n", () => woken.push("stopped"));
    stop();
    cache.added("n", found("a"));
    cache.added("n", found("b"));
    cache.watch("n", () => woken.push("end"));
    cache.clear();
    cache.watch("n", () => woken.push("unknown name"));
    expect(woken).toEqual(["first", "end", "unknown name"]);
  });
});
