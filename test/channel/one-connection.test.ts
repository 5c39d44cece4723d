/** One connection per peer: how it is shared, what happens when both sides dial, and how it closes when idle. */
import { describe, expect, test } from "bun:test";

import { currentRuntime } from "../../src/actor/current.ts";
import { type Actor, type Address, findActor, openRootActor } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { rawHello, RawListener, RawPeer } from "../support/raw-peer.ts";
import { setTiming } from "../support/timing.ts";
import { World } from "../support/world.ts";

/** Registers the script at `addr` as an actor in the registry of `world`. */
async function register(world: World, name: string, uuid: string, addr: Address): Promise<RawPeer> {
  return await RawPeer.register(world.unix, { name, uuid, addrs: [addr] });
}

/** An actor whose registrar runs in another process, so that it dials the actors that it looks up. */
async function openAsker(world: World): Promise<Actor> {
  await world.actor("hub");
  return await openRootActor({ ...world.options, name: "asker" });
}

/** Every uuid sorts between these two. */
const smallest = "-";
const largest = "zz";

describe("one connection per peer", () => {
  test("simultaneous dials are one dial, and all portals share it", async () => {
    await using world = new World();
    await using asker = await openAsker(world);
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ name: "solo", uuid: largest }));
    });
    await using _entry = await register(world, "solo", largest, listener.addr);
    const portals = await Promise.all(Array.from({ length: 20 }, () => findActor("solo")));
    await using later = await findActor("solo");
    expect([...portals, later].map((portal) => portal?.id.uuid)).toEqual(Array(21).fill(largest));
    expect(listener.peers).toHaveLength(1);
    expect(asker.stats().peers).toBe(2);
    for (const portal of portals) await portal?.[Symbol.asyncDispose]();
    expect(listener.peers[0]!.isOpen).toBeTrue();
  });

  test("when two actors dial each other, the one with the smaller uuid refuses the other's dial as crossed", async () => {
    await using world = new World();
    await using asker = await openAsker(world);
    const refusals: unknown[] = [];
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      await using crossing = await RawPeer.connect(asker.addrs[0]!, { name: "larger", uuid: largest });
      refusals.push(...(await crossing.take(Kind.refuse)));
      peer.send(rawHello({ name: "larger", uuid: largest }));
    });
    await using _entry = await register(world, "larger", largest, listener.addr);
    await using portal = await findActor("larger");
    expect(portal?.id.uuid).toBe(largest);
    expect([refusals[1], refusals[3]]).toEqual(["crossed", asker.uuid]);
    expect(asker.stats().peers).toBe(2);
  });

  test("when two actors dial each other, the one with the larger uuid uses the inbound connection", async () => {
    await using world = new World();
    await using asker = await openAsker(world);
    await using crossing = new RawPeer();
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      await crossing.dial(asker.addrs[0]!, { name: "smaller", uuid: smallest });
      await crossing.take(Kind.hello);
      peer.send([Kind.refuse, "crossed", "dialling the other way", smallest]);
    });
    await using _entry = await register(world, "smaller", smallest, listener.addr);
    await using portal = await findActor("smaller");
    expect(portal?.id.uuid).toBe(smallest);
    expect(listener.peers).toHaveLength(1);
    expect(asker.stats().peers).toBe(2);
  });

  test("a connection in use doesn't agree to close, and isn't used once it has agreed", async () => {
    await using world = new World();
    await using _asker = await openRootActor(world.options);
    await using peer = await RawPeer.register(world.unix, { name: "peer" });
    {
      await using _portal = await findActor("peer", { raiseOnNone: true });
      peer.send([Kind.idle], [Kind.ping, 1]);
      await peer.take(Kind.pong);
      expect(peer.received.map(([kind]) => kind)).toEqual([Kind.hello, Kind.result, Kind.pong]);
    }
    peer.send([Kind.idle]);
    await peer.take(Kind.idleAgreed);
    const waiting = findActor("peer");
    peer.send([Kind.resume], [Kind.ping, 2]);
    await peer.take(Kind.pong);
    await using again = await waiting;
    expect(again?.id.name).toBe("peer");
  });

  test("an offer to close is taken back when somebody uses it again; else a bye follows the agreement", async () => {
    using _ = setTiming({ defaultIdleMs: 50 });
    await using world = new World();
    await using _asker = await openRootActor(world.options);
    await using peer = await RawPeer.register(world.unix, { name: "peer" });
    const use = async (): Promise<AsyncDisposable> => await findActor("peer", { raiseOnNone: true });
    await (await use())[Symbol.asyncDispose]();
    await peer.take(Kind.idle);
    {
      await using _user = await use();
      peer.send([Kind.idleAgreed]);
      await peer.take(Kind.resume);
    }
    await peer.take(Kind.idle);
    peer.send([Kind.idleAgreed]);
    await peer.take(Kind.bye);
    await peer.ended;
    expect(await findActor("peer")).toBeNull();
  });
});

describe("one write per turn", () => {
  test("all calls of a turn leave in one write, and so do all answers to one chunk", async () => {
    await using world = new World();
    const service = new URL("../fixtures/service.ts", import.meta.url).href;
    await using _asker = await openRootActor({ ...world.options, enableModules: [service] });
    await using peer = await RawPeer.register(world.unix, { name: "peer" });
    const [, , uuid] = peer.received[0]!;
    expect(uuid).toBe(currentRuntime().uuid);
    await using portal = await findActor<typeof import("../fixtures/service.ts")>("peer", {
      raiseOnNone: true,
    });
    const { link } = currentRuntime().peers.get(portal.id.uuid)!.channel;

    // few enough for one turn: what is beyond a connection's share waits for later ones (channel/share.ts)
    const count = 60;
    let writes = link.writes;
    const sums = Promise.all(Array.from({ length: count }, (_, at) => portal.run.add(at, at)));
    for (let at = 0; at < count; at++) {
      const [, id, , args] = await peer.take(Kind.call);
      const [a, b] = args as [number, number];
      peer.send([Kind.result, id, a + b]);
    }
    expect(await sums).toEqual(Array.from({ length: count }, (_, at) => at * 2));
    expect(link.writes - writes).toBe(1);

    writes = link.writes;
    // alternately a function that answers at once and one that answers in a microtask
    const calls = Array.from({ length: count }, (_, at) =>
      at % 2 === 0 ? ([Kind.call, at, "add", [at, at]] as const) : ([Kind.call, at, "rootName", []] as const),
    );
    peer.send(...calls);
    for (const _ of calls) await peer.take(Kind.result);
    expect(link.writes - writes).toBe(1);
  });
});
