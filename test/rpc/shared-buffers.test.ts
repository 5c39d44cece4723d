/** Memory that actors of one machine share: in place where they can, copied elsewhere, and given back. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { currentRuntime } from "../../src/actor/current.ts";
import type { Runtime } from "../../src/actor/runtime.ts";
import {
  EncodeError,
  findActor,
  FrameError,
  LimitError,
  type Nursery,
  openNursery,
  openRootActor,
  type Portal,
  shareBuffer,
  SharedBuffer,
  TimeoutError,
  TransportClosedError,
} from "../../src/index.ts";
import { OwnMemory } from "../../src/channel/own-memory.ts";
import { openLibc } from "../../src/transport/libc.ts";
import { createMemfd } from "../../src/transport/memfd.ts";
import { Kind } from "../../src/wire/messages.ts";
import { actor, soon, targetOf } from "../channel/actors.ts";
import { memory, sum } from "../fixtures/sharing.ts";
import { failure } from "../support/outcome.ts";
import { rawHello, RawListener, RawPeer } from "../support/raw-peer.ts";
import { until, World } from "../support/world.ts";

const module = new URL("../fixtures/sharing.ts", import.meta.url);
type Sharing = typeof import("../fixtures/sharing.ts");
const hasMemory = process.platform === "linux";
const canBeOthers = hasMemory && process.getuid?.() === 0;
if (!canBeOthers)
  console.warn("shared-buffers.test.ts: the test with another user is skipped: it needs linux and root");
const mebibyte = 1_048_576;
const nothing = { descriptors: 0, mappings: 0 };

describe.skipIf(!hasMemory)("a shared buffer", () => {
  let world: World;
  let nursery: Nursery;
  let peer: Portal<Sharing>;
  let other: Portal<Sharing>;

  beforeAll(async () => {
    world = new World();
    nursery = await openNursery({ registryAddrs: [world.unix] });
    const start = (name: string): Promise<Portal<Sharing>> => nursery.startActor<Sharing>(name, { module });
    [peer, other] = await Promise.all([start("peer"), start("other")]);
  });

  afterAll(async () => {
    await nursery[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  /** Waits until no shared memory is left, here and at the peer. */
  async function untilNothingIsLeft(): Promise<void> {
    const isClean = async (): Promise<boolean> =>
      Bun.deepEquals([memory(), await peer.run.memory()], [nothing, nothing]);
    // the collector may take something on the stack for a reference
    await until(isClean, 10_000);
  }

  test("is read and written in place by both sides, whoever made it", async () => {
    using mine = shareBuffer(mebibyte);
    expect([mine.byteLength, mine.bytes.length, mine.isShared]).toEqual([mebibyte, mebibyte, true]);
    mine.bytes.fill(7);
    expect(await peer.run.sum(mine)).toBe(7 * mebibyte);
    await peer.run.fill(mine, 9);
    expect(sum(mine)).toBe(9 * mebibyte);
    expect(await peer.run.isShared(mine)).toBeTrue();

    using theirs = await peer.run.make(10_000, 5);
    expect([theirs.byteLength, sum(theirs), theirs.isShared]).toEqual([10_000, 50_000, true]);
    theirs.bytes[0] = 6;
    expect((await peer.run.keptState()).sum).toBe(50_001);
    const floats = new Float64Array(theirs.bytes.buffer, theirs.bytes.byteOffset, 1_250);
    expect(floats).toHaveLength(1_250);
    await peer.run.giveUp("dispose");
  });

  test("comes back as the same object, wherever it stands in a value", async () => {
    using mine = shareBuffer(100);
    using theirs = await peer.run.make(100, 1);
    const value = { list: [mine, new Map([["theirs", theirs]])], again: mine };
    const back = (await peer.run.echo(value)) as typeof value;
    expect(back.list[0]).toBe(mine);
    expect(back.again).toBe(mine);
    expect((back.list[1] as Map<string, SharedBuffer>).get("theirs")).toBe(theirs);
    await peer.run.giveUp("dispose");
  });

  test("crosses in streams and dialogs", async () => {
    using mine = shareBuffer(4_096);
    const seen: number[] = [];
    for await (const frame of peer.stream.frames(mine, 3)) {
      expect(frame).toBe(mine);
      seen.push(frame.bytes[0]!);
    }
    expect(seen.at(-1)).toBe(3);
    mine.bytes[0] = 10;
    await using dialog = await peer.open.counts();
    for (const expected of [11, 12]) {
      await dialog.send(mine);
      const { value } = await dialog[Symbol.asyncIterator]().next();
      expect(value).toBe(mine);
      expect(mine.bytes[0]).toBe(expected);
    }
    await dialog.end();
  });

  test("is mapped once, and from then on costs a message of a few bytes", async () => {
    await untilNothingIsLeft();
    using mine = shareBuffer(mebibyte);
    await peer.run.sum(mine);
    const { link } = currentRuntime().peers.get(peer.id.uuid)!.channel;
    const written = link.writtenBytes;
    for (let made = 0; made < 50; made++) await peer.run.isShared(mine);
    expect((link.writtenBytes - written) / 50).toBeLessThan(100);
    expect(await peer.run.memory()).toEqual({ descriptors: 0, mappings: 1 });
  });

  test("arrives though it is disposed right after it was sent", async () => {
    const mine = shareBuffer(mebibyte);
    mine.bytes.fill(1);
    const call = peer.run.sum(mine);
    mine[Symbol.dispose]();
    expect(await call).toBe(mebibyte);
  });

  test("is given back when its maker disposes it: descriptors and mappings, here and there", async () => {
    const mine = shareBuffer(mebibyte);
    mine.bytes.fill(3);
    await peer.run.keep(mine);
    mine[Symbol.dispose]();
    // what is held there stays
    await until(async () => !(await peer.run.keptState()).isShared);
    expect((await peer.run.keptState()).sum).toBe(3 * mebibyte);
    await peer.run.giveUp("forget");
    await untilNothingIsLeft();
  });

  test("is given back when its receiver disposes it, and mapped again when it comes again", async () => {
    await untilNothingIsLeft();
    using mine = shareBuffer(mebibyte);
    mine.bytes.fill(2);
    await peer.run.keep(mine);
    expect((await peer.run.memory()).mappings).toBe(1);
    await peer.run.giveUp("dispose");
    await until(async () => (await peer.run.memory()).mappings === 0);
    expect(await peer.run.sum(mine)).toBe(2 * mebibyte);
  });

  test("keeps its memory for a view, though both sides have disposed it", async () => {
    const theirs = await peer.run.make(1_000, 8);
    const view = theirs.bytes.subarray(10, 20);
    theirs[Symbol.dispose]();
    await peer.run.giveUp("dispose");
    await until(async () => (await peer.run.memory()).descriptors === 0);
    Bun.gc(true);
    expect(view).toEqual(new Uint8Array(10).fill(8));
  });

  test("is given back when nobody holds it any more, though nobody disposed it", async () => {
    // in a function that has returned, so that nothing on the stack holds it
    await (async () => {
      expect(await peer.run.sum(shareBuffer(mebibyte))).toBe(0);
      expect(await peer.run.echo(shareBuffer(mebibyte))).toBeInstanceOf(SharedBuffer);
      expect((await peer.run.make(mebibyte, 1)).byteLength).toBe(mebibyte);
    })();
    await peer.run.giveUp("forget");
    await untilNothingIsLeft();
  });

  test("is given back when it arrives for a call that was given up", async () => {
    await untilNothingIsLeft();
    const late = await failure(peer.with({ timeout: 1 }).run.makeLate(1_000, 20));
    expect(late).toBeInstanceOf(TimeoutError);
    await until(async () => (await peer.run.memory()).descriptors === 1);
    await peer.run.giveUp("forget");
    await untilNothingIsLeft();
  });

  test("can't be sent or read any more once it is disposed", async () => {
    const mine = shareBuffer(10);
    mine[Symbol.dispose]();
    mine[Symbol.dispose]();
    expect(() => mine.bytes).toThrow(new ReferenceError("this shared buffer has been disposed"));
    expect(mine.isShared).toBeFalse();
    const error = await failure(peer.run.echo({ a: [mine] }));
    expect(error).toBeInstanceOf(EncodeError);
    expect(error.message).toBe("arguments of echo[0].a[0]: this shared buffer has been disposed");
  });

  test("is passed on in place, and given back along the same way", async () => {
    await untilNothingIsLeft();
    const mine = shareBuffer(20_000);
    mine.bytes.fill(1);
    expect(await peer.run.passOn("other", mine)).toEqual([20_000, true]);
    expect(mine.bytes[0]).toBe(2);
    expect(await peer.run.memory()).toEqual({ descriptors: 1, mappings: 1 });
    mine[Symbol.dispose]();
    await untilNothingIsLeft();
    await until(async () => Bun.deepEquals(await other.run.memory(), nothing));
  });

  test("is copied into the data of a start", async () => {
    using mine = shareBuffer(100);
    mine.bytes.fill(2);
    const child = await nursery.startActor<Sharing>("with-data", { module, data: mine });
    mine.bytes.fill(3);
    expect(await child.run.sumOfData()).toBe(200);
    await child.cancelActor();
  });

  test.skipIf(!canBeOthers)("can't be opened by another user", () => {
    using _mine = shareBuffer(100);
    const fds = readdirSync("/proc/self/fd").map((fd) => `/proc/${process.pid}/fd/${fd}`);
    const found = fds.filter((path) => {
      try {
        return readlinkSync(path).startsWith("/memfd:furrow");
      } catch {
        return false;
      }
    });
    expect(found.length).toBeGreaterThan(0);
    const reading = ["head", "-c", "1", ...found];
    expect(Bun.spawnSync(reading).exitCode).toBe(0);
    const stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...reading];
    const { exitCode, stderr } = Bun.spawnSync(stranger);
    expect(exitCode).not.toBe(0);
    expect(stderr.toString()).toContain("Permission denied");
  });
});

describe.skipIf(!hasMemory)("shared buffers of a peer", () => {
  test("stay readable after it was killed, and their memory is given back with the last view", async () => {
    await using world = new World();
    await using _self = await openRootActor({ registryAddrs: [world.unix] });
    const program = await world.actor("peer", { enableModules: [module.href] });
    await using peer = await findActor<Sharing>("peer", { raiseOnNone: true });
    await (async () => {
      const mine = shareBuffer(mebibyte);
      await peer.run.keep(mine);
      const theirs = await peer.run.make(mebibyte, 4);
      await program.kill();
      await peer.closed;
      expect([sum(theirs), theirs.isShared]).toEqual([4 * mebibyte, false]);
      mine[Symbol.dispose]();
      // no one has to confirm that any more
      expect(memory().descriptors).toBe(0);
    })();
    await until(() => Bun.deepEquals(memory(), nothing));
  });

  test("stay readable after the connection has ended, and are copied from then on", async () => {
    await using world = new World();
    // not the peer's registrar, so that the peer is found at once again
    await world.actor("hub");
    await using _self = await openRootActor({ registryAddrs: [world.unix] });
    await world.actor("peer", { enableModules: [module.href] });
    await using peer = await findActor<Sharing>("peer", { raiseOnNone: true });
    using mine = shareBuffer(mebibyte);
    await peer.run.keep(mine);
    using theirs = await peer.run.make(1_000, 4);
    await currentRuntime().peers.get(peer.id.uuid)!.close();
    expect([sum(theirs), theirs.isShared]).toEqual([4_000, false]);
    await using again = await findActor<Sharing>("peer", { raiseOnNone: true });
    expect(await again.run.isShared(theirs)).toBeFalse();
    expect(await again.run.sum(theirs)).toBe(4_000);
    expect(await again.run.isShared(mine)).toBeTrue();
    await until(async () => (await again.run.memory()).mappings === 2);
  });

  test("are copied over tcp, with an alignment for any view", async () => {
    await using world = new World();
    const options = { registryAddrs: [world.tcp], enableTransports: ["tcp" as const] };
    await using nursery = await openNursery(options);
    const peer = await nursery.startActor<Sharing>("peer", { module });
    using mine = shareBuffer(100_000);
    mine.bytes.fill(2);
    expect(await peer.run.isShared(mine)).toBeFalse();
    await peer.run.fill(mine, 3);
    expect(sum(mine)).toBe(200_000);
    using copy = ((await peer.run.echo([1, mine])) as [number, SharedBuffer])[1];
    expect([sum(copy), copy.isShared]).toEqual([200_000, false]);
    expect(new Float64Array(copy.bytes.buffer, copy.bytes.byteOffset, 12_500)).toHaveLength(12_500);
  });

  test("are shared by an actor that calls itself", async () => {
    await using world = new World();
    await using _self = await openRootActor({ registryAddrs: [world.unix], enableModules: [module] });
    await using self = await findActor<Sharing>("root", { raiseOnNone: true });
    using mine = shareBuffer(4_096);
    await self.run.fill(mine, 1);
    expect(sum(mine)).toBe(4_096);
    expect(await self.run.echo(mine)).toBe(mine);
  });
});

test.skipIf(!hasMemory)(
  "memory is closed once, though its release ends the connection that it was given to",
  () => {
    const memfd = createMemfd(4_096);
    const memory = new OwnMemory(new Uint8Array(4_096), memfd);
    const taker = { withdraw: () => memory.leave(taker) };
    memory.join(taker);
    memory.release();
    memory.release();
    memory.leave(taker);
    expect(() => fstatSync(memfd.fd)).toThrow("EBADF");
  },
);

describe.skipIf(!hasMemory)("maxSharedBytes", () => {
  test("bounds what an actor makes, small buffers counted as 64 KiB", async () => {
    await using world = new World();
    await using _self = await openRootActor({
      registryAddrs: [world.unix],
      limits: { maxSharedBytes: 200_000 },
    });
    using _one = shareBuffer(65_537);
    using two = shareBuffer(1);
    expect(() => shareBuffer(70_000)).toThrow(
      new LimitError(
        "shared buffers would take 201073 B, maxSharedBytes is 200000: dispose those that aren't used any more, or raise it",
      ),
    );
    two[Symbol.dispose]();
    using _three = shareBuffer(70_000);
    for (const bytes of [0, -1, 1.5, Number.NaN]) expect(() => shareBuffer(bytes)).toThrow(RangeError);
  });

  test("bounds what a peer has mapped here: its buffer can't be read, and the connection stays", async () => {
    await using world = new World();
    await using _self = await openRootActor({ registryAddrs: [world.unix] });
    const far = await actor("far", { limits: { maxSharedBytes: 100_000 }, functions: { sum } });
    const { handler } = await currentRuntime().peers.connect(targetOf(far), soon());
    using small = shareBuffer(100_000);
    using large = shareBuffer(mebibyte);
    expect(await handler.call("sum", [small])).toBe(0);
    const error = await failure(handler.call("sum", [large]));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("maxSharedBytes is 100000");
    expect(await handler.call("sum", [small])).toBe(0);
    await far.cancel();
  });
});

describe.skipIf(!hasMemory)("an actor that a peer lies to about shared buffers", () => {
  let far: Runtime;

  beforeAll(async () => {
    far = await actor("far", { functions: { sum }, limits: { maxSharedBytes: 4 * mebibyte } });
  });

  afterAll(() => far.cancel());

  async function liar(): Promise<RawPeer> {
    const raw = await RawPeer.connect(far.addrs[0]!, { name: "liar" });
    await raw.take(Kind.hello);
    return raw;
  }

  function call(raw: RawPeer, ...form: unknown[]): void {
    raw.send([Kind.call, 1, "sum", [0, [7, ...form]], true]);
  }

  /** The numbers that a sender gives, of a descriptor of this process. */
  function claim(id: number, fd: number, changes: { byteLength?: number; inode?: number } = {}): number[] {
    const { dev, ino, size } = fstatSync(fd);
    return [id, fd, changes.byteLength ?? Number(size), dev, changes.inode ?? ino, 1];
  }

  function unsealedMemfd(byteLength: number): number {
    const libc = openLibc({ memfd_create: { args: ["ptr", "u32"], returns: "i32" } });
    const fd = libc.memfd_create(Buffer.from("unsealed\0"), 3);
    ftruncateSync(fd, byteLength);
    return fd;
  }

  test.each<[what: string, form: unknown[]]>([
    ["nothing", []],
    ["a text", ["x"]],
    ["too few numbers", [1, 2, 3, 4, 5]],
    ["a negative descriptor", [1, -1, 4_096, 1, 1, 1]],
    ["a broken size", [1, 3, 0.5, 1, 1, 1]],
    ["a number that is infinite", [Infinity, 3, 4_096, 1, 1, 1]],
    ["a buffer that it wasn't given", [99]],
  ])("closes the connection on %s", async (_, form) => {
    await using raw = await liar();
    call(raw, ...form);
    await raw.ended;
  });

  test("closes the connection on a descriptor that isn't sealed memory of that size, and doesn't hang", async () => {
    const folder = process.env["FURROW_RUNTIME_DIR"]!;
    const fifo = join(folder, "fifo");
    expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
    const file = join(folder, "file");
    writeFileSync(file, Buffer.alloc(4_096));
    const sealed = createMemfd(4_096);
    const fds = [
      openSync(fifo, constants.O_RDWR),
      openSync(file, "r+"),
      openSync("/dev/null", "r+"),
      unsealedMemfd(4_096),
    ];
    const claims = [
      ...fds.map((fd) => claim(1, fd, { byteLength: 4_096 })),
      claim(1, sealed.fd, { byteLength: 8_192 }),
    ];
    for (const form of claims) {
      await using raw = await liar();
      call(raw, ...form);
      await raw.ended;
    }
    for (const fd of [...fds, sealed.fd]) closeSync(fd);
    for (const path of [fifo, file]) rmSync(path);
  });

  test("closes the connection when a buffer isn't the same as before", async () => {
    const [one, two] = [createMemfd(4_096), createMemfd(4_096)];
    await using raw = await liar();
    call(raw, ...claim(1, one.fd));
    await raw.take(Kind.result);
    call(raw, ...claim(1, two.fd));
    await raw.ended;
    for (const { fd } of [one, two]) closeSync(fd);
  });

  test("answers with an error, and goes on, when the memory is gone or is too much", async () => {
    const sealed = createMemfd(8 * mebibyte);
    await using raw = await liar();
    for (const [form, text] of [
      [claim(1, sealed.fd, { byteLength: 4_096, inode: 1 }), "the memory is gone"],
      [[2, 999_999, 4_096, 1, 1, 1], "can't be mapped here"],
      [claim(3, sealed.fd), "maxSharedBytes is 4194304"],
    ] as const) {
      call(raw, ...form);
      const [, , [, error]] = (await raw.take(Kind.error)) as unknown as [
        number,
        number,
        [unknown, unknown[]],
      ];
      expect(error[1]).toContain(text);
      // it doesn't hold what it couldn't map
      expect(raw.received).toContainEqual([Kind.released, form[0], 1]);
    }
    closeSync(sealed.fd);
  });

  test("maps no more than the limit allows, however many it is sent", async () => {
    const many = Array.from({ length: 70 }, () => createMemfd(10));
    const before = memory().mappings;
    await using raw = await liar();
    for (const [at, { fd }] of many.entries()) call(raw, ...claim(at, fd));
    while (raw.received.filter(([kind]) => kind === Kind.result || kind === Kind.error).length < 70)
      await raw.take();
    expect(raw.received.filter(([kind]) => kind === Kind.result)).toHaveLength(64);
    expect(memory().mappings).toBeLessThanOrEqual(before + 64);
    for (const { fd } of many) closeSync(fd);
  });

  test("confirms what it doesn't hold, though it refuses the call", async () => {
    const waiting = Promise.withResolvers<void>();
    const busy = await actor("busy", {
      functions: { wait: () => waiting.promise },
      limits: { maxCallsInFlight: 1 },
    });
    const sealed = createMemfd(4_096);
    await using raw = await RawPeer.connect(busy.addrs[0]!, { name: "caller" });
    raw.send([Kind.call, 1, "wait", []], [Kind.call, 2, "wait", [0, [7, ...claim(1, sealed.fd)]], true]);
    expect((await raw.take(Kind.error))[1]).toBe(2);
    await until(() => {
      Bun.gc(true);
      return raw.received.some(([kind]) => kind === Kind.released);
    });
    waiting.resolve();
    closeSync(sealed.fd);
    await busy.cancel();
  });

  test("fails the call that it answers with one", async () => {
    await using listener = new RawListener(async (raw) => {
      await raw.take(Kind.hello);
      raw.send(rawHello({ name: "liar" }));
      const [, id] = await raw.take(Kind.call);
      raw.send([Kind.result, id, [7, 99], true]);
      await raw.ended;
    });
    const { handler } = await far.peers.connectTo(listener.addr, soon());
    const error = await failure(handler.call("f", []));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.cause).toEqual(new FrameError("peer returned shared buffer 99, which it doesn't hold"));
  });

  test("ignores what is said of buffers that it never had, and confirms their end", async () => {
    await using raw = await liar();
    raw.send([Kind.released, 5, 1], [Kind.unshare, 6, 9]);
    expect(await raw.take(Kind.released)).toEqual([Kind.released, 6, 9]);
  });
});
