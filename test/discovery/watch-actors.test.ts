/** `watchActors`: what a watch reports, to whom, and how it ends. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import {
  type Actor,
  type ActorEvent,
  ActorNameError,
  AddressError,
  ContextCancelledError,
  currentActor,
  NoRuntimeError,
  openNursery,
  openRootActor,
  RegistryUnavailableError,
  watchActors,
} from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { Watching } from "../support/watching.ts";
import { until, World } from "../support/world.ts";

/** An actor that the test registers, changes and removes. */
class Extra implements AsyncDisposable {
  readonly name: string;
  readonly uuid: string = crypto.randomUUID();
  readonly #peer: RawPeer;
  #lastId = 1;

  private constructor(name: string, peer: RawPeer) {
    this.name = name;
    this.#peer = peer;
  }

  static async open(world: World, name: string): Promise<Extra> {
    const extra = new Extra(name, new RawPeer());
    await extra.#peer.dial(world.unix, { name, uuid: extra.uuid, addrs: ["tcp://127.0.0.1:1"] });
    await extra.#peer.take(Kind.hello);
    extra.#peer.send([Kind.register, 1, ["tcp://127.0.0.1:1"]]);
    await extra.#peer.take(Kind.result);
    return extra;
  }

  /** Changes its metadata that often, in one write, and waits until all is acknowledged. */
  async change(times = 1): Promise<void> {
    const ids = Array.from({ length: times }, () => ++this.#lastId);
    this.#peer.send(...ids.map((id) => [Kind.update, id, { n: id }] as const));
    for (const _ of ids) await this.#peer.take(Kind.result);
  }

  async unregister(): Promise<void> {
    this.#peer.send([Kind.unregister, ++this.#lastId]);
    await this.#peer.take(Kind.result);
  }

  async register(): Promise<void> {
    this.#peer.send([Kind.register, ++this.#lastId, ["tcp://127.0.0.1:1"]]);
    await this.#peer.take(Kind.result);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
  }
}

interface Place extends AsyncDisposable {
  readonly world: World;
  readonly actor: Actor;
  /** How many watches the registrar has. */
  watches(): Promise<number>;
}

/** This process as the registrar, or beside it. */
async function openPlace(isRegistrar: boolean): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(new World());
  const hub = isRegistrar ? undefined : await world.actor("hub");
  const actor = stack.use(await openRootActor({ ...world.options, name: "watcher" }));
  const watches = async (): Promise<number> =>
    (await hub?.run(async () => {
      const { currentRuntime: runtime } = await import("../../src/actor/current.ts");
      const { Registrars: All } = await import("../../src/discovery/registrars.ts");
      return All.of(runtime()).service!.watching.size;
    })) ?? Registrars.of(currentRuntime()).service!.watching.size;
  const moved = stack.move();
  return { world, actor, watches, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

const places = [
  ["in the registrar itself", true],
  ["in another actor", false],
] as const;

describe.each(places)("watchActors %s", (_, isRegistrar) => {
  test("begins with the whole state, then reports each change in the order of revisions, none left out", async () => {
    await using place = await openPlace(isRegistrar);
    await using first = await Extra.open(place.world, "m1");
    const watching = new Watching(watchActors("m*"));
    expect(await watching.take(1)).toEqual(["sync m1"]);
    await first.change();
    await using second = await Extra.open(place.world, "m2");
    await second.change();
    await first[Symbol.asyncDispose]();
    expect(await watching.take(4)).toEqual(["changed m1", "up m2", "changed m2", "down m1"]);
    const [sync, ...changes] = watching.events as [ActorEvent & { type: "sync" }, ...ActorEvent[]];
    const revisions = changes.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.map((_one, at) => sync.revision + 1 + at));
    expect(sync.actors).toEqual([
      {
        id: { name: "m1", uuid: first.uuid, pid: process.pid, host: place.actor.id.host },
        addrs: ["tcp://127.0.0.1:1"],
        revision: sync.revision,
        version: null,
        metadata: {},
        parent: null,
        startedAt: 0,
        functions: [],
        state: "ready",
      },
    ]);
    expect(changes.map((event) => ("actor" in event ? event.actor.revision : 0))).toEqual(revisions);
    expect(changes.map((event) => ("actor" in event ? event.actor.metadata : {}))).toEqual([
      { n: 2 },
      {},
      { n: 2 },
      { n: 2 },
    ]);
    await watching.stop();
  });

  test("leaves nothing out for a reader that keeps up, though hundreds of changes come at once", async () => {
    await using place = await openPlace(isRegistrar);
    await using extra = await Extra.open(place.world, "m");
    const watching = new Watching(watchActors("m"));
    await watching.take(1);
    await extra.change(500);
    await extra.change(500);
    const changes = await watching.take(1_000);
    expect(new Set(changes)).toEqual(new Set(["changed m"]));
    const revisions = watching.events.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.map((_one, at) => revisions[0]! + at));
    await watching.stop();
  });

  test("gives a reader that is slow the latest state of each actor, and no more than an event for each", async () => {
    await using place = await openPlace(isRegistrar);
    await using a = await Extra.open(place.world, "a");
    await using b = await Extra.open(place.world, "b");
    const events = watchActors("*");
    expect((await events.next()).value.type).toBe("sync");
    for (let round = 0; round < 20; round++) {
      await a.change(10);
      await b.change(10);
      await using _passing = await Extra.open(place.world, "passing");
    }
    await using _c = await Extra.open(place.world, "c");
    await b.change();
    // all that the registrar has acknowledged has been pushed before: let it arrive
    const other = new Watching(watchActors("c"));
    await other.take(1);
    await other.stop();
    const left: ActorEvent[] = [];
    for (let n = 0; n < 3; n++) left.push((await events.next()).value);
    expect(left.map((event) => "actor" in event && [event.type, event.actor.id.name])).toEqual([
      ["changed", "a"],
      ["up", "c"],
      ["changed", "b"],
    ]);
    expect(left.map((event) => ("actor" in event ? event.actor.metadata : {}))).toEqual([
      { n: 201 },
      {},
      { n: 202 },
    ]);
    // nothing else is left
    const next = events.next();
    await b[Symbol.asyncDispose]();
    expect((await next).value).toMatchObject({ type: "down", actor: { id: { name: "b" } } });
    await events.return?.();
  });

  test("watches one name, names with a beginning, or all", async () => {
    await using place = await openPlace(isRegistrar);
    await using _market = await Extra.open(place.world, "market");
    const watches = ["market", "market*", "mark*", "*", "nobody*"].map(
      (pattern) => new Watching(watchActors(pattern)),
    );
    const rest = isRegistrar ? "market watcher" : "hub market watcher";
    const first = await Promise.all(watches.map((watching) => watching.take(1)));
    expect(first.flat()).toEqual(["sync market", "sync market", "sync market", `sync ${rest}`, "sync"]);
    await using _marketplace = await Extra.open(place.world, "marketplace");
    await using _other = await Extra.open(place.world, "other");
    await using _last = await Extra.open(place.world, "market");
    expect(await watches[3]!.take(3)).toEqual(["up marketplace", "up other", "up market"]);
    expect(await watches[1]!.take(2)).toEqual(["up marketplace", "up market"]);
    expect(await watches[2]!.take(2)).toEqual(["up marketplace", "up market"]);
    expect(await watches[0]!.take(1)).toEqual(["up market"]);
    expect(watches.map(({ rest: left }) => left)).toEqual([[], [], [], [], []]);
    await Promise.all(watches.map((watching) => watching.stop()));
  });

  test("reports an actor that registers again under its uuid as gone and up, and with other details as changed", async () => {
    await using place = await openPlace(isRegistrar);
    await using extra = await Extra.open(place.world, "m");
    const watching = new Watching(watchActors("m"));
    expect(await watching.take(1)).toEqual(["sync m"]);
    await extra.unregister();
    await extra.register();
    await extra.register();
    expect(await watching.take(3)).toEqual(["down m", "up m", "changed m"]);
    await watching.stop();
  });

  test("reports a process that is started again as gone, and as up under a new uuid", async () => {
    await using _place = await openPlace(isRegistrar);
    await using nursery = await openNursery();
    const watching = new Watching(watchActors("child"));
    expect(await watching.take(1)).toEqual(["sync"]);
    const module = new URL("../fixtures/modules.ts", import.meta.url);
    const child = await nursery.startActor("child", { module, restart: "on-failure" });
    process.kill(child.id.pid, "SIGKILL");
    expect(await watching.take(3)).toEqual(["up child", "down child", "up child"]);
    const uuids = watching.events.map((event) => ("actor" in event ? event.actor.id.uuid : ""));
    expect(uuids.slice(1, 3)).toEqual([child.id.uuid, child.id.uuid]);
    expect(uuids[3]).not.toBe(child.id.uuid);
    await watching.stop();
  });

  test("gives the interest back when its loop is left, and only the last reader of a pattern does", async () => {
    await using place = await openPlace(isRegistrar);
    const counts: number[] = [];
    await using _extra = await Extra.open(place.world, "m");
    for await (const _sync of watchActors("m")) {
      for await (const _other of watchActors("m")) {
        counts.push(await place.watches());
        break;
      }
      counts.push(await place.watches());
      break;
    }
    await until(async () => (await place.watches()) === 0);
    // in the registrar each reads the table, elsewhere they share what the registrar sends
    expect(counts).toEqual(isRegistrar ? [2, 1] : [1, 1]);
  });

  test("gives the interest back when it was never read, or ended before its first event", async () => {
    await using place = await openPlace(isRegistrar);
    const unread = watchActors("m");
    expect(await unread.return?.()).toEqual({ done: true, value: undefined });
    expect(await unread.next()).toEqual({ done: true, value: undefined });
    const early = watchActors("m");
    const first = early.next();
    await early.return?.();
    expect(await first).toEqual({ done: true, value: undefined });
    expect(await place.watches()).toBe(0);
  });

  test("rejects with the signal's reason: before it began, while it waits, and with events unread", async () => {
    await using place = await openPlace(isRegistrar);
    await using extra = await Extra.open(place.world, "m");
    const reason = new Error("enough");
    const aborted = watchActors("m", { signal: AbortSignal.abort(reason) });
    expect(await failure(aborted.next())).toBe(reason);
    expect(await aborted.next()).toEqual({ done: true, value: undefined });
    const abort = new AbortController();
    const { signal } = abort;
    const waiting = new Watching(watchActors("m", { signal }));
    const unread = watchActors("m", { signal });
    await unread.next();
    await waiting.take(1);
    await extra.change();
    await waiting.take(1);
    abort.abort(reason);
    expect(await waiting.ended).toBe(reason);
    expect(await failure(unread.next())).toBe(reason);
    expect(await unread.next()).toEqual({ done: true, value: undefined });
    await until(async () => (await place.watches()) === 0);
  });

  test("ends with this actor, and says why", async () => {
    const place = await openPlace(isRegistrar);
    const watching = new Watching(watchActors("*"));
    await watching.take(1);
    const late = watchActors("*");
    await using _ = place;
    await place.actor.cancel();
    const error = await watching.ended;
    expect(error).toBeInstanceOf(ContextCancelledError);
    expect(error?.message).toContain("the actor was cancelled");
    expect(await failure(late.next())).toBe(error!);
  });

  test("answers several that wait at once in order", async () => {
    await using place = await openPlace(isRegistrar);
    const events = watchActors("m*");
    const three = [events.next(), events.next(), events.next()];
    await three[0];
    await using _a = await Extra.open(place.world, "m1");
    await using _b = await Extra.open(place.world, "m2");
    const types = (await Promise.all(three)).map(({ value }) => (value as ActorEvent).type);
    expect(types).toEqual(["sync", "up", "up"]);
    const last = [events.next(), events.next()];
    await events.return?.();
    expect(await Promise.all(last)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
  });
});

describe("watchActors", () => {
  test.each([["a*b"], [""], ["*a"], ["a\n*"]])("throws at once for the pattern %j", async (pattern) => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    expect(() => watchActors(pattern)).toThrow(ActorNameError);
    expect(() => watchActors(pattern)).toThrow('("market*", or "*" for all)');
  });

  test("throws at once without an actor, and for an address that is none", async () => {
    expect(() => watchActors("m")).toThrow(NoRuntimeError);
    await using world = new World();
    await using _ = await openRootActor(world.options);
    expect(() => watchActors("m", { registryAddr: "nowhere" as "/nowhere" })).toThrow(AddressError);
  });

  test("ends with the task in which it was opened", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = new URL("../fixtures/watchers.ts", import.meta.url);
    type Watchers = typeof import("../fixtures/watchers.ts");
    const watcher = await nursery.startActor<Watchers>("watcher", { module });
    const { watching } = Registrars.of(currentRuntime()).service!;
    const abort = new AbortController();
    const seen = watcher.with({ signal: abort.signal }).run.watchForEver("w*");
    await until(() => watching.size === 1);
    abort.abort(new Error("enough"));
    expect((await failure(seen)).message).toBe("enough");
    await until(() => watching.size === 0);
  });

  test("reads the registry at an address, and fails where there is none to begin with", async () => {
    await using world = new World();
    await using other = new World();
    await other.actor("theirs");
    await using _ = await openRootActor({ ...world.options, name: "ours" });
    const [own, theirs] = [world, other].map(
      ({ unix }) => new Watching(watchActors("*", { registryAddr: unix })),
    );
    expect([await own!.take(1), await theirs!.take(1)]).toEqual([["sync ours"], ["sync theirs"]]);
    await using _extra = await Extra.open(other, "extra");
    expect(await theirs!.take(1)).toEqual(["up extra"]);
    const peers = (): number => currentActor().stats().peers;
    expect(peers()).toBe(1);
    await using nowhere = new World();
    const error = await failure(watchActors("*", { registryAddr: nowhere.unix }).next());
    expect(error).toBeInstanceOf(RegistryUnavailableError);
    expect(error.message).toContain(`no registrar answers at ${nowhere.unix}`);
    await Promise.all([own!.stop(), theirs!.stop()]);
    await until(() => peers() === 0);
  });

  test("syncs once with the next registrar at an address whose registrar is gone", async () => {
    await using world = new World();
    await using other = new World();
    const first = await other.actor("first");
    await using _ = await openRootActor(world.options);
    const watching = new Watching(watchActors("*", { registryAddr: other.unix }));
    expect(await watching.take(1)).toEqual(["sync first"]);
    await first.kill();
    await other.actor("second");
    expect(await watching.take(1)).toEqual(["sync second"]);
    await using _extra = await Extra.open(other, "extra");
    expect(await watching.take(1)).toEqual(["up extra"]);
    await watching.stop();
  });
});
