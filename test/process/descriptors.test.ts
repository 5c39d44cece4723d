/** A process with few file descriptors: connections that it can't accept cost nothing. */
import { afterEach, describe, expect, test } from "bun:test";

import { Kind } from "../../src/wire/messages.ts";
import { rawHello, RawPeer } from "../support/raw-peer.ts";
import { Program, World } from "../support/world.ts";

const wrapper = ["bash", "-c", 'ulimit -n 128; exec "$@"', "--"];
let program: Program | undefined;

afterEach(async () => await program?.kill());

/** A registrar limited to 128 files, and a friend that is connected to it. */
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

/** Opens `count` connections in turn; if `says` is set, those that aren't closed at once send a hello. */
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
      // closed at once, perhaps before it was open here
    }
  }
  return peers;
}

/** The processor time, in ms, that the program uses in half a second. */
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
    "admits a flood of 300 %s as far as descriptors last, without using processor time or delaying a peer",
    async (_, says) => {
      await using world = new World();
      await using friend = await fewFiles(world);
      await using flood = new AsyncDisposableStack();
      const peers = await flooded(world, 300, says, flood);
      expect(await processorMs()).toBeLessThan(150);
      expect(peers.filter((peer) => peer.isOpen).length).toBeWithin(says ? 60 : 1, says ? 74 : 14);
      friend.send([Kind.lookup, 1, "few", false]);
      expect((await friend.take(Kind.result))[2]).toBeString();
      // the program can still open files of its own
      const opened = await program!.run(async () => await Bun.file("/proc/self/comm").text());
      expect(opened).not.toBe("");
    },
  );

  test("and files of its own, it closes at once any connection that gets one of the last descriptors", async () => {
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
    expect((await friend.take(Kind.result))[2]).toBeString();
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
