import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { Channel, type ChannelEnd, closedError } from "../../src/channel/channel.ts";
import { Deadline } from "../../src/deadline.ts";
import { EncodeError, FrameError, LimitError, TransportClosedError } from "../../src/errors.ts";
import { type Limits, resolveLimits } from "../../src/limits.ts";
import type { Link, LinkReader } from "../../src/transport/transport.ts";
import { unixTransport } from "../../src/transport/unix.ts";
import { largeBinaryBytes } from "../../src/wire/large-binary.ts";
import { Kind, type Message } from "../../src/wire/messages.ts";
import { toWire } from "../../src/wire/encode.ts";
import { until } from "../support/world.ts";
import { bytesOf, frameOf, joined } from "../wire/crossing.ts";

let files = 0;

/** Both ends of a unix connection. */
async function links(): Promise<{ near: Link; far: Link; readonly stop: () => void }> {
  const path = join(process.env["FURROW_RUNTIME_DIR"]!, `channel-${++files}.sock`);
  const accepted = Promise.withResolvers<Link>();
  const listener = await unixTransport.listen({ transport: "unix", path, host: "" }, accepted.resolve);
  const near = await unixTransport.connect(
    { transport: "unix", path, host: "" },
    new Deadline({ timeout: 5_000 }, "dial"),
  );
  const far = await accepted.promise;
  return { near, far, stop: () => listener.close() };
}

/** Logs the calls of a channel to its handler. */
class Log {
  readonly messages: Message[] = [];
  readonly ends: ChannelEnd[] = [];
  readonly channel: Channel;
  readonly ended: Promise<ChannelEnd>;

  constructor(channel: Channel) {
    this.channel = channel;
    const { promise, resolve } = Promise.withResolvers<ChannelEnd>();
    this.ended = promise;
    channel.handler = {
      onMessage: (message) => void this.messages.push(message),
      onEnd: (end) => {
        this.ends.push(end);
        resolve(end);
      },
    };
  }

  async receives(count: number): Promise<void> {
    await until(() => this.messages.length >= count);
    expect(this.messages).toHaveLength(count);
  }
}

interface Pair extends AsyncDisposable {
  readonly near: Log;
  readonly far: Log;
}

async function channels(changes: Partial<Limits> = {}): Promise<Pair> {
  const { near, far, stop } = await links();
  const limits = resolveLimits(changes);
  const both = [near, far].map((link) => {
    const log = new Log(new Channel(link, limits));
    log.channel.establish();
    return log;
  }) as [Log, Log];
  const dispose = async (): Promise<void> => {
    for (const { channel } of both) channel.abort(new Error("the test is over"));
    stop();
    await Promise.all(both.map(({ ended }) => ended));
  };
  return { near: both[0], far: both[1], [Symbol.asyncDispose]: dispose };
}

/** A channel against raw bytes. */
async function strange(
  established = true,
): Promise<{ log: Log; raw: Link; rawReader: Tap } & AsyncDisposable> {
  const { near, far, stop } = await links();
  const log = new Log(
    new Channel(near, resolveLimits({ maxFrameBytes: 1_000_000, maxPendingSendBytes: 200_000 })),
  );
  if (established) log.channel.establish();
  const rawReader = new Tap();
  far.reader = rawReader;
  const dispose = async (): Promise<void> => {
    log.channel.abort(new Error("the test is over"));
    far.abort();
    stop();
    await log.ended;
  };
  return { log, raw: far, rawReader, [Symbol.asyncDispose]: dispose };
}

class Tap implements LinkReader {
  readonly chunks: Uint8Array[] = [];
  ended = false;

  onData(chunk: Uint8Array): void {
    this.chunks.push(chunk);
  }

  onEnd(): void {
    this.ended = true;
  }
}

function write(link: Link, bytes: Uint8Array): void {
  link.write(bytes, 0, bytes.length, true);
}

/** Records what the channel writes to its link, without a socket. */
function recorded(): { channel: Channel; writes: { bytes: Uint8Array; length: number; stable: boolean }[] } {
  const writes: { bytes: Uint8Array; length: number; stable: boolean }[] = [];
  const link: Link = {
    reader: new Tap(),
    remote: "a recording",
    localHost: "",
    loopbackUid: () => undefined,
    ends: "",
    peer: undefined,
    mayFallSilent: false,
    pendingBytes: 0,
    writtenBytes: 0,
    readBytes: 0,
    writes: 0,
    write: (bytes, start, end, stable) => void writes.push({ bytes, length: end - start, stable }),
    drained: () => Promise.resolve(),
    close: () => Promise.resolve(),
    abort() {},
    pause() {},
    resume() {},
  };
  return { channel: new Channel(link, resolveLimits()), writes };
}

describe("Channel.send", () => {
  test("sends all messages of one turn in one write, including those of its microtasks and ticks", async () => {
    await using both = await channels();
    const { channel } = both.near;
    const { writes } = channel.link;
    for (let id = 0; id < 50; id++) channel.send([Kind.result, id, "now"]);
    void Promise.resolve().then(() => channel.send([Kind.result, 50, "a microtask"]));
    void Promise.resolve()
      .then(() => {})
      .then(() => {})
      .then(() => channel.send([Kind.result, 51, "a later one"]));
    queueMicrotask(() => queueMicrotask(() => channel.send([Kind.result, 52, "a nested one"])));
    expect(channel.link.writes).toBe(writes);
    await both.far.receives(53);
    expect(channel.link.writes - writes).toBe(1);
    const ids = both.far.messages.map(([, id]) => id as number);
    expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: 53 }, (_, id) => id));
  });

  test("answers all requests of one chunk in one write, even those that await a promise", async () => {
    await using both = await channels();
    both.far.channel.handler.onMessage = (message) => {
      if (message[0] !== Kind.call) return;
      const id = message[1];
      if (id % 2 === 0) both.far.channel.send([Kind.result, id]);
      else void Promise.resolve().then(() => both.far.channel.send([Kind.result, id]));
    };
    const { writes } = both.far.channel.link;
    for (let id = 0; id < 100; id++) both.near.channel.send([Kind.call, id, "f", []]);
    await both.near.receives(100);
    expect(both.far.channel.link.writes - writes).toBe(1);
  });

  test("returns the size of the frame", () => {
    const { channel } = recorded();
    const message: Message = [Kind.result, 1, "text"];
    expect(channel.send(message)).toBe(frameOf(message).length - 4);
    const value = new Uint8Array([1, 2, 3]);
    expect(channel.sendBinary(Kind.item, 1, value)).toBe(frameOf([Kind.item, 1, value]).length - 4);
  });

  test("writes a large binary from the caller's memory, and copies a small one", () => {
    const { channel, writes } = recorded();
    const large = new Uint8Array(largeBinaryBytes).fill(1);
    const small = new Uint8Array(largeBinaryBytes - 1).fill(2);
    for (const binary of [large, small]) {
      const { value } = toWire({ inside: [binary] }, "value");
      channel.send([Kind.result, 1, value]);
    }
    channel.flush();
    const shared = writes.filter(({ bytes }) => bytes.buffer === large.buffer);
    expect(shared.map(({ bytes, length, stable }) => [bytes.byteOffset, length, stable])).toEqual([
      [large.byteOffset, large.length, true],
    ]);
    expect(writes.some(({ bytes }) => bytes.buffer === small.buffer)).toBe(false);
    expect(writes).toHaveLength(3);
  });

  test("does not wait for the end of the turn once its buffer is full", () => {
    const { channel, writes } = recorded();
    for (let id = 0; id < 200; id++) channel.send([Kind.result, id, "x".repeat(1_000)]);
    expect(writes.length).toBeWithin(2, 6);
  });

  test("delivers binary values as views of the received chunk", async () => {
    await using both = await channels();
    both.near.channel.send([Kind.result, 1, new Uint8Array([1, 2, 3])]);
    both.near.channel.send([Kind.result, 2, new Uint8Array([4, 5, 6])]);
    await both.far.receives(2);
    const [one, two] = both.far.messages.map(([, , value]) => value as Uint8Array);
    expect([one, two]).toEqual([new Uint8Array([1, 2, 3]), new Uint8Array([4, 5, 6])]);
    expect(one!.buffer).toBe(two!.buffer);
    expect(one!.constructor).toBe(Uint8Array);
  });

  test("carries values of any size in order, small ones between large ones", async () => {
    await using both = await channels();
    const sizes = [10, 20_000, 3, 5_000_000, 0, 65_531, 65_532, 65_533, 100, 16_383, 16_384, 1_000_000];
    for (const [id, size] of sizes.entries()) {
      const { value } = toWire(new Uint8Array(size).fill(id + 1), "value");
      both.near.channel.send([Kind.result, id, value]);
    }
    await both.far.receives(sizes.length);
    for (const [id, size] of sizes.entries()) {
      const [, arrived, value] = both.far.messages[id] as [number, number, Uint8Array];
      expect([arrived, value.length, value.every((byte) => byte === id + 1)]).toEqual([id, size, true]);
    }
  });

  test("refuses a message beyond maxFrameBytes, and stays open", async () => {
    await using both = await channels({ maxFrameBytes: 100 });
    const { channel } = both.near;
    expect(() => channel.send([Kind.result, 1, "x".repeat(100)])).toThrow(LimitError);
    expect(() => channel.send([Kind.result, 1, "x".repeat(100)])).toThrow("exceeds maxFrameBytes 100");
    expect(() => channel.send([Kind.result, 1, Symbol("no")])).toThrow(EncodeError);
    channel.send([Kind.result, 2, "x"]);
    await both.far.receives(1);
  });

  test("refuses more once maxPendingSendBytes are queued for a peer that isn't reading, until it reads", async () => {
    await using both = await channels({ maxPendingSendBytes: 1_000_000 });
    const { channel } = both.near;
    both.far.channel.link.pause();
    let sent = 0;
    const fill = (): void => {
      for (;;) {
        channel.send([Kind.result, sent, "x".repeat(10_000)]);
        sent++;
      }
    };
    expect(fill).toThrow(LimitError);
    expect(fill).toThrow(
      /^send queue for .* holds \d+ B: the peer is not reading \(maxPendingSendBytes 1000000\)$/,
    );
    expect(() => channel.sendBinary(Kind.item, 1, new Uint8Array(1))).toThrow(LimitError);
    expect(channel.link.pendingBytes).toBeWithin(900_000, 1_100_000);
    expect(channel.isOpen).toBe(true);
    both.far.channel.link.resume();
    await channel.link.drained();
    channel.send([Kind.result, sent++, "behind"]);
    await both.far.receives(sent);
    expect(both.far.messages.map(([, id]) => id)).toEqual(Array.from({ length: sent }, (_, id) => id));
  });

  test("throws TransportClosedError once the channel has ended", async () => {
    await using both = await channels();
    await both.near.channel.close();
    expect(() => both.near.channel.send([Kind.ping, 1])).toThrow(TransportClosedError);
    expect(() => both.near.channel.sendBinary(Kind.item, 1, new Uint8Array(1))).toThrow(TransportClosedError);
    expect(() => both.near.channel.post([Kind.ping, 1])).not.toThrow();
  });
});

describe("Channel.post", () => {
  test("closes the channel when the peer accepts no more", async () => {
    await using both = await channels({ maxPendingSendBytes: 100_000 });
    both.far.channel.link.pause();
    const { channel } = both.near;
    while (channel.isOpen) channel.post([Kind.result, 1, "x".repeat(10_000)]);
    expect(both.near.ends[0]?.error).toBeInstanceOf(LimitError);
    both.far.channel.link.resume();
    await both.far.ended;
  });

  test("closes the connection of a peer that floods it with pings and does not read", async () => {
    await using peer = await strange();
    peer.raw.pause();
    const pings = joined(Array.from({ length: 5_000 }, () => bytesOf("03000000920307")));
    for (let round = 0; round < 1_000 && peer.log.channel.isOpen; round++) {
      write(peer.raw, pings);
      await peer.raw.drained();
    }
    expect((await peer.log.ended).error).toBeInstanceOf(LimitError);
  });
});

describe("Channel's end", () => {
  test("by close delivers what was sent before, and sends a bye", async () => {
    await using both = await channels();
    for (let id = 0; id < 10; id++) both.near.channel.send([Kind.result, id, "x".repeat(100_000)]);
    await both.near.channel.close();
    expect(await both.far.ended).toEqual({ reason: "peer-closed" });
    expect(both.far.messages).toHaveLength(10);
    expect(both.near.ends).toEqual([{ reason: "closed" }]);
    await both.near.channel.close();
    expect(both.near.ends).toHaveLength(1);
  });

  test("is reported once, and no message comes after it", async () => {
    await using both = await channels();
    // everything the far side still sends arrives while the near side's link is closing
    both.far.channel.link.pause();
    const closing = both.near.channel.close();
    for (let id = 0; id < 1_000; id++) both.far.channel.send([Kind.call, id, "f", ["x".repeat(1_000)]]);
    both.far.channel.flush();
    both.far.channel.link.resume();
    await closing;
    await both.far.ended;
    expect(both.near.messages).toEqual([]);
    expect([both.near.ends.length, both.far.ends.length]).toEqual([1, 1]);
  });

  test("without a bye is the death of the peer", async () => {
    await using both = await channels();
    both.near.channel.send([Kind.result, 1]);
    both.near.channel.flush();
    both.near.channel.link.abort();
    expect(await both.far.ended).toEqual({ reason: "peer-died" });
    expect(both.far.messages).toHaveLength(1);
  });

  test("inside a frame is the death of the peer, and says so", async () => {
    await using peer = await strange();
    write(peer.raw, frameOf([Kind.result, 1, "whole"]).slice(0, -1));
    void peer.raw.close();
    const end = await peer.log.ended;
    expect(end.reason).toBe("peer-died");
    expect(end.error).toEqual(new FrameError("input ended inside a frame"));
  });

  test("by abort reports the error at once", async () => {
    await using both = await channels();
    const error = new Error("enough");
    both.near.channel.abort(error);
    expect(both.near.ends).toEqual([{ reason: "error", error }]);
    expect(await both.far.ended).toMatchObject({ reason: "peer-died" });
  });

  test("comes when the handler throws, with its error", async () => {
    await using both = await channels();
    const error = new Error("a fault of the handler");
    both.far.channel.handler.onMessage = () => {
      throw error;
    };
    both.near.channel.send([Kind.result, 1]);
    both.near.channel.send([Kind.result, 2]);
    expect(await both.far.ended).toEqual({ reason: "error", error });
  });

  test.each<[what: string, bytes: Uint8Array, message: string]>([
    ["a length of 0", bytesOf("00000000"), "frame of 0 B"],
    ["a length of 4 GiB", bytesOf("ffffffff"), "frame of 4294967295 B exceeds maxFrameBytes 1000000"],
    ["an http request", new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"), "exceeds maxFrameBytes"],
    ["bytes that aren't msgpack", bytesOf("02000000c1c1"), "is not one msgpack value"],
    ["a value that isn't a message", bytesOf("01000000c0"), "a message must be an array"],
    ["an unknown kind", bytesOf("0300000091ccff"), "unknown message kind 255"],
    ["fields of wrong types", bytesOf("030000009208c0"), "field 1 of a message of kind 8 is malformed"],
  ])("comes with a FrameError on %s", async (_, bytes, message) => {
    await using peer = await strange();
    const before = frameOf([Kind.result, 7]);
    write(peer.raw, joined([before, bytes, before]));
    const end = await peer.log.ended;
    expect(end.reason).toBe("error");
    expect(end.error).toBeInstanceOf(FrameError);
    expect(end.error?.message).toContain(message);
    expect(peer.log.messages).toEqual([[Kind.result, 7]]);
    await until(() => peer.rawReader.ended);
  });

  test("comes on a frame beyond 64 KiB before the handshake is done, and not after it", async () => {
    const large = frameOf([Kind.result, 1, "x".repeat(70_000)]);
    {
      await using stranger = await strange(false);
      write(stranger.raw, large);
      expect((await stranger.log.ended).error?.message).toContain("exceeds maxFrameBytes 65536");
    }
    await using peer = await strange(true);
    write(peer.raw, large);
    await peer.log.receives(1);
  });
});

describe("ping", () => {
  test("is answered by the channel itself", async () => {
    await using peer = await strange();
    write(peer.raw, frameOf([Kind.ping, 7]));
    await until(() => peer.rawReader.chunks.length > 0);
    expect(joined(peer.rawReader.chunks)).toEqual(frameOf([Kind.pong, 7]));
    write(peer.raw, frameOf([Kind.pong, 7]));
    write(peer.raw, frameOf([Kind.result, 1]));
    await peer.log.receives(1);
  });
});

describe("closedError", () => {
  test("names the peer and how the channel ended, with the cause", () => {
    const cause = new Error("why");
    const texts = (["closed", "peer-closed", "peer-died", "error"] as const).map((reason) => {
      const error = closedError({ reason, error: cause }, "quotes#1");
      expect(error).toBeInstanceOf(TransportClosedError);
      expect(error.cause).toBe(cause);
      return error.message;
    });
    expect(texts).toEqual([
      "connection to quotes#1 was closed on this side",
      "connection to quotes#1 was closed by the peer",
      "connection to quotes#1 was lost: the peer died",
      "connection to quotes#1 was closed on an error",
    ]);
    const own = new TransportClosedError("silent");
    expect(closedError({ reason: "error", error: own }, "quotes#1")).toBe(own);
  });
});
