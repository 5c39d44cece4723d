/** Which instance of a name `findActor` takes: `pick`, `where` and `needs`. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";

import { writeBrief } from "../../src/discovery/brief.ts";
import { currentRuntime } from "../../src/actor/current.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import {
  ActorNotFoundError,
  currentActor,
  findActor,
  type FindOptions,
  getRegistry,
  NotExposedError,
  openNursery,
  openRootActor,
  type Portal,
} from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { kinds, openScene } from "../support/scene.ts";
import { freePort, until, World } from "../support/world.ts";

const described = new URL("../fixtures/described.ts", import.meta.url).href;
type Described = typeof import("../fixtures/described.ts");

/** Starts programs of one name, each with its metadata; returns their uuids in the order of registration. */
async function instances(
  world: World,
  name: string,
  all: readonly Record<string, unknown>[],
): Promise<string[]> {
  const uuids: string[] = [];
  for (const metadata of all) {
    const program = await world.actor(name, { metadata, enableModules: [described] });
    uuids.push(await program.run(({ furrow }) => furrow.currentActor().uuid));
  }
  return uuids;
}

interface Member extends AsyncDisposable {
  readonly world: World;
}

/** This process as an actor, in a registry that another process keeps. */
async function openMember(): Promise<Member> {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(new World());
  await world.actor("hub");
  stack.use(await openRootActor(world.options));
  const moved = stack.move();
  return { world, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/** The uuid that a lookup finds. */
async function found(name: string, options: FindOptions & { onlyFirst?: true }): Promise<string | undefined> {
  await using portal = await findActor(name, options);
  return portal?.id.uuid;
}

describe("pick", () => {
  let member: Member;
  let uuids: string[];
  beforeAll(async () => {
    member = await openMember();
    uuids = await instances(member.world, "w", [{}, {}, {}]);
  });
  afterAll(() => member[Symbol.asyncDispose]());

  test("takes the last or the first that registered", async () => {
    const [first, , last] = uuids;
    // not the one that is connected by chance
    expect(await found("w", { pick: "first" })).toBe(first);
    expect(await found("w", { pick: "last" })).toBe(last);
    expect(await found("w", {})).toBe(last);
    expect(await found("w", { pick: "first" })).toBe(first);
  });

  test("at random takes each of them now and then", async () => {
    const seen = new Set<string | undefined>();
    await until(async () => seen.add(await found("w", { pick: "random" })).size === uuids.length);
    expect(seen).toEqual(new Set(uuids));
  });

  test("takes the one with the fewest calls in flight from this process, among equals any", async () => {
    await using all = await findActor<Described>("w", { onlyFirst: false });
    const busy = all.filter(({ id }) => id.uuid !== uuids[1]);
    const hanging = new AbortController();
    const calls = busy.map((portal) => portal.with({ signal: hanging.signal }).run.hang());
    for (let made = 0; made < 5; made++) expect(await found("w", { pick: "least-busy" })).toBe(uuids[1]);
    hanging.abort(new Error("enough"));
    await Promise.allSettled(calls);
    const seen = new Set<string | undefined>();
    await until(async () => seen.add(await found("w", { pick: "least-busy" })).size === uuids.length);
  });
});

describe("an instance that can't be reached", () => {
  test("is passed over for the next in the order of the pick", async () => {
    await using member = await openMember();
    const { world } = member;
    await using _dead = await RawPeer.register(world.unix, {
      name: "w",
      uuid: "dead",
      addrs: [`tcp://127.0.0.1:${freePort()}`],
    });
    const [second] = await instances(world, "w", [{}, {}]);
    expect(await found("w", { pick: "first" })).toBe(second);
  });
});

describe("where and needs", () => {
  test("leave out instances whose metadata doesn't have each key with an equal value", async () => {
    await using member = await openMember();
    const { world } = member;
    const [eu, eu2, us] = await instances(world, "w", [
      { zone: "eu", size: 1 },
      { zone: "eu", size: 2, canary: true },
      { zone: "us", size: 1 },
    ]);
    const where = (metadata: Record<string, string | number | boolean>): Promise<string | undefined> =>
      found("w", { where: metadata });
    expect(await where({ zone: "eu" })).toBe(eu2);
    expect(await found("w", { where: { zone: "eu" }, pick: "first" })).toBe(eu);
    expect(await where({ zone: "eu", size: 1 })).toBe(eu);
    expect(await where({ size: 1 })).toBe(us);
    expect(await where({})).toBe(us);
    for (const none of [{ zone: "asia" }, { size: "1" }, { canary: false }, { toString: true }])
      expect(await where(none)).toBeUndefined();
    await using group = await findActor("w", { where: { zone: "eu" }, onlyFirst: false });
    expect(group.map(({ id }) => id.uuid)).toEqual([eu!, eu2!]);
    expect(await findActor("w", { where: { zone: "asia" }, onlyFirst: false })).toHaveLength(0);
  });

  test("leave out instances that lack a function, and say which it is", async () => {
    await using member = await openMember();
    const { world } = member;
    await world.actor("w");
    const [able] = await instances(world, "w", [{ zone: "eu" }]);
    await world.actor("w");
    expect(await found("w", { needs: ["greet", "count"] })).toBe(able);
    expect(await found("w", { needs: [] })).not.toBe(able!);
    expect(await found("w", { needs: ["greet", "fly"] })).toBeUndefined();
    const error = await failure(
      findActor("w", { needs: ["greet", "fly", "swim"], where: { zone: "us" }, raiseOnNone: true }),
    );
    expect(error).toBeInstanceOf(ActorNotFoundError);
    expect(error.message).toContain('no live actor named "w" that fits');
    const { errors } = error.cause as AggregateError;
    expect(errors.map(({ name, message }: Error) => [name, message.replace(/#\w+/, "#?")])).toEqual([
      ["NotExposedError", 'w#? exposes no function "greet", "fly", "swim"'],
      ["NotExposedError", 'w#? exposes no function "fly", "swim"'],
      ["NotExposedError", 'w#? exposes no function "greet", "fly", "swim"'],
    ]);
    const other = await failure(
      findActor("w", { needs: ["greet"], where: { zone: "us" }, raiseOnNone: true }),
    );
    const because = (other.cause as AggregateError).errors.map(({ message }: Error) => message);
    expect(because[1]).toMatch(/^the metadata "zone" of w#\w+ is "eu", not "us"$/);
    expect(because[0]).toMatch(/^w#\w+ exposes no function "greet"$/);
    // a name that nobody has lacks nothing
    const none = await failure(findActor("nobody", { needs: ["greet"], raiseOnNone: true }));
    expect([none.message, none.cause]).toEqual(['no live actor named "nobody" that fits', undefined]);
  });

  test("are answered from the cache, which the registrar's pushes keep current", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, name: "hub" });
    const start = (zone: string): Promise<Portal<Described>> =>
      nursery.startActor<Described>("w", { module: described, metadata: { zone } });
    const eu = await start("eu");
    const asker = await nursery.startActor<Described>("asker", { module: described });
    const zone = (wanted: string): Promise<string | null> => asker.run.find("w", { where: { zone: wanted } });
    expect(await asker.run.find("w", {})).toBe(eu.id.uuid);
    expect((await asker.run.lookups()).requests).toBe(1);
    // known without the details, which are asked for once
    expect(await zone("eu")).toBe(eu.id.uuid);
    expect(await zone("us")).toBeNull();
    expect((await asker.run.lookups()).requests).toBe(2);
    const us = await start("us");
    expect(await zone("us")).toBe(us.id.uuid);
    await us.run.setMetadata({ zone: "eu" });
    expect(await zone("us")).toBeNull();
    expect(await zone("eu")).toBe(us.id.uuid);
    await us.run.setMetadata({ zone: "asia" });
    expect(await zone("eu")).toBe(eu.id.uuid);
    expect(await asker.run.find("w", {})).toBe(us.id.uuid);
    await us.cancelActor();
    expect(await zone("asia")).toBeNull();
    expect(await asker.run.lookups()).toEqual({ requests: 2, hits: 7, pushes: 4 });
  });

  test("share one request, with each other and with lookups that don't need the details", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    const asked: unknown[][] = [];
    hub.onLookup = (peer, message) => {
      asked.push(message.slice(2));
      const brief = writeBrief("u", 1, 1, hostId(), []);
      peer.send([
        Kind.result,
        message[1],
        [
          message[4] === true
            ? ["u", 1, hostId(), [], 1, [null, { zone: "eu" }, null, 0, [], "ready"]]
            : brief,
        ],
      ]);
    };
    const where = { zone: "us" };
    const finds = [{ where }, { where }, {}, { where, onlyFirst: false }, { pick: "first" }] as const;
    await Promise.allSettled(finds.map((options) => findActor("w", options)));
    expect(asked).toEqual([["w", true, true]]);
    await Promise.allSettled(finds.toReversed().map((options) => findActor("v", options)));
    expect(asked.slice(1)).toEqual([
      ["v", true],
      ["v", true, true],
    ]);
    expect(actor.stats().lookups.requests).toBe(3);
  });

  test("keep a name in the cache while its details are asked for", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr], limits: { maxCachedNames: 1 } });
    const held = Promise.withResolvers<() => void>();
    hub.onLookup = (peer, [, id, name, , detailed]) => {
      const answer = (): void => peer.send([Kind.result, id, []]);
      if (detailed === true) held.resolve(answer);
      else peer.send([Kind.result, id, name === "v" ? writeBrief("u", 1, 1, hostId(), []) : []]);
    };
    const where = { zone: "eu" };
    const finds = [findActor("v"), findActor("v", { where })];
    const answer = await held.promise;
    await finds[0];
    // there is room for one name
    await findActor("x");
    answer();
    await finds[1];
    await findActor("v", { where });
    expect(actor.stats().lookups.requests).toBe(3);
  });

  test("work in the registrar itself, as its table changes", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, metadata: { zone: "eu" } });
    const child = await nursery.startActor<Described>("w", { module: described, metadata: { zone: "eu" } });
    expect(await found("w", { where: { zone: "eu" }, needs: ["greet"] })).toBe(child.id.uuid);
    // nor by the connection to the child
    expect(await found("w", { where: { zone: "us" } })).toBeUndefined();
    await child.run.setMetadata({ zone: "us" });
    expect(await found("w", { where: { zone: "us" } })).toBe(child.id.uuid);
    expect(await found("root", { where: { zone: "eu" } })).toBe(currentActor().uuid);
    await currentActor().setMetadata({});
    expect(await found("root", { where: { zone: "eu" } })).toBeUndefined();
    expect(currentActor().stats().lookups.requests).toBe(0);
  });

  test("ask for the details even where a peer of that name is connected", async () => {
    await using world = new World();
    await world.actor("hub");
    await using nursery = await openNursery(world.options);
    await nursery.startActor<Described>("w", { module: described, metadata: { zone: "eu" } });
    expect(await found("w", { where: { zone: "us" } })).toBeUndefined();
    expect(await found("w", { needs: ["fly"] })).toBeUndefined();
    expect(currentActor().stats().lookups.requests).toBe(1);
  });

  test("work at the registrars of registryAddrs, where one that knows none that fits is not enough", async () => {
    await using one = new World();
    await using two = new World();
    await one.actor("hub");
    await two.actor("hub");
    await instances(one, "w", [{ zone: "us" }]);
    const [eu] = await instances(two, "w", [{ zone: "eu" }]);
    await using elsewhere = new World();
    await using _ = await openRootActor(elsewhere.options);
    const registryAddrs = [one.unix, two.unix];
    expect(await found("w", { where: { zone: "eu" }, registryAddrs })).toBe(eu);
    expect(await found("w", { where: { zone: "asia" }, registryAddrs })).toBeUndefined();
    const error = await failure(
      findActor("w", { where: { zone: "asia" }, registryAddrs, raiseOnNone: true }),
    );
    expect((error.cause as AggregateError).errors).toHaveLength(2);
  });

  test("work with several registrars of one's own, from their caches too", async () => {
    await using one = new World();
    await using two = new World();
    await one.actor("hub");
    await two.actor("hub");
    await instances(one, "w", [{ zone: "us" }]);
    const [eu] = await instances(two, "w", [{ zone: "eu" }]);
    await using actor = await openRootActor({ registryAddrs: [one.unix, two.unix] });
    const both = async (): Promise<number> => {
      const before = actor.stats().lookups.hits;
      expect(await found("w", { where: { zone: "eu" } })).toBe(eu);
      expect(await found("w", { where: { zone: "asia" } })).toBeUndefined();
      return actor.stats().lookups.hits - before;
    };
    await both();
    expect(await both()).toBe(2);
    expect(actor.stats().lookups.requests).toBe(2);
  });

  test("wait for an instance that is on its way back to a new registrar", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const next = await world.actor("next");
    // a child of the next registrar: it can't take over itself
    await next.run(async ({ furrow, keep, args }) => {
      const nursery = await furrow.openNursery();
      keep["nursery"] = nursery;
      await nursery.startActor("w", { module: args[0] as string, metadata: { zone: "us" } });
    }, described);
    const late = await world.actor("w", { metadata: { zone: "eu" } });
    const uuid = await late.run(({ furrow }) => furrow.currentActor().uuid);
    await late.freeze();
    await hub.kill();
    const registered = (): Promise<number | undefined> =>
      next.run(({ furrow }) => furrow.currentActor().stats().registrar?.actors);
    await until(async () => (await registered()) === 2);
    const own = next.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("w", { where: { zone: "eu" } });
      return portal?.id.uuid;
    });
    await using peer = await RawPeer.connect(world.unix, { name: "peer" });
    await peer.take(Kind.hello);
    peer.send([Kind.lookup, 1, "w", false, true], [Kind.lookup, 2, "w", false]);
    // without the details, what is there is answered at once
    expect((await peer.take(Kind.result))[1]).toBe(2);
    late.signal("SIGCONT");
    const [, , list] = (await peer.take(Kind.result)) as unknown as [number, number, [string][]];
    expect(list.map(([one]) => one)).toContain(uuid);
    expect(await own).toBe(uuid);
  });
});

describe("a draining actor", () => {
  test("isn't found by a connection either", async () => {
    await using world = new World();
    await world.actor("hub");
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Described>("w", { module: described });
    await child.run.setState("draining");
    expect(await found("w", {})).toBeUndefined();
    const registry = await getRegistry();
    const states = async (): Promise<unknown[]> =>
      (await registry.run.listActors()).map(({ id, state }) => [id.name, state]);
    expect(await states()).toContainEqual(["w", "draining"]);
    await child.run.setState("ready");
    expect(await found("w", {})).toBe(child.id.uuid);
    expect(await states()).toContainEqual(["w", "ready"]);
  });

  test("starts, and isn't found, if it drains before it is registered", async () => {
    await using world = new World();
    await world.actor("hub");
    await using nursery = await openNursery(world.options);
    const module = join(world.dir, "drains.ts");
    const from = JSON.stringify(described);
    await Bun.write(module, `import { setState } from ${from};\nawait setState("draining");\n`);
    const child = await nursery.startActor("w", { module });
    expect(await found("w", {})).toBeUndefined();
    const registry = await getRegistry();
    expect(await registry.run.listActors()).toContainEqual(
      expect.objectContaining({ id: child.id, state: "draining" }),
    );
  });

  test("isn't found at the next registrar either", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "leaver" });
    await Registrars.of(currentRuntime()).update({ state: "draining" });
    await hub.kill();
    await until(() => actor.isRegistrar);
    expect(await found("leaver", {})).toBeUndefined();
    const registry = await getRegistry();
    expect(await registry.run.listActors()).toMatchObject([{ id: actor.id, state: "draining" }]);
  });
});

describe("a lookup without these options", () => {
  test("sends and receives what it always did", async () => {
    await using scene = await openScene();
    scene.registrar.take();
    for (const options of [{}, { pick: "first" }, { pick: "random" }] as const) {
      await using _ = await findActor("hub", options);
    }
    const { there, back } = scene.registrar.take();
    const lookups = there.messages.filter(([kind]) => kind === Kind.lookup);
    expect(lookups.map((message) => message.slice(2))).toEqual([["hub", true]]);
    const [answer] = back.messages.filter(([kind]) => kind === Kind.result);
    expect(answer![2]).toBeString();
    expect(kinds({ there, back })).toEqual({ there: ["lookup"], back: ["result"] });
  });
});

test.each<[unknown, string, string]>([
  [{ pick: "best" }, "RangeError", 'pick must be one of last, first, random, least-busy, got "best"'],
  [{ where: "zone" }, "TypeError", "where must be a plain object"],
  [
    { where: { zone: null } },
    "TypeError",
    'where: metadata "zone" must be a string, finite number or boolean, got null',
  ],
  [{ needs: "greet" }, "TypeError", "needs must be an array of function names"],
  [{ needs: [1] }, "TypeError", "needs must be an array of function names"],
])("findActor refuses %j", async (options, name, message) => {
  await using world = new World();
  await using _ = await openRootActor(world.options);
  const error = await failure(findActor("w", options as FindOptions));
  expect([error.name, error.message]).toEqual([name, message]);
});

test("NotExposedError is what an instance that lacks a function causes", async () => {
  await using world = new World();
  await using _ = await openRootActor(world.options);
  const error = await failure(findActor("root", { needs: ["fly"], raiseOnNone: true }));
  expect(error.cause).toBeInstanceOf(NotExposedError);
});
