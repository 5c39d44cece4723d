/** What a connected peer may cost, and who pays when it is more: the peer. */
import { describe, expect, test } from "bun:test";

import { FrameError, LimitError } from "../../src/errors.ts";
import type { Runtime } from "../../src/actor/runtime.ts";
import type { Peer } from "../../src/channel/peer.ts";
import type { Limits } from "../../src/limits.ts";
import type { Session } from "../../src/rpc/session.ts";
import type { Context } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { until } from "../support/world.ts";
import { actor, soon, targetOf } from "./actors.ts";

/** A frame that holds so many empty maps, and nothing else, as the arguments of a call or as a message to a dialog. */
function emptyMaps(count: number, kind: number = Kind.call): Uint8Array {
  const name = kind === Kind.put ? [] : [0xa4, ...Buffer.from("echo")];
  const head = [name.length > 0 ? 0x94 : 0x93, kind, 1, ...name];
  const frame = Buffer.alloc(4 + head.length + 5 + count, 0x80);
  frame.writeUInt32LE(frame.length - 4, 0);
  frame.set(head, 4);
  frame[4 + head.length] = 0xdd;
  frame.writeUInt32BE(count, 4 + head.length + 1);
  return new Uint8Array(frame);
}

describe("a frame of empty maps", () => {
  test.each([400_000, 2_000_000, 16 << 20])(
    "of %i B closes its connection before it is decoded, and nobody else's",
    async (count) => {
      await using far = await actor("far");
      await using near = await actor("near");
      const friend = await near.peers.connect(targetOf(far), soon());
      await using peer = await RawPeer.connect(far.addrs[0]!, { name: "flooder" });
      await peer.take(Kind.hello);
      const served = far.peers.byName("flooder")![0]!;
      const frame = emptyMaps(count);
      Bun.gc(true);
      const before = process.memoryUsage().rss;
      peer.sendRaw(frame);
      const end = await served.closed;
      expect(end.error).toBeInstanceOf(FrameError);
      expect(end.error?.message).toContain("maxFrameValues");
      // twice the frame: it is here at both ends
      expect(process.memoryUsage().rss - before).toBeLessThan(4 * frame.length + 40_000_000);
      expect(await friend.handler.call("echo", ["still here"])).toBe("still here");
    },
  );

  test("that is small enough is served", async () => {
    await using far = await actor("far");
    await using peer = await RawPeer.connect(far.addrs[0]!, { name: "caller" });
    await peer.take(Kind.hello);
    peer.sendRaw(emptyMaps(100_000));
    expect(await peer.take(Kind.result)).toEqual([Kind.result, 1, {}]);
  });
});

describe("a value beyond maxFrameValues", () => {
  test("is a LimitError for its sender, in arguments and results, and every other call goes on", async () => {
    await using far = await actor("far", {
      functions: { empties: (count: number) => Array.from({ length: count }, () => ({})) },
    });
    await using near = await actor("near");
    const { handler } = await near.peers.connect(targetOf(far), soon());
    const before = handler.call("echo", [1]);
    const errors = await Promise.all([
      failure(handler.call("echo", [Array.from({ length: 2_000_001 }, () => 1)])),
      failure(handler.call("empties", [400_000])),
    ]);
    for (const error of errors) {
      expect(error).toBeInstanceOf(LimitError);
      expect(error.message).toContain("maxFrameValues");
    }
    expect(await before).toBe(1);
    expect(await handler.call("empties", [10])).toHaveLength(10);
  });
});

/** An actor with raw peers, "peer 0" and so on; the last holds the most. */
class Crowd implements AsyncDisposable {
  readonly actor: Runtime;
  readonly raw: readonly RawPeer[];

  private constructor(one: Runtime, raw: readonly RawPeer[]) {
    this.actor = one;
    this.raw = raw;
  }

  static async open(count: number, limits: Partial<Limits>): Promise<Crowd> {
    const functions = {
      large: () => "x".repeat(1_000_000),
      deaf: async (ctx: Context) => {
        await ctx.started();
        await new Promise((_, reject) =>
          ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)),
        );
      },
    };
    const one = await actor("crowded", { limits, functions });
    const raw = await Promise.all(
      Array.from({ length: count }, (_, at) => RawPeer.connect(one.addrs[0]!, { name: `peer ${at}` })),
    );
    for (const peer of raw) await peer.take(Kind.hello);
    return new Crowd(one, raw);
  }

  /** The actor's end of each connection. */
  get served(): Peer<Session>[] {
    return this.raw.map((_, at) => this.actor.peers.byName(`peer ${at}`)![0]!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.raw) await peer[Symbol.asyncDispose]();
    await this.actor.cancel();
  }
}

/** The head of a frame of so many bytes, and a part of it. */
function part(size: number, bytes: number): Uint8Array {
  const head = new Uint8Array(4 + bytes).fill(0xc0);
  new DataView(head.buffer).setUint32(0, size, true);
  return head;
}

describe("beyond maxBufferedBytes", () => {
  const limits = { maxBufferedBytes: 20_000_000 };

  test("of unsent answers the connection that holds the most ends, and the others get theirs", async () => {
    await using crowd = await Crowd.open(4, limits);
    const { served, raw } = crowd;
    for (const [at, peer] of raw.entries()) {
      peer.pause();
      peer.send(
        ...Array.from({ length: at === 3 ? 9 : 4 }, (_, id) => [Kind.call, id + 1, "large", []] as const),
      );
    }
    const end = await served[3]!.closed;
    expect(end.error).toBeInstanceOf(LimitError);
    expect(end.error?.message).toMatch(
      /^\d+ B wait on the connections of this actor: maxBufferedBytes is 20000000; peer 3#\w+ has the most, [78]\d{6} B$/,
    );
    expect(served.map((peer) => peer.isOpen)).toEqual([true, true, true, false]);
    for (const peer of raw.slice(0, 3)) {
      peer.resume();
      for (let count = 0; count < 4; count++) await peer.take(Kind.result);
    }
  });

  test("of unfinished frames the connection that has sent the most of one ends, and the others finish", async () => {
    await using crowd = await Crowd.open(4, limits);
    const { served, raw } = crowd;
    const body = new Uint8Array(6_000_000);
    const call = (bytes: number): Uint8Array => {
      const head = [0x94, Kind.call, 1, 0xa4, ...Buffer.from("echo"), 0x91, 0xc6, 0, 0, 0, 0];
      const frame = new Uint8Array(4 + head.length + bytes);
      const view = new DataView(frame.buffer);
      view.setUint32(0, frame.length - 4, true);
      frame.set(head, 4);
      view.setUint32(4 + head.length - 4, bytes);
      return frame;
    };
    const frames = raw.map(() => call(body.length));
    for (const [at, peer] of raw.entries())
      peer.sendRaw(frames[at]!.subarray(0, at === 3 ? 5_900_000 : 5_000_000));
    expect((await served[3]!.closed).error?.message).toContain("maxBufferedBytes is 20000000; peer 3#");
    for (const [at, peer] of raw.slice(0, 3).entries()) {
      peer.sendRaw(frames[at]!.subarray(5_000_000));
      expect((await peer.take(Kind.result))[2]).toHaveLength(body.length);
    }
  });

  test("of messages that no dialog reads the connection that holds the most ends", async () => {
    await using crowd = await Crowd.open(2, { maxBufferedBytes: 2_500_000 });
    const { served, raw } = crowd;
    const text = "x".repeat(100_000);
    for (const [at, peer] of raw.entries()) {
      for (let id = 1; id <= (at === 1 ? 2 : 1); id++) {
        peer.sendAll([Kind.open, id, "deaf", [], false, 64, 1_000_000]);
        peer.sendAll(...Array.from({ length: 9 }, () => [Kind.put, id, text] as const));
      }
    }
    expect((await served[1]!.closed).error?.message).toContain("maxBufferedBytes is 2500000; peer 1#");
    expect(served[0]!.isOpen).toBe(true);
  });

  test("of messages that no dialog reads their memory counts, and not their frames", async () => {
    await using crowd = await Crowd.open(1, { maxBufferedBytes: 4_000_000 });
    const [served, peer] = [crowd.served[0]!, crowd.raw[0]!];
    peer.sendAll([Kind.open, 1, "deaf", [], false, 64, 1_000_000]);
    for (let count = 0; count < 10; count++) {
      peer.sendRaw(emptyMaps(60_000, Kind.put));
    }
    expect((await served.closed).error?.message).toContain("maxBufferedBytes is 4000000; peer 0#");
  });

  test("counts what waits at a connection that is being closed", async () => {
    await using crowd = await Crowd.open(2, { maxBufferedBytes: 10_000_000 });
    const { served, raw } = crowd;
    const ask = (peer: RawPeer, count: number): void => {
      peer.pause();
      peer.send(...Array.from({ length: count }, (_, id) => [Kind.call, id + 1, "large", []] as const));
    };
    const [leaving, staying] = served.map(({ channel }) => channel.link);
    ask(raw[0]!, 8);
    await until(() => leaving!.pendingBytes > 7_000_000);
    const left = served[0]!.close("leaving");
    ask(raw[1]!, 4);
    await until(() => staying!.pendingBytes > 3_000_000);
    await Bun.sleep(0);
    expect([leaving!.pendingBytes, served[1]!.isOpen]).toEqual([0, true]);
    await left;
  });

  test("nothing ends when all of it is read in time", async () => {
    await using crowd = await Crowd.open(1, { maxBufferedBytes: 3_000_000 });
    const [peer] = crowd.raw;
    for (let id = 1; id <= 30; id++) {
      peer!.send([Kind.call, id, "large", []]);
      await peer!.take(Kind.result);
    }
    expect(crowd.served[0]!.isOpen).toBe(true);
  });
});

describe("an unfinished frame", () => {
  test("that makes no progress for handshakeTimeoutMs ends its connection; one that grows does not", async () => {
    await using crowd = await Crowd.open(3, { handshakeTimeoutMs: 200 });
    const { served, raw } = crowd;
    const ends = [served[0]!.closed, served[1]!.closed];
    let over = false;
    const both = Promise.all(ends).finally(() => (over = true));
    raw[0]!.sendBytes(part(1_000, 10));
    raw[1]!.sendBytes(new Uint8Array([7, 0]));
    raw[2]!.sendBytes(part(100_000, 10));
    while (!over) {
      raw[2]!.sendBytes(new Uint8Array([0xc0]));
      await Promise.race([both, Bun.sleep(20)]);
    }
    for (const { error } of await both) expect(error).toBeInstanceOf(FrameError);
    expect((await ends[0])?.error?.message).toBe(
      "a frame that was begun makes no progress: 14 B of it, and nothing more in 200 ms (handshakeTimeoutMs)",
    );
    expect(served[2]!.isOpen).toBe(true);
  });
});
