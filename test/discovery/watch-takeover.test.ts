/** What a watch makes of registrars that are lost, come back, step down, or are several. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import { openRootActor, watchActors } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { type RawMessage, type RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { inFull } from "../support/soak.ts";
import { Watching } from "../support/watching.ts";
import { type Program, until, World } from "../support/world.ts";

const module = new URL("../fixtures/modules.ts", import.meta.url).href;

/** A registration as a registrar sends it; the name is its uuid, too. */
function entry(name: string, revision: number): [name: string, registration: unknown[]] {
  return [name, [name, 1, "host", [], revision, []]];
}

function state(id: unknown, revision: number, ...names: string[]): RawMessage {
  return [Kind.result, id, [revision, names.map((name) => entry(name, revision))]];
}

function change(id: unknown, type: number, name: string, revision: number): RawMessage {
  return [Kind.change, id, type, ...entry(name, revision)];
}

describe("a watch", () => {
  test("says nothing while its registrar is gone, and syncs once when one has answered, though late", async () => {
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    const asked: [peer: RawPeer, id: unknown][] = [];
    hub.onWatch = (peer, [kind, id]) => kind === Kind.watch && asked.push([peer, id]);
    const watching = new Watching(watchActors("m*"));
    await until(() => asked.length === 1);
    const [[peer, id]] = asked as [[RawPeer, unknown]];
    peer.send(state(id, 5, "m1", "m2"), change(id, 2, "m1", 6));
    expect(await watching.take(2)).toEqual(["sync m1 m2", "down m1"]);
    hub.cut();
    await until(() => asked.length === 2);
    // lost again before it has answered, as one that is held back
    hub.cut();
    await until(() => asked.length === 3);
    expect(watching.rest).toEqual([]);
    const [again, next] = asked[2]!;
    again.send(state(next, 3, "m2", "m3"), change(next, 1, "m2", 4));
    expect(await watching.take(2)).toEqual(["sync m2 m3", "changed m2"]);
    expect(watching.rest).toEqual([]);
    await watching.stop();
  });

  test("asks once for all who watch the same, and gives it back after the last", async () => {
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    const passed: RawMessage[] = [];
    hub.onWatch = (peer, message) => {
      passed.push(message);
      if (message[0] === Kind.watch) peer.send(state(message[1], 1, "m"));
    };
    const several = [1, 2, 3].map(() => new Watching(watchActors("m")));
    for (const watching of several) expect(await watching.take(1)).toEqual(["sync m"]);
    // also for one that comes when the state is known
    const late = new Watching(watchActors("m"));
    expect(await late.take(1)).toEqual(["sync m"]);
    expect(passed.map(([kind]) => kind)).toEqual([Kind.watch]);
    for (const watching of [late, ...several]) await watching.stop();
    await until(() => passed.length === 2);
    expect(passed[1]).toEqual([Kind.unwatch, passed[0]![1]]);
    // the next is a watch of its own, and what comes for the one before is not for it
    const other = new Watching(watchActors("m"));
    expect(await other.take(1)).toEqual(["sync m"]);
    hub.peers.at(-1)!.send(change(passed[0]![1], 0, "old", 7), change(passed[2]![1], 0, "new", 8));
    expect(await other.take(1)).toEqual(["up new"]);
    await other.stop();
  });

  test("syncs anew when its registrar has left changes out", async () => {
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    const watched = Promise.withResolvers<[RawPeer, unknown]>();
    hub.onWatch = (peer, [, id]) => watched.resolve([peer, id]);
    const watching = new Watching(watchActors("m*"));
    const [peer, id] = await watched.promise;
    peer.send(state(id, 1, "m1"));
    expect(await watching.take(1)).toEqual(["sync m1"]);
    peer.send([Kind.resync, id, 9, [entry("m2", 7)]]);
    expect(await watching.take(1)).toEqual(["sync m2"]);
    peer.send(
      change(id, 0, "m3", 10),
      // of one that it doesn't know, and of one that it knows
      change(id, 2, "m1", 11),
      change(id, 0, "m2", 12),
    );
    expect(await watching.take(2)).toEqual(["up m3", "changed m2"]);
    expect(watching.events.map(({ revision }) => revision)).toEqual([1, 9, 10, 12]);
    await watching.stop();
  });

  test("reports a state that its reader has yet to read as it is when it is read", async () => {
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    hub.onWatch = (peer, [, id, pattern]) => {
      peer.send(state(id, 1, "m1"));
      if (pattern !== "m*") return;
      peer.send([Kind.resync, id, 5, [entry("m2", 5)]], change(id, 0, "m3", 6), change(id, 2, "m2", 7));
    };
    const slow = watchActors("m*");
    expect((await slow.next()).value).toMatchObject({ type: "sync", revision: 1 });
    // all of the above has come by the time that a later question is answered
    const later = watchActors("x");
    await later.next();
    await later.return?.();
    const { value } = await slow.next();
    expect(value).toMatchObject({ type: "sync", revision: 7, actors: [{ id: { name: "m3" } }] });
    await slow.return?.();
  });

  test("ends with the failure that its registrar ends it with", async () => {
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    const failure = [[], ["LimitError", "frame of 9 B exceeds maxFrameBytes 8", "", null, null, null]];
    hub.onWatch = (peer, [kind, id]) =>
      kind === Kind.watch && peer.send(state(id, 1, "m"), [Kind.resync, id, 2, [], failure]);
    const watching = new Watching(watchActors("m"));
    expect((await watching.ended)?.message).toBe("frame of 9 B exceeds maxFrameBytes 8");
  });

  test.each<[string, unknown]>([
    ["nothing", null],
    ["no list", [1, null]],
    ["no revision", ["1", []]],
    ["an entry without a name", [1, [[1, []]]]],
    ["a registration without details", [1, [["m", ["m", 1, "host", [], 1]]]]],
  ])("closes the connection to a registrar whose state is malformed: %s", async (_, value) => {
    await using hub = new RawRegistrar();
    await using _actor = await openRootActor({ registryAddrs: [hub.addr] });
    hub.onWatch = (peer, [, id]) => peer.send([Kind.result, id, value]);
    const watching = new Watching(watchActors("m"));
    expect((await watching.ended)?.name).toBe("FrameError");
    await hub.peers[1]!.ended;
  });

  test("goes on with the next when its registrar steps down, whether it had answered or not", async () => {
    await using hub = new RawRegistrar();
    await using _ = await openRootActor({ registryAddrs: [hub.addr] });
    const asked: string[] = [];
    hub.onWatch = (peer, [kind, id, pattern]) => {
      if (kind !== Kind.watch) return;
      const times = asked.filter((one) => one === pattern).length;
      asked.push(String(pattern));
      if (times > 0) return peer.send(state(id, 2, "next"));
      if (pattern === "n*") return peer.send(state(id, 1, "first"));
      const error = ["RegistryUnavailableError", "not the registrar", "", null, null, null];
      peer.send([Kind.error, id, [[], error]], [Kind.retired]);
    };
    const answered = new Watching(watchActors("n*"));
    expect(await answered.take(1)).toEqual(["sync first"]);
    const pending = new Watching(watchActors("x*"));
    expect(await pending.take(1)).toEqual(["sync next"]);
    expect(await answered.take(1)).toEqual(["sync next"]);
    await Promise.all([answered.stop(), pending.stop()]);
  });

  test("goes on with the next at an address when the registrar there steps down", async () => {
    await using hub = new RawRegistrar();
    await using world = new World();
    await using _ = await openRootActor(world.options);
    let asked = 0;
    const left = Promise.withResolvers<void>();
    hub.onWatch = (peer, [kind, id]) => {
      if (kind === Kind.unwatch) return left.resolve();
      asked++;
      peer.send(state(id, asked, `state-${asked}`));
      if (asked === 1) peer.send([Kind.retired]);
    };
    const watching = new Watching(watchActors("*", { registryAddr: hub.addr }));
    expect(await watching.take(1)).toEqual(["sync state-1"]);
    await left.promise;
    // it is the registrar again for those that connect anew
    hub.cut();
    expect(await watching.take(1)).toEqual(["sync state-2"]);
    await watching.stop();
  });

  test("follows this actor into office and out of it", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "next" });
    const watching = new Watching(watchActors("*"));
    expect(await watching.take(1)).toEqual(["sync hub next"]);
    await hub.kill();
    expect(await watching.take(1)).toEqual(["sync next"]);
    expect(actor.isRegistrar).toBeTrue();
    const other = await world.actor("other");
    expect(await watching.take(1)).toEqual(["up other"]);
    // as if another had bound its addresses
    Registrars.of(currentRuntime()).unserve();
    await other.run(async ({ furrow }) => furrow.currentActor().cancel());
    expect(watching.rest).toEqual([]);
    await watching.stop();
  });
});

describe("a watch at several registrars", () => {
  test("reports an actor once, and as gone when it is gone from all; a lost registrar takes nothing along", async () => {
    await using one = new World();
    await using two = new World();
    const hubs = [await one.actor("hub-one"), await two.actor("hub-two")] as const;
    const registryAddrs = [one.unix, two.unix];
    // three times this is how long what only a lost registrar knew stays
    const limits = { probeTimeoutMs: 300 };
    await using _ = await openRootActor({ name: "watcher", registryAddrs, limits });
    const watching = new Watching(watchActors("*"));
    expect(await watching.take(1)).toEqual(["sync hub-one hub-two watcher"]);
    const extra = await two.program();
    await extra.run(async ({ furrow, keep, args: [addrs] }) => {
      keep["actor"] = await furrow.openRootActor({ name: "m", registryAddrs: addrs as `/${string}`[] });
    }, registryAddrs);
    expect(await watching.take(1)).toEqual(["up m"]);
    await extra.run(({ furrow }) => furrow.currentActor().setMetadata({ load: 1 }));
    expect(await watching.take(1)).toEqual(["changed m"]);
    await hubs[0].kill();
    // its place is taken, and those that are left register there
    const [lost] = await watching.take(1);
    expect(lost).toBe("sync hub-two m watcher");
    await extra.kill();
    expect(await watching.take(1)).toEqual(["down m"]);
    expect(watching.rest).toEqual([]);
    await watching.stop();
  });
});

/** Starts a root with children, and a watch of everything in its program. */
async function populate(program: Program, name: string, children: number): Promise<void> {
  await program.run(
    async ({ furrow, keep, args: [root, count, from] }) => {
      const nursery = await furrow.openNursery({ name: root as string });
      keep["nursery"] = nursery;
      for (let n = 0; n < (count as number); n++)
        await nursery.startActor(`${root as string}-${n}`, { module: from as string });
      const events: unknown[] = [];
      keep["events"] = events;
      void (async () => {
        for await (const event of furrow.watchActors("*"))
          events.push(
            event.type === "sync"
              ? { type: event.type, uuids: event.actors.map(({ id }) => id.uuid) }
              : { type: event.type, uuids: [event.actor.id.uuid] },
          );
      })();
    },
    name,
    children,
    module,
  );
}

interface Seen {
  readonly type: string;
  readonly uuids: readonly string[];
}

async function eventsOf(program: Program): Promise<Seen[]> {
  return (await program.run(({ keep }) => keep["events"])) as Seen[];
}

describe("a registrar that is killed", () => {
  test("costs every watcher one sync, with all that live, and not one of them is reported gone", async () => {
    const [others, children] = inFull ? [9, 9] : [4, 2];
    const actors = (1 + others) * (1 + children);
    await using world = new World();
    const hub = await world.program();
    await populate(hub, "hub", children);
    const programs = await Promise.all(Array.from({ length: others }, () => world.program()));
    for (const [at, program] of programs.entries()) await populate(program, `p${at}`, children);
    const listed = async (program: Program): Promise<{ name: string; uuid: string }[]> =>
      await program.run(async ({ furrow }) => {
        const actors = await (await furrow.getRegistry()).run.listActors();
        return actors.map(({ id: { name, uuid } }) => ({ name, uuid }));
      });
    const before = await listed(programs[0]!);
    expect(before).toHaveLength(actors);
    const living = before.filter(({ name }) => !name.startsWith("hub")).map(({ uuid }) => uuid);
    const known = async (program: Program): Promise<boolean> => {
      const up = new Set<string>();
      for (const { type, uuids } of await eventsOf(program))
        for (const uuid of uuids) if (type !== "down") up.add(uuid);
      return before.every(({ uuid }) => up.has(uuid));
    };
    for (const program of programs) await until(async () => await known(program));
    const counts = await Promise.all(programs.map(async (program) => (await eventsOf(program)).length));
    hub.signal("SIGKILL");
    for (const [at, program] of programs.entries())
      await until(async () => (await eventsOf(program)).length > counts[at]!, 10_000);
    // one that comes now is seen by all: whatever else the takeover brings has come before
    await world.actor("last");
    for (const [at, program] of programs.entries()) {
      await until(async () => (await eventsOf(program)).at(-1)?.type === "up");
      const after = (await eventsOf(program)).slice(counts[at]);
      expect(after.filter(({ type }) => type === "sync")).toHaveLength(1);
      expect(after[0]?.type).toBe("sync");
      expect(living.filter((uuid) => !after[0]?.uuids.includes(uuid))).toEqual([]);
      const gone = after.filter(({ type }) => type === "down").flatMap(({ uuids }) => uuids);
      expect(living.filter((uuid) => gone.includes(uuid))).toEqual([]);
    }
    console.log(`a registrar killed among ${actors} actors in ${1 + others} programs`);
  }, 120_000);
});
