/** What is registered of an actor beside its addresses, and how it changes while the actor runs. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";

import { writeBrief } from "../../src/discovery/brief.ts";
import { currentRuntime } from "../../src/actor/current.ts";
import { metadataBytes } from "../../src/actor/metadata.ts";
import {
  currentActor,
  findActor,
  getRegistry,
  type Metadata,
  openNursery,
  openRootActor,
  type Registration,
  type TimeoutError,
} from "../../src/index.ts";
import { hostId } from "../../src/transport/host.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Batch } from "../../src/wire/codec.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer, RawRegistrar } from "../support/raw-peer.ts";
import { World } from "../support/world.ts";

const described = new URL("../fixtures/described.ts", import.meta.url);
type Described = typeof import("../fixtures/described.ts");

const functions = [
  { name: "chat", verb: "run" },
  { name: "count", verb: "stream" },
  { name: "find", verb: "run" },
  { name: "greet", verb: "run" },
  { name: "hang", verb: "run" },
  { name: "lookups", verb: "run" },
  { name: "setMetadata", verb: "run" },
  { name: "setMetadataInTurn", verb: "run" },
  { name: "setState", verb: "run" },
] as const;

/** What the registrar has of the name. */
async function listed(name: string): Promise<Registration[]> {
  const registry = await getRegistry();
  return (await registry.run.listActors()).filter(({ id }) => id.name === name);
}

describe("a registration", () => {
  test("says what its actor is: version, metadata, parent, start, functions and state", async () => {
    await using world = new World();
    const before = Date.now();
    await using nursery = await openNursery({ ...world.options, version: "1.0", metadata: { zone: "eu" } });
    const child = await nursery.startActor("child", {
      module: described,
      version: "2.0",
      metadata: { weight: 1.5, canary: true, note: "ü" },
    });
    const registry = await getRegistry();
    const [root] = await registry.run.findActors("root");
    expect(root).toMatchObject({ version: "1.0", metadata: { zone: "eu" }, parent: null, functions: [] });
    const found = await registry.run.findActor("child");
    expect(found).toEqual({
      id: child.id,
      addrs: found!.addrs,
      revision: 2,
      version: "2.0",
      metadata: { weight: 1.5, canary: true, note: "ü" },
      parent: root!.id.uuid,
      startedAt: found!.startedAt,
      functions,
      state: "ready",
    });
    expect(root!.startedAt).toBeWithin(before, found!.startedAt + 1);
    expect(found!.startedAt).toBeWithin(before, Date.now() + 1);
    expect(await registry.run.waitForActor("child")).toEqual(found!);
    expect(await registry.run.listActors()).toEqual([root!, found!]);
  });

  test("has nothing to say of an actor that says nothing", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using _peer = await RawPeer.register(world.unix, { name: "bare", uuid: "u" });
    const registry = await getRegistry();
    expect(await registry.run.findActor("bare")).toEqual({
      id: { name: "bare", uuid: "u", pid: process.pid, host: hostId() },
      addrs: [],
      revision: 2,
      version: null,
      metadata: {},
      parent: null,
      startedAt: 0,
      functions: [],
      state: "ready",
    });
  });

  test("isn't inherited by a child that is given none", async () => {
    await using world = new World();
    await using nursery = await openNursery({ ...world.options, version: "1.0", metadata: { zone: "eu" } });
    await nursery.startActor("child", { module: described });
    expect(await listed("child")).toMatchObject([{ version: null, metadata: {} }]);
  });
});

describe("setMetadata", () => {
  test("replaces the metadata in one revision and keeps the place among those of the name", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const start = () => nursery.startActor<Described>("twin", { module: described, metadata: { n: 1 } });
    const [first, second] = [await start(), await start()];
    await first.run.setMetadata({ n: 2, more: true });
    const all = await listed("twin");
    expect(all.map(({ id, metadata, revision }) => [id.uuid, metadata, revision])).toEqual([
      [first.id.uuid, { n: 2, more: true }, 4],
      [second.id.uuid, { n: 1 }, 3],
    ]);
  });

  test("applies changes in the order of the calls", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const child = await nursery.startActor<Described>("child", { module: described });
    await child.run.setMetadataInTurn([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(await listed("child")).toMatchObject([{ metadata: { n: 3 }, revision: 5 }]);
  });

  test("works in the registrar itself", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await actor.setMetadata({ role: "registrar" });
    expect(await listed("root")).toMatchObject([{ metadata: { role: "registrar" }, revision: 2 }]);
  });

  test("is heard by the next registrar too, with everything else", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "survivor", version: "3" });
    await actor.setMetadata({ n: 1 });
    await hub.kill();
    // its own table, once it has taken over
    await findActor("anybody");
    expect(actor.isRegistrar).toBeTrue();
    expect(await listed("survivor")).toMatchObject([{ version: "3", metadata: { n: 1 } }]);
    await world.actor("next");
    await actor.setMetadata({ n: 2 });
    expect(await listed("survivor")).toMatchObject([{ metadata: { n: 2 } }]);
  });

  test("resolves when the next registrar has it, if the only one is lost before it has acknowledged it", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr] });
    const registered = Promise.withResolvers<{ metadata: unknown; acknowledge: () => void }>();
    hub.onUpdate = () => hub.cut();
    hub.onRegister = (peer, [, id, , form]) => {
      const acknowledge = (): void => peer.send([Kind.result, id, 1]);
      registered.resolve({ metadata: (form as unknown[])[1], acknowledge });
    };
    let isSettled = false;
    const changed = actor.setMetadata({ n: 1 }).finally(() => (isSettled = true));
    const { metadata, acknowledge } = await registered.promise;
    expect(metadata).toEqual({ n: 1 });
    // one that has settled would be known after a turn
    await Bun.sleep(0);
    expect(isSettled).toBeFalse();
    acknowledge();
    await changed;
  });

  test("resolves when this actor has taken over from the registrar that it told", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({ ...world.options, name: "survivor" });
    await hub.freeze();
    const changed = actor.setMetadata({ n: 1 });
    await hub.kill();
    await changed;
    expect(actor.isRegistrar).toBeTrue();
    expect(await listed("survivor")).toMatchObject([{ metadata: { n: 1 } }]);
  });

  test("rejects when there is no registrar in time, and the change comes with the next registration", async () => {
    await using hub = new RawRegistrar();
    await using actor = await openRootActor({ registryAddrs: [hub.addr], limits: { probeTimeoutMs: 50 } });
    hub.isSilent = true;
    hub.cut();
    const error = await failure(actor.setMetadata({ n: 1 }));
    expect(error.name).toBe("RegistryUnavailableError");
    expect(error.message).toStartWith(
      "no registrar has acknowledged the change within 150 ms, it applies with the next registration: no registrar answers at ",
    );
    const registered = Promise.withResolvers<unknown>();
    hub.onRegister = (peer, [, id, , form]) => {
      peer.send([Kind.result, id, 1]);
      registered.resolve((form as unknown[])[1]);
    };
    hub.isSilent = false;
    expect(await registered.promise).toEqual({ n: 1 });
  });
});

const details = ["1.0", { n: 1 }, "parent", 1_700_000_000_000, [["greet", "run"]], "ready"];

/** A registrar, an actor with details, and one that looks it up. */
async function scene(world: World): Promise<{ holder: RawPeer; asker: RawPeer } & AsyncDisposable> {
  const actor = await openRootActor(world.options);
  const holder = await RawPeer.connect(world.unix, { name: "held", uuid: "u" });
  const asker = await RawPeer.connect(world.unix, { name: "asker" });
  for (const peer of [holder, asker]) await peer.take(Kind.hello);
  holder.send([Kind.register, 1, [], details]);
  expect(await holder.take()).toEqual([Kind.result, 1, 2]);
  return {
    holder,
    asker,
    async [Symbol.asyncDispose]() {
      await holder[Symbol.asyncDispose]();
      await asker[Symbol.asyncDispose]();
      await actor.cancel();
    },
  };
}

const brief = (revision: number): string => writeBrief("u", process.pid, revision, hostId(), []);
const detailed = (revision: number, of: unknown): unknown[] => ["u", process.pid, hostId(), [], revision, of];

describe("a lookup at the registrar", () => {
  test("is answered with details if it asks for them, and else as ever", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { asker } = peers;
    asker.send([Kind.lookup, 1, "held", false], [Kind.lookup, 2, "held", false, true]);
    expect(await asker.take()).toEqual([Kind.result, 1, brief(2)]);
    expect(await asker.take()).toEqual([Kind.result, 2, [detailed(2, details)]]);
  });

  test("pushes a change of the metadata, before it is acknowledged, to those that asked for details", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { holder, asker } = peers;
    await using other = await RawPeer.connect(world.unix, { name: "brief" });
    await other.take(Kind.hello);
    other.send([Kind.lookup, 1, "held", true]);
    asker.send([Kind.lookup, 1, "held", true], [Kind.lookup, 2, "held", true, true]);
    await Promise.all([other.take(), asker.take(), asker.take()]);
    // once detailed, the interest stays so
    asker.send([Kind.lookup, 3, "held", true]);
    await asker.take();
    holder.send([Kind.update, 2, { n: 2 }, null]);
    expect(await holder.take()).toEqual([Kind.result, 2, 3]);
    expect(await asker.take()).toEqual([Kind.added, "held", detailed(3, details.with(1, { n: 2 }))]);
    holder.send([Kind.register, 3, []], [Kind.unregister, 4]);
    expect(await asker.take()).toEqual([Kind.added, "held", detailed(4, [null, {}, null, 0, [], "ready"])]);
    expect(await other.take()).toEqual([Kind.added, "held", brief(4)]);
    for (const peer of [asker, other]) expect(await peer.take()).toEqual([Kind.removed, "held", "u", 5]);
  });
});

describe("a draining registration", () => {
  test("leaves every lookup at once, stays in listActors, and goes when its connection does", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { holder, asker } = peers;
    await using detailed = await RawPeer.connect(world.unix, { name: "detailed" });
    await detailed.take(Kind.hello);
    asker.send([Kind.lookup, 1, "held", true]);
    detailed.send([Kind.lookup, 1, "held", true, true]);
    await Promise.all([asker.take(), detailed.take()]);
    holder.send([Kind.update, 2, null, "draining"]);
    expect(await holder.take()).toEqual([Kind.result, 2, 3]);
    for (const peer of [asker, detailed]) expect(await peer.take()).toEqual([Kind.removed, "held", "u", 3]);
    asker.send([Kind.lookup, 2, "held", false]);
    expect(await asker.take()).toEqual([Kind.result, 2, []]);
    expect(await listed("held")).toMatchObject([{ state: "draining", version: "1.0", revision: 3 }]);
    // nor by the connection that it has to this process
    expect(await findActor("held")).toBeNull();
    holder.send([Kind.update, 3, { n: 2 }, null]);
    expect(await holder.take()).toEqual([Kind.result, 3, 4]);
    expect(await listed("held")).toMatchObject([{ state: "draining", metadata: { n: 2 } }]);
    holder.send([Kind.unregister, 4]);
    await holder.take();
    expect(await listed("held")).toEqual([]);
  });
});

describe("what is registered is bounded", () => {
  const malformed: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ["metadata that is a list", { metadata: [1] }, "metadata must be a plain object"],
    ["metadata that is a Map", { metadata: new Map() }, "metadata must be a plain object"],
    ["metadata that is null", { metadata: null }, "metadata must be a plain object"],
    [
      "a list in the metadata",
      { metadata: { a: [] } },
      'metadata "a" must be a string, finite number or boolean, got array',
    ],
    [
      "null in the metadata",
      { metadata: { a: null } },
      'metadata "a" must be a string, finite number or boolean, got null',
    ],
    [
      "a number without a value in the metadata",
      { metadata: { a: NaN } },
      'metadata "a" must be a finite number, got NaN',
    ],
    [
      "a half character in the metadata",
      { metadata: { a: "\ud800" } },
      'metadata "a" is not well-formed unicode',
    ],
    ["a version that is a number", { version: 1 }, "version must be a string, got number"],
    ["an empty version", { version: "" }, "version must not be empty"],
    ["a version with a line end", { version: "1\n" }, 'version "1\\n" has a control character'],
  ];

  test.each(malformed)("%s is a TypeError for a root, a child and setMetadata", async (_, options, text) => {
    await using world = new World();
    const booting = await failure(openRootActor({ ...world.options, ...options }));
    expect([booting.name, booting.message]).toEqual(["TypeError", text]);
    await using nursery = await openNursery(world.options);
    const starting = await failure(nursery.startActor("child", options));
    expect([starting.name, starting.message]).toEqual(["TypeError", text]);
    if (!("metadata" in options)) return;
    const changing = await failure(currentActor().setMetadata(options["metadata"] as Metadata));
    expect([changing.name, changing.message]).toEqual(["TypeError", text]);
  });

  test("metadata beyond maxMetadataBytes is a LimitError, and the former stays", async () => {
    await using world = new World();
    const metadata = { text: "x".repeat(94) };
    const limits = { maxMetadataBytes: 102 };
    await using nursery = await openNursery({ ...world.options, limits, metadata });
    const large = { text: "x".repeat(95) };
    const text = "metadata of 103 B exceeds maxMetadataBytes 102";
    const fails = [
      currentActor().setMetadata(large),
      nursery.startActor("child", { metadata: large }),
      nursery.startActor("child", { version: "v".repeat(256) }),
    ];
    const errors = await Promise.all(fails.map((failing) => failure(failing)));
    expect(errors.map(({ name, message }) => [name, message])).toEqual([
      ["LimitError", text],
      ["LimitError", text],
      ["LimitError", "version of 256 B exceeds 255 B"],
    ]);
    expect(await listed("root")).toMatchObject([{ metadata, revision: 1 }]);
  });

  test("the registrar's limits count too: what it refuses is taken back", async () => {
    await using world = new World();
    await using other = new World();
    await world.actor("hub", { limits: { maxMetadataBytes: 20 } });
    await other.actor("hub");
    await using actor = await openRootActor({ registryAddrs: [world.unix, other.unix], name: "me" });
    const at = async (one: World): Promise<unknown> => {
      const registry = await getRegistry(one.unix);
      return (await registry.run.findActor("me"))?.metadata;
    };
    await actor.setMetadata({ n: 1 });
    const error = await failure(actor.setMetadata({ text: "x".repeat(20) }));
    expect([error.name, error.message]).toEqual([
      "LimitError",
      "metadata of 27 B exceeds maxMetadataBytes 20",
    ]);
    // what the next registrar gets
    expect(currentRuntime().metadata).toEqual({ n: 1 });
    expect([await at(world), await at(other)]).toEqual([{ n: 1 }, { n: 1 }]);
    await actor.setMetadata({ n: 2 });
    expect([await at(world), await at(other)]).toEqual([{ n: 2 }, { n: 2 }]);
    const refused = await failure(world.actor("late", { metadata: { text: "x".repeat(20) } }));
    expect(refused.name).toBe("RegistryUnavailableError");
    expect(refused.message).toContain("exceeds maxMetadataBytes 20");
  });

  test("what all registrars refuse fails a start at once, however long it may take", async () => {
    await using world = new World();
    await world.actor("hub", { limits: { maxMetadataBytes: 20 } });
    await using nursery = await openNursery(world.options);
    const options = { module: described, metadata: { text: "x".repeat(20) }, timeout: 600_000 };
    const error = await failure(nursery.startActor("large", options));
    expect(error.name).toBe("SpawnError");
    expect(error.message).toContain("metadata of 27 B exceeds maxMetadataBytes 20");
  });

  test("more functions than a registrar keeps fail the start", async () => {
    await using world = new World();
    await using nursery = await openNursery(world.options);
    const module = join(world.dir, "many.ts");
    const lines = Array.from({ length: 1_025 }, (_, n) => `export function f${n}() {}`);
    await Bun.write(module, lines.join("\n"));
    const error = await failure(nursery.startActor("many", { module }));
    expect(error.name).toBe("SpawnError");
    expect((error.cause as Error).message).toBe(
      "1025 exposed functions exceed the limit of 1024 for an actor",
    );
  });

  test("setMetadata gives up a registrar that is silent, which applies the change later", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using actor = await openRootActor({
      ...world.options,
      name: "me",
      limits: { probeTimeoutMs: 50 },
    });
    await hub.freeze();
    const error = await failure(actor.setMetadata({ n: 1 }));
    expect([error.name, (error as TimeoutError).stage]).toEqual(["TimeoutError", "lookup"]);
    hub.signal("SIGCONT");
    expect(await listed("me")).toMatchObject([{ metadata: { n: 1 } }]);
  });
});

describe("a peer that registers", () => {
  const wrong: readonly (readonly [string, unknown])[] = [
    ["no list", "1.0"],
    ["a version of another type", [1]],
    ["a version with a control character", ["1\n"]],
    ["metadata that is a list", [null, [1]]],
    ["nested metadata", [null, { a: { b: 1 } }]],
    ["a parent of another type", [null, null, 1]],
    ["a parent that is too long", [null, null, "u".repeat(65)]],
    ["a start before 1970", [null, null, null, -1]],
    ["functions that are no list", [null, null, null, 0, "greet"]],
    ["a function without a verb", [null, null, null, 0, ["greet"]]],
    ["a function of an unknown verb", [null, null, null, 0, [["greet", "delete"]]]],
    ["an unknown state", [null, null, null, 0, [], "gone"]],
  ];

  test.each(wrong)("with %s in its details loses its connection", async (_, form) => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.unix, { name: "evil" });
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, [], form]);
    await peer.ended;
    expect(peer.received).toHaveLength(1);
    expect(actor.stats().registrar?.actors).toBe(1);
  });

  test.each<[string, unknown[]]>([
    ["metadata", [1, 5]],
    ["nested metadata", [{ a: [] }, null]],
    ["state", [null, "gone"]],
  ])("and then updates malformed %s loses its connection", async (_, fields) => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using peer = await RawPeer.register(world.unix, { name: "evil" });
    peer.send([Kind.update, 2, ...fields]);
    await peer.ended;
    expect(await listed("evil")).toEqual([]);
  });

  test.each<[string, unknown[], string]>([
    ["a version", ["v".repeat(256)], "version of 256 B exceeds 255 B"],
    ["metadata", [null, { a: "x".repeat(5_000) }], "metadata of 5006 B exceeds maxMetadataBytes 4096"],
    [
      "functions",
      [null, null, null, 0, Array.from({ length: 1_025 }, (_, n) => [`f${n}`, "run"])],
      "1025 exposed functions exceed the limit of 1024 for an actor",
    ],
    [
      "names of functions",
      [null, null, null, 0, [["f".repeat(32_769), "run"]]],
      "names of exposed functions of 32769 B exceed 32768 B for an actor",
    ],
  ])("with %s that is too large gets a LimitError, and keeps what it had", async (_, form, text) => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.unix, { name: "large" });
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, [], ["1.0"]], [Kind.register, 2, [], form]);
    await peer.take(Kind.result);
    const [, , [, fault]] = (await peer.take(Kind.error)) as unknown as [
      number,
      number,
      [unknown, unknown[]],
    ];
    expect(fault.slice(0, 2)).toEqual(["LimitError", text]);
    expect(await listed("large")).toMatchObject([{ version: "1.0", revision: 2 }]);
  });

  test("has nothing to update before that, nor after it has left", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using peer = await RawPeer.connect(world.unix, { name: "early" });
    await peer.take(Kind.hello);
    for (const before of [[], [Kind.register, Kind.unregister]]) {
      for (const kind of before) {
        peer.send([kind, 1, []]);
        await peer.take(Kind.result);
      }
      peer.send([Kind.update, 2, { n: 1 }]);
      const [, id, [, fault]] = (await peer.take(Kind.error)) as unknown as [
        number,
        number,
        [unknown, unknown[]],
      ];
      expect([id, fault[0]]).toEqual([2, "ActorNotFoundError"]);
    }
    expect(actor.stats().registrar?.actors).toBe(1);
  });

  test("updates nothing with null for all, and changes two things in one revision", async () => {
    await using world = new World();
    await using peers = await scene(world);
    const { holder } = peers;
    holder.send([Kind.update, 2], [Kind.update, 3, { n: 2 }, "draining"]);
    expect(await holder.take()).toEqual([Kind.result, 2, 2]);
    expect(await holder.take()).toEqual([Kind.result, 3, 3]);
    expect(await listed("held")).toMatchObject([{ metadata: { n: 2 }, state: "draining", revision: 3 }]);
  });

  test("may use keys that every object has", async () => {
    await using world = new World();
    await using _actor = await openRootActor(world.options);
    const metadata = JSON.parse('{"__proto__": "x", "constructor": 1}') as Metadata;
    await currentActor().setMetadata(metadata);
    const [shown] = await listed("root");
    expect(Object.entries(shown!.metadata)).toEqual([
      ["__proto__", "x"],
      ["constructor", 1],
    ]);
    await using same = await findActor("root", { where: metadata });
    expect(same?.id).toEqual(currentActor().id);
  });
});

describe("metadataBytes", () => {
  const sizeOf = (metadata: Metadata): number =>
    // the array's header and the kind are beside it
    new Batch().add([Kind.result, metadata], 1 << 20) - 2;
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.maxSafeInteger(),
  );

  test("is what metadata takes encoded", () => {
    const text = fc.string({ unit: "binary-ascii", maxLength: 255 });
    // other negative integers are left to the other encoder
    const isShort = (one: number): boolean => one >= -32 || one < -0x8000_0000 || !Number.isInteger(one);
    const value = fc.oneof(text, fc.boolean(), number.filter(isShort));
    fc.assert(
      fc.property(fc.dictionary(text, value, { maxKeys: 15, noNullPrototype: true }), (metadata) => {
        expect(metadataBytes(metadata)).toBe(sizeOf(metadata));
      }),
    );
  });

  test("is never more than that, though an encoder may use longer headers", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 300 });
    const value = fc.oneof(text, fc.boolean(), number);
    fc.assert(
      fc.property(fc.dictionary(text, value, { maxKeys: 40, noNullPrototype: true }), (metadata) => {
        const texts = 2 * Object.keys(metadata).length;
        const bytes = metadataBytes(metadata);
        expect(sizeOf(metadata)).toBeWithin(bytes, bytes + 3 + 2 * texts);
      }),
    );
  });
});
