/** What an actor says of open requests when it leaves, and what a caller makes of it. */
import { describe, expect, test } from "bun:test";

import { openRootActor, TransportClosedError } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { RawListener, type RawMessage, RawPeer, rawHello } from "../support/raw-peer.ts";
import { currentRuntime } from "../../src/actor/current.ts";
import { Deadline } from "../../src/deadline.ts";
import { World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url).href;

/** The bye of an actor that ends, to a peer that has sent these requests. */
async function byeAfter(...requests: RawMessage[]): Promise<RawMessage> {
  await using world = new World();
  const limits = { stopGraceMs: 20 };
  const actor = await openRootActor({ ...world.options, enableModules: [service], limits });
  await using peer = await RawPeer.connect(world.unix, { name: "asker" });
  await peer.take(Kind.hello);
  peer.send(...requests, [Kind.call, 9_999, "add", [1, 2]]);
  await peer.take(Kind.result);
  await actor.cancel();
  return await peer.take(Kind.bye);
}

describe("the bye of an actor that ends", () => {
  test("lists the requests that were read and not answered", async () => {
    const [, , open] = await byeAfter(
      [Kind.call, 1, "add", [1, 2]],
      [Kind.call, 2, "deaf", []],
      [Kind.call, 3, "missing", []],
      // this one is answered when its task is aborted
      [Kind.call, 4, "hang", []],
      [Kind.call, 5, "deaf", []],
    );
    expect(open).toEqual([2, 5]);
  });

  test("lists nothing where all is answered", async () => {
    expect((await byeAfter())[2]).toEqual([]);
  });

  test("lists nothing where there would be too much to list, and says so", async () => {
    const many = Array.from({ length: 1_001 }, (_, id): RawMessage => [Kind.call, id + 1, "deaf", []]);
    expect(await byeAfter(...many)).toHaveLength(2);
  });
});

describe("a stream that a peer had not read when it left", () => {
  test("says that it did not run, and one that it had read doesn't", async () => {
    await using world = new World();
    await using _ = await openRootActor(world.options);
    const uuid = crypto.randomUUID();
    const addrs = (): `unix://${string}`[] => [listener.addr as `unix://${string}`];
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(rawHello({ name: "leaver", uuid, addrs: addrs() }));
      const [, id] = await peer.take(Kind.stream);
      await peer.take(Kind.stream);
      peer.send([Kind.bye, "over", [id]]);
    });
    const target = { name: "leaver", uuid, addrs: addrs() };
    const peer = await currentRuntime().peers.connect(target, new Deadline({}, "test"));
    const [read, unread] = [1, 2].map((at) => peer.handler.exchange(Kind.stream, "fn", [at]).inbox.next());
    const errors = [await failure(read!), await failure(unread!)];
    for (const error of errors) expect(error).toBeInstanceOf(TransportClosedError);
    expect(errors.map(({ message }) => message.endsWith("; this did not run"))).toEqual([false, true]);
    peer.release();
  });
});
