/** Fair turns: a connection that has sent much doesn't keep the others waiting, and loses nothing by it. */
import { describe, expect, test } from "bun:test";

import { Channel, type ChannelEnd } from "../../src/channel/channel.ts";
import { openRootActor } from "../../src/index.ts";
import { resolveLimits } from "../../src/limits.ts";
import type { Link } from "../../src/transport/transport.ts";
import { unixTransport } from "../../src/transport/unix.ts";
import { Kind } from "../../src/wire/messages.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

/** The turns of the event loop, while it is open. */
class Turns implements Disposable {
  count = 0;
  #next: NodeJS.Immediate;

  constructor() {
    const tick = (): void => {
      this.count++;
      this.#next = setImmediate(tick);
    };
    this.#next = setImmediate(tick);
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#next);
  }
}

function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

interface Receiver extends AsyncDisposable {
  readonly channel: Channel;
  readonly peer: RawPeer;
  /** The ids of the messages received, and the turn in which each was. */
  readonly ids: number[];
  readonly turns: number[];
  readonly ends: ChannelEnd[];
  onMessage: (id: number) => void;
}

let files = 0;

/** A channel that a scripted peer writes to. */
async function openReceiver(turns: Turns): Promise<Receiver> {
  const path = `${process.env["FURROW_RUNTIME_DIR"]!}/share-${++files}.sock`;
  const accepted = Promise.withResolvers<Link>();
  const listener = await unixTransport.listen({ transport: "unix", path, host: "" }, accepted.resolve);
  const peer = await RawPeer.connect(`unix://${path}`);
  const channel = new Channel(await accepted.promise, resolveLimits({}));
  const receiver: Receiver = {
    channel,
    peer,
    ids: [],
    turns: [],
    ends: [],
    onMessage: () => {},
    async [Symbol.asyncDispose]() {
      channel.abort(new Error("the test is over"));
      listener.close();
      await peer[Symbol.asyncDispose]();
    },
  };
  channel.handler = {
    onMessage: (message) => {
      const id = message[1] as number;
      receiver.ids.push(id);
      receiver.turns.push(turns.count);
      receiver.onMessage(id);
    },
    onEnd: (end) => void receiver.ends.push(end),
  };
  channel.establish();
  return receiver;
}

function puts(count: number): [number, number, number, null][] {
  return Array.from({ length: count }, (_, id) => [Kind.put, id, id, null]);
}

/** How many messages were processed in each turn. */
function sizes(turns: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const turn of turns) counts.set(turn, (counts.get(turn) ?? 0) + 1);
  return Array.from(counts.values());
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, id) => id);

describe("a connection that has sent many messages at once", () => {
  test("is served in one turn, as long as there are no more than 128", async () => {
    using turns = new Turns();
    await using receiver = await openReceiver(turns);
    receiver.peer.send(...puts(128));
    await until(() => receiver.ids.length === 128);
    expect(sizes(receiver.turns)).toEqual([128]);
  });

  test("is served in several turns, in order, and in larger shares as they turn out cheap", async () => {
    using turns = new Turns();
    await using receiver = await openReceiver(turns);
    receiver.peer.sendAll(...puts(20_000));
    await until(() => receiver.ids.length === 20_000);
    expect(receiver.ids).toEqual(upTo(20_000));
    const [first, ...later] = sizes(receiver.turns);
    expect(first!).toBeLessThanOrEqual(128);
    expect(Math.max(...later)).toBeGreaterThan(128);
  });

  test("gets smaller shares where they are expensive, whether at once or in the microtasks after", async () => {
    for (const isLater of [false, true]) {
      using turns = new Turns();
      await using receiver = await openReceiver(turns);
      receiver.onMessage = () => (isLater ? queueMicrotask(() => spin(2)) : spin(2));
      receiver.peer.send(...puts(400));
      await until(() => receiver.ids.length === 400, 20_000);
      expect(receiver.ids).toEqual(upTo(400));
      const [first, ...later] = sizes(receiver.turns);
      expect(first!).toBeLessThanOrEqual(128);
      expect(Math.max(...later.slice(1))).toBeLessThanOrEqual(8);
    }
  });

  test("lets another connection have its turn", async () => {
    using turns = new Turns();
    await using busy = await openReceiver(turns);
    await using other = await openReceiver(turns);
    busy.onMessage = (id) => {
      if (id === 0) other.peer.send(...puts(1));
      spin(1);
    };
    busy.peer.send(...puts(1_000));
    await until(() => other.ids.length === 1);
    expect(busy.ids.length).toBeLessThan(500);
  });

  test("loses nothing when it ends: all of it comes before the end, with a bye or without", async () => {
    for (const how of ["bye", "cut"] as const) {
      using turns = new Turns();
      await using receiver = await openReceiver(turns);
      receiver.peer.send(...puts(1_000), ...(how === "bye" ? [[Kind.bye, "done"] as const] : []));
      receiver.peer.leave();
      await until(() => receiver.ends.length > 0);
      expect(receiver.ids).toEqual(upTo(1_000));
      expect(receiver.ends.map(({ reason }) => reason)).toEqual([
        how === "bye" ? "peer-closed" : "peer-died",
      ]);
    }
  });

  test("is not heard any more once this side has ended it", async () => {
    for (const how of ["close", "abort"] as const) {
      using turns = new Turns();
      await using receiver = await openReceiver(turns);
      const { channel } = receiver;
      receiver.onMessage = (id) => {
        if (id === 200) void (how === "close" ? channel.close() : channel.abort(new Error("enough")));
      };
      receiver.peer.send(...puts(1_000));
      await receiver.peer.ended;
      expect(receiver.ids).toEqual(upTo(201));
      expect(receiver.ends).toHaveLength(1);
    }
  });

  test("goes on reading afterwards, and holds a sender back meanwhile", async () => {
    using turns = new Turns();
    await using receiver = await openReceiver(turns);
    receiver.onMessage = (id) => {
      if (id < 300) spin(0.1);
    };
    receiver.peer.sendAll(...puts(300_000));
    await until(() => receiver.ids.length === 300_000, 20_000);
    expect(receiver.ids.at(-1)).toBe(299_999);
    expect(receiver.channel.heldBytes).toBe(0);
  });
});

describe("a registrar that is asked for its whole list thousands of times in one write", () => {
  test("answers others meanwhile", async () => {
    await using world = new World();
    await using actor = await openRootActor(world.options);
    await using greedy = await RawPeer.connect(world.unix, { name: "greedy" });
    await greedy.take(Kind.hello);
    await using other = await RawPeer.connect(world.unix, { name: "other" });
    await other.take(Kind.hello);
    const count = 5_000;
    const calls = Array.from(
      { length: count },
      (_, at) => [Kind.call, at + 1, "registrar.listActors", [], null] as const,
    );
    greedy.send(...calls);
    await until(() => greedy.received.length > 1);
    const before = greedy.received.length;
    other.send([Kind.lookup, 1, "nobody", false]);
    await other.take(Kind.result);
    expect(greedy.received.length - before).toBeLessThan(count / 2);
    await until(() => greedy.received.length === count + 1);
    expect(greedy.received.slice(1).map(([, id]) => id)).toEqual(upTo(count).map((at) => at + 1));
    expect(actor.stats().peers).toBe(2);
  });
});
