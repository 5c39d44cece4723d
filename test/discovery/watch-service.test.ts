/** What a registrar sends to peers that watch, and what it takes from them. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import type { WatchSource } from "../../src/discovery/actor-event.ts";
import { Registrars } from "../../src/discovery/registrars.ts";
import { currentActor, LimitError, openRootActor, watchActors } from "../../src/index.ts";
import { failure } from "../support/outcome.ts";
import { Kind } from "../../src/wire/messages.ts";
import { type RawMessage, RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const addrs = ["tcp://127.0.0.1:1"] as const;

async function connect(world: World, name: string): Promise<RawPeer> {
  const peer = await RawPeer.connect(world.unix, { name, addrs });
  await peer.take(Kind.hello);
  return peer;
}

/** A message in short, with the names of actors and without their registrations. */
function shown([kind, ...fields]: RawMessage): unknown[] {
  const names = (list: unknown): string[] => (list as [string][]).map(([name]) => name).toSorted();
  switch (kind) {
    case Kind.result:
      return Array.isArray(fields[1])
        ? ["state", fields[0], ...names((fields[1] as unknown[])[1])]
        : ["result", fields[0]];
    case Kind.change:
      return ["change", fields[0], ["up", "changed", "down"][fields[1] as number], fields[2]];
    case Kind.resync:
      return ["resync", fields[0], ...names(fields[2])];
    case Kind.error:
      return ["error", fields[0], ...((fields[1] as unknown[])[1] as unknown[]).slice(0, 2)];
    default:
      return [kind, ...fields];
  }
}

async function takeAll(peer: RawPeer, count: number): Promise<unknown[][]> {
  const taken: unknown[][] = [];
  while (taken.length < count) taken.push(shown(await peer.take()));
  return taken;
}

function watches(): number {
  return Registrars.of(currentRuntime()).service!.watching.size;
}

describe("a registrar with watches", () => {
  test("sends a change before it acknowledges it, and numbers it with the id of the watch", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    await using peer = await connect(world, "m1");
    peer.send(
      [Kind.watch, 7, "m*"],
      [Kind.watch, 8, "m1"],
      [Kind.register, 9, addrs],
      [Kind.update, 10, { n: 1 }],
      [Kind.update, 11, null, "draining"],
      [Kind.unregister, 12],
    );
    expect(await takeAll(peer, 14)).toEqual([
      ["state", 7],
      ["state", 8],
      ["change", 8, "up", "m1"],
      ["change", 7, "up", "m1"],
      ["result", 9],
      ["change", 8, "changed", "m1"],
      ["change", 7, "changed", "m1"],
      ["result", 10],
      // draining is a change: lookups don't find it any more, watches still have it
      ["change", 8, "changed", "m1"],
      ["change", 7, "changed", "m1"],
      ["result", 11],
      ["change", 8, "down", "m1"],
      ["change", 7, "down", "m1"],
      ["result", 12],
    ]);
    const forms = peer.received
      .filter(([kind]) => kind === Kind.change)
      .map(([, , , , form]) => form as unknown[]);
    expect(forms.map((form) => form[4])).toEqual([2, 2, 3, 3, 4, 4, 5, 5]);
    const states = forms.map((form) => (form[5] as unknown[])[5]);
    const [ready, draining] = ["ready", "draining"];
    expect(states).toEqual([ready, ready, ready, ready, draining, draining, draining, draining]);
  });

  test("begins with all that the pattern matches, those that are draining included", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    await using ready = await connect(world, "m1");
    await using draining = await connect(world, "m2");
    for (const peer of [ready, draining]) {
      peer.send([Kind.register, 1, addrs]);
      await peer.take(Kind.result);
    }
    draining.send([Kind.update, 2, null, "draining"]);
    await draining.take(Kind.result);
    await using peer = await connect(world, "watcher");
    peer.send([Kind.watch, 1, "m*"], [Kind.watch, 2, "m2"], [Kind.watch, 3, "*"]);
    expect(await takeAll(peer, 3)).toEqual([
      ["state", 1, "m1", "m2"],
      ["state", 2, "m2"],
      ["state", 3, "m1", "m2", "root"],
    ]);
  });

  test("ends a watch that is given back, and all of a peer that is gone", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    await using peer = await connect(world, "m");
    peer.send([Kind.watch, 1, "m"], [Kind.watch, 2, "m*"], [Kind.watch, 3, "x*"]);
    await takeAll(peer, 3);
    expect(watches()).toBe(3);
    peer.send([Kind.unwatch, 1], [Kind.unwatch, 99], [Kind.register, 4, addrs]);
    expect(await takeAll(peer, 2)).toEqual([
      ["change", 2, "up", "m"],
      ["result", 4],
    ]);
    expect(watches()).toBe(2);
    // an id that is used again stands for the new watch
    peer.send([Kind.watch, 3, "m"]);
    expect(await takeAll(peer, 1)).toEqual([["state", 3, "m"]]);
    expect(watches()).toBe(2);
    peer.cut();
    await until(() => watches() === 0);
  });

  test("refuses a pattern that is malformed, and more watches than a peer may have", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, limits: { maxCachedNames: 2 } });
    await using peer = await connect(world, "m");
    peer.send([Kind.watch, 1, "a*b"]);
    const [[kind, id, name, message]] = (await takeAll(peer, 1)) as [string[]];
    expect([kind, id, name]).toEqual(["error", 1 as never, "ActorNameError"]);
    expect(message).toContain('("market*", or "*" for all)');
    for (let at = 2; at <= 6; at++) peer.send([Kind.watch, at, `a${at}`]);
    const text = "4 watches are as many as a peer may have: twice the registrar's maxCachedNames 2";
    expect((await takeAll(peer, 5)).at(-1)).toEqual(["error", 6, "LimitError", text]);
    peer.send([Kind.unwatch, 2], [Kind.watch, 7, "a7"]);
    expect(await takeAll(peer, 1)).toEqual([["state", 7]]);
  });

  test("answers with a LimitError when the state doesn't fit into a frame, and keeps no watch", async () => {
    await using world = new World();
    const limits = { maxFrameBytes: 65_536, maxCachedNames: 1 };
    await using _ = await openRootActor({ ...world.options, limits });
    const peers = await Promise.all(Array.from({ length: 20 }, (_one, n) => connect(world, `m${n}`)));
    const metadata = { text: "x".repeat(4_000) };
    for (const peer of peers) {
      peer.send([Kind.register, 1, addrs, [null, metadata]]);
      await peer.take(Kind.result);
    }
    const [first] = peers as [RawPeer];
    // those that were refused don't count as watches of this peer, which may have two
    first.send([Kind.watch, 2, "m*"], [Kind.watch, 3, "*"], [Kind.watch, 4, "m*"], [Kind.watch, 5, "m1"]);
    const answers = await takeAll(first, 4);
    expect(answers.map(([kind]) => kind)).toEqual(["error", "error", "error", "state"]);
    const [[, , name, message]] = answers as [string[]];
    expect(name).toBe("LimitError");
    expect(message).toBe("frame of more than 65536 B exceeds maxFrameBytes 65536");
    expect(watches()).toBe(1);
    await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
  });

  test("queues little for a peer that doesn't read, and sends it the whole state once it does", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    await using changing = await connect(world, "m");
    await using peer = await connect(world, "watcher");
    peer.send([Kind.watch, 1, "m"], [Kind.watch, 2, "*"], [Kind.watch, 3, "x"]);
    await takeAll(peer, 3);
    peer.pause();
    const { link } = Array.from(currentRuntime().peers).find(({ id }) => id.name === "watcher")!.channel;
    changing.send([Kind.register, 1, addrs]);
    await changing.take(Kind.result);
    const text = "x".repeat(4_000);
    let most = 0;
    // far more than the kernel takes
    for (let n = 0; n < 2_000; n++) {
      changing.send([Kind.update, n + 2, { n, text }]);
      await changing.take(Kind.result);
      most = Math.max(most, link.pendingBytes);
    }
    expect(most).toBeGreaterThan(65_536);
    expect(most).toBeLessThan(2 * 65_536);
    const { pushes } = currentActor().stats().registrar!;
    const before = peer.received.length;
    peer.resume();
    // those that have missed nothing get nothing
    await until(() => peer.received.filter(([kind]) => kind === Kind.resync).length === 2);
    const late = peer.received.slice(before);
    const changes = late.filter(([kind]) => kind === Kind.change);
    expect(changes.length).toBeLessThan(1_000);
    expect(currentActor().stats().registrar!.pushes).toBe(pushes + 2);
    const resyncs = late.filter(([kind]) => kind === Kind.resync);
    expect(resyncs.map((one) => shown(one).join(" ")).toSorted()).toEqual(["resync 1 m", "resync 2 m root"]);
    for (const [, , revision, list] of resyncs) {
      expect(revision).toBe(currentActor().stats().registrar!.revision);
      const [, form] = (list as [string, unknown[]][]).find(([name]) => name === "m")!;
      expect((form[5] as unknown[])[1]).toEqual({ n: 1_999, text });
    }
    // and changes again from there on
    changing.send([Kind.unregister, 9_999]);
    await changing.take(Kind.result);
    await until(
      () => peer.received.filter(([kind, , type]) => kind === Kind.change && type === 2).length === 2,
    );
  });

  test("ends the watch of a peer that fell behind with a LimitError when the state has outgrown a frame", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, limits: { maxFrameBytes: 65_536 } });
    await using peer = await connect(world, "watcher");
    peer.send([Kind.watch, 1, "m*"]);
    await takeAll(peer, 1);
    peer.pause();
    const peers = await Promise.all(Array.from({ length: 20 }, (_one, n) => connect(world, `m${n}`)));
    for (let n = 0; n < 20; n++)
      for (const changing of peers) {
        changing.send([Kind.register, n + 1, addrs, [null, { n, text: "x".repeat(4_000) }]]);
        await changing.take(Kind.result);
      }
    peer.resume();
    await until(() => peer.received.some(([kind]) => kind === Kind.resync));
    const [, id, , list, [, error]] = peer.received.find(([kind]) => kind === Kind.resync) as unknown as [
      number,
      number,
      number,
      unknown[],
      [unknown, unknown[]],
    ];
    expect([id, list, error[0]]).toEqual([1, [], "LimitError"]);
    expect(watches()).toBe(0);
    await Promise.all(peers.map((one) => one[Symbol.asyncDispose]()));
  });

  test("sends its peers away, and ends its own watches, when it isn't the registrar any more", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    await using peer = await connect(world, "watcher");
    peer.send([Kind.watch, 1, "*"]);
    await takeAll(peer, 1);
    const own = watchActors("*");
    await own.next();
    expect(watches()).toBe(2);
    const registrars = Registrars.of(currentRuntime());
    const { watching } = registrars.service!;
    registrars.unserve();
    expect(watching.size).toBe(1);
    await peer.take(Kind.retired);
    peer.send([Kind.unwatch, 1], [Kind.watch, 2, "*"]);
    expect(await takeAll(peer, 1)).toEqual([
      ["error", 2, "RegistryUnavailableError", "this actor is no longer the registrar"],
    ]);
    await own.return?.();
  });
});

describe("the watches of the registrar's own process", () => {
  test("get changes in the order of revisions, those that arise while another is passed on included", async () => {
    await using world = new World();
    await using _ = await openRootActor({ ...world.options, name: "root" });
    const { table, watching } = Registrars.of(currentRuntime()).service!;
    const register = (name: string): void => {
      const id = { name, uuid: name, pid: 1, host: "host" };
      const stored = table.register(id, []);
      watching.push("up", stored, stored.revision);
    };
    const seen: string[] = [];
    const synced: Promise<void>[] = [];
    // as the loss of a peer, over what is pushed to it, is the next change
    const open = (onName: (name: string) => void): WatchSource => {
      const { promise, resolve } = Promise.withResolvers<void>();
      synced.push(promise);
      return watching.watch("*", {
        onSync: resolve,
        onChange: ({ actor }) => onName(actor.id.name),
        onEnd: () => {},
      });
    };
    const sources = [open((name) => name === "first" && register("second")), open((name) => seen.push(name))];
    await Promise.all(synced);
    register("first");
    expect(seen).toEqual(["first", "second"]);
    for (const source of sources) source.close();
    expect(watches()).toBe(0);
  });
});

describe("a watcher", () => {
  test("gets the LimitError of a state that doesn't fit into a frame", async () => {
    await using world = new World();
    const limits = { maxFrameBytes: 65_536 };
    await world.actor("hub", { limits });
    await using _ = await openRootActor({ ...world.options, limits });
    const metadata = { text: "x".repeat(4_000) };
    const peers = await Promise.all(Array.from({ length: 20 }, (_one, n) => connect(world, `m${n}`)));
    for (const peer of peers) {
      peer.send([Kind.register, 1, addrs, [null, metadata]]);
      await peer.take(Kind.result);
    }
    const error = await failure(watchActors("*").next());
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toBe("frame of more than 65536 B exceeds maxFrameBytes 65536");
    await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()));
  });
});
