/** What a connected peer may cost, and who pays when it is more: the peer. */
import { describe, expect, test } from "bun:test";

import { FrameError, LimitError } from "../../src/errors.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { actor, soon, targetOf } from "./actors.ts";

/** A frame that holds so many empty maps, and nothing else, as the arguments of a call. */
function emptyMaps(count: number, kind: number = Kind.call): Uint8Array {
  const head = [0x94, kind, 1, 0xa4, ...Buffer.from("echo")];
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
