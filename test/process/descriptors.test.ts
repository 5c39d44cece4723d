/** A process that may open few files: what cannot be let in costs nothing. */
import { afterEach, describe, expect, test } from "bun:test";

import { Kind } from "../../src/wire/messages.ts";
import { rawHello, RawPeer } from "../support/raw-peer.ts";
import { Program, World } from "../support/world.ts";

const wrapper = ["bash", "-c", 'ulimit -n 128; exec "$@"', "--"];
let program: Program | undefined;

afterEach(async () => await program?.kill());

/** A registrar that may open 128 files, and a friend that is connected to it. */
async function fewFiles(world: World, options: object = {}): Promise<RawPeer> {
  program = new Program(world.env, wrapper);
  await program.up;
  await program.run(async ({ furrow, keep, args }) => {
    keep["actor"] = await furrow.openRootActor({ name: "few", ...(args[0] as object) });
  }, options);
  const friend = await RawPeer.connect(world.unix, { name: "friend" });
  await friend.take(Kind.hello);
  return friend;
}

/** So many connections, one after the other; those that are not closed at once say hello, if they are to. */
async function flooded(
  world: World,
  count: number,
  says: boolean,
  flood: AsyncDisposableStack,
): Promise<RawPeer[]> {
  const peers: RawPeer[] = [];
  for (let at = 0; at < count; at++) {
    try {
      const peer = flood.use(await RawPeer.connect(world.unix));
      peers.push(peer);
      if (!says) continue;
      peer.send(rawHello({ name: `peer ${at}` }));
      await peer.take();
    } catch {
      // closed at once, maybe before it was open here
    }
  }
  return peers;
}

/** Milliseconds of processor time that the program takes in half a second. */
function processorMs(): Promise<number> {
  return program!.run(async () => {
    const before = process.cpuUsage();
    await Bun.sleep(500);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  });
}

describe("with fewer files than maxConnections", () => {
  test.each<[who: string, says: boolean]>([
    ["peers", true],
    ["strangers that say nothing", false],
  ])(
    "a flood of 300 %s is let in as far as the files go, costs no processor time, and holds no peer up",
    async (_, says) => {
      await using world = new World();
      await using friend = await fewFiles(world);
      await using flood = new AsyncDisposableStack();
      const peers = await flooded(world, 300, says, flood);
      expect(await processorMs()).toBeLessThan(150);
      expect(peers.filter((peer) => peer.isOpen).length).toBeWithin(says ? 60 : 1, says ? 74 : 14);
      friend.send([Kind.lookup, 1, "few", false]);
      expect((await friend.take(Kind.result))[2]).toHaveLength(1);
      // there is room for files of the program's own
      const opened = await program!.run(async () => await Bun.file("/proc/self/comm").text());
      expect(opened).not.toBe("");
    },
  );

  test("and files of its own, what gets one of the last is closed at once", async () => {
    await using world = new World();
    await using friend = await fewFiles(world);
    await program!.run(async ({ keep }) => {
      const { openSync } = await import("node:fs");
      const files: number[] = [];
      keep["files"] = files;
      while ((files.at(-1) ?? 0) < 110) files.push(openSync("/dev/null", "r"));
    });
    await using flood = new AsyncDisposableStack();
    const peers = await flooded(world, 60, true, flood);
    expect(await processorMs()).toBeLessThan(150);
    expect(peers.filter((peer) => peer.isOpen).length).toBeLessThan(20);
    friend.send([Kind.lookup, 1, "few", false]);
    expect((await friend.take(Kind.result))[2]).toHaveLength(1);
  });

  test("its own dials are refused by the limit that the files leave", async () => {
    await using world = new World();
    await using _friend = await fewFiles(world);
    await using flood = new AsyncDisposableStack();
    await flooded(world, 120, true, flood);
    const refused = await program!.run(async ({ furrow }) => {
      return await furrow
        .findActor("peer 1", { registryAddrs: ["tcp://127.0.0.1:1"], enableTransports: ["tcp"] })
        .catch((error: Error) => String((error as Error & { cause?: Error }).cause ?? error));
    });
    expect(refused).toContain("maxConnections 72 reached");
  });
});
