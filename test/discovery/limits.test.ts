/** What a registration may hold, and what becomes of an answer that is too large. */
import { describe, expect, test } from "bun:test";

import { type Address, getRegistry, LimitError, openNursery, openRootActor } from "../../src/index.ts";
import { Kind } from "../../src/wire/messages.ts";
import { failure } from "../support/outcome.ts";
import { rawHello, RawPeer } from "../support/raw-peer.ts";
import { World } from "../support/world.ts";

function address(length: number): Address {
  return `unix:///${"x".repeat(length - "unix:///".length)}`;
}

function addresses(count: number, length = 40): Address[] {
  return Array.from({ length: count }, () => address(length));
}

/** The next answer to a request: its kind, its id, and the error's name and message, or the value. */
async function answer(peer: RawPeer): Promise<unknown[]> {
  for (;;) {
    const [kind, id, value] = (await peer.take()) as [number, number, unknown];
    if (kind === Kind.result) return ["result", id, value];
    if (kind === Kind.error) return ["error", id, ...((value as unknown[])[1] as unknown[]).slice(0, 2)];
  }
}

describe("a registration", () => {
  test.each<[what: string, addrs: Address[], message: string]>([
    ["65 addresses", addresses(65), "an actor may have at most 64 addresses, got 65"],
    ["an address of 513 B", [address(513)], "an address may have at most 512 B, got 513"],
    ["20 MB of addresses", addresses(100, 200_000), "an actor may have at most 64 addresses, got 100"],
  ])("with %s is a LimitError for its sender, whose connection goes on", async (_, addrs, message) => {
    await using world = new World();
    await using actor = await openRootActor({ registryAddrs: [world.tcp] });
    await using peer = await RawPeer.connect(world.tcp, { name: "many" });
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, ["tcp://127.0.0.1:1"]]);
    await peer.take(Kind.result);
    peer.sendAll([Kind.register, 2, addrs]);
    expect(await answer(peer)).toEqual(["error", 2, "LimitError", message]);
    // what it had registered before stands
    peer.send([Kind.lookup, 3, "many", false]);
    const [, , brief] = await peer.take(Kind.result);
    expect(brief).toEndWith("\ntcp://127.0.0.1:1");
    expect(actor.stats().registrar?.actors).toBe(2);
  });

  test("with 64 addresses of 512 B each is taken, and found with all of them", async () => {
    await using world = new World();
    await using _actor = await openRootActor({ registryAddrs: [world.tcp] });
    await using peer = await RawPeer.connect(world.tcp, { name: "many" });
    await peer.take(Kind.hello);
    peer.send([Kind.register, 1, addresses(64, 512)], [Kind.lookup, 2, "many", false]);
    await peer.take(Kind.result);
    const [, , brief] = await peer.take(Kind.result);
    expect((brief as string).split("\n").slice(1)).toEqual(addresses(64, 512));
  });
});

describe("a hello", () => {
  test.each<[what: string, addrs: Address[], message: string]>([
    ["65 addresses", addresses(65), "an actor may have at most 64 addresses, got 65"],
    ["an address of 513 B", [address(513)], "an address may have at most 512 B, got 513"],
  ])("with %s is refused (limit)", async (_, addrs, message) => {
    await using world = new World();
    await using _actor = await openRootActor({ registryAddrs: [world.unix] });
    await using peer = await RawPeer.connect(world.unix);
    peer.send(rawHello({ name: "many", addrs }));
    expect((await peer.take()).slice(0, 3)).toEqual([Kind.refuse, "limit", message]);
  });

  test("of an actor that listens on 65 addresses fails its boot with a LimitError", async () => {
    await using world = new World();
    await world.actor("hub");
    const bindAddrs = Array.from({ length: 65 }, (): Address => "tcp://127.0.0.1:0");
    const paths = Array.from({ length: 65 }, (_, at): Address => `unix://${world.dir}/many-${at}.sock`);
    const error = await failure(openRootActor({ ...world.options, bindAddrs: [...bindAddrs, ...paths] }));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toBe("an actor may have at most 64 addresses, got 65");
  });
});

describe("an answer beyond maxFrameBytes", () => {
  test("is a LimitError for who looks up, lists or finds all, whose connection goes on", async () => {
    await using world = new World();
    const limits = { maxFrameBytes: 70_000 };
    await using nursery = await openNursery({ ...world.options, limits });
    const asker = await nursery.startActor<typeof import("../fixtures/service.ts")>("asker", {
      module: new URL("../fixtures/service.ts", import.meta.url),
    });
    await using stack = new AsyncDisposableStack();
    for (let at = 0; at < 3; at++) {
      const peer = stack.use(await RawPeer.connect(world.tcp, { name: "many" }));
      await peer.take(Kind.hello);
      peer.send([Kind.register, 1, addresses(64, 512)]);
      await peer.take(Kind.result);
    }
    await using raw = await RawPeer.connect(world.tcp, { name: "raw" });
    await raw.take(Kind.hello);
    raw.send([Kind.lookup, 1, "many", true]);
    raw.send([Kind.call, 2, "registrar.findActors", ["many"]]);
    raw.send([Kind.call, 3, "registrar.listActors", []]);
    for (const id of [1, 2, 3]) {
      const [kind, answered, name, text] = await answer(raw);
      expect([kind, answered, name]).toEqual(["error", id, "LimitError"]);
      expect(text).toContain("exceeds maxFrameBytes 70000");
    }
    const found = await failure(asker.run.find("many"));
    expect(found.message).toContain("exceeds maxFrameBytes 70000");
    expect(await asker.run.find("asker")).toBe(asker.id.uuid);
    await using registry = await getRegistry();
    expect(await failure(registry.run.listActors())).toBeInstanceOf(LimitError);
    expect((await registry.run.findActor("many"))?.addrs).toHaveLength(64);
  });
});
