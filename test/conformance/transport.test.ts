/** The promises of `src/transport/transport.ts`, tested for every transport. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { Deadline } from "../../src/deadline.ts";
import {
  AddressError,
  EncodeError,
  systemCode,
  TimeoutError,
  TransportClosedError,
} from "../../src/errors.ts";
import { formatAddress, type ParsedAddress, parseAddress } from "../../src/transport/address.ts";
import { isAbsent } from "../../src/transport/dial.ts";
import { tcpDriver, tcpTransport } from "../../src/transport/tcp.ts";
import type {
  Link,
  LinkEnd,
  LinkPeer,
  LinkReader,
  Listener,
  TransportDriver,
} from "../../src/transport/transport.ts";
import { unixTransport } from "../../src/transport/unix.ts";
import type { TlsIdentity } from "../../src/transport/tls.ts";
import { Authority } from "../support/certificates.ts";
import { setTiming } from "../support/timing.ts";
import { Program, until } from "../support/world.ts";

const mebibyte = 1_048_576;

/** Counts the bytes that a link receives, and checks that they are `patterned` bytes in order. */
class Tap implements LinkReader {
  received = 0;
  broken = false;
  readonly ends: LinkEnd[] = [];
  readonly #ended = Promise.withResolvers<LinkEnd>();
  /** Called after each chunk. */
  onChunk: (chunk: Uint8Array) => void = () => {};

  onData(chunk: Uint8Array): void {
    if (!isPatterned(chunk, this.received)) this.broken = true;
    this.received += chunk.length;
    this.onChunk(chunk);
  }

  onEnd(end: LinkEnd): void {
    this.ends.push(end);
    this.#ended.resolve(end);
  }

  get ended(): Promise<LinkEnd> {
    return this.#ended.promise;
  }

  async receives(bytes: number): Promise<void> {
    await until(() => this.received >= bytes);
    expect([this.received, this.broken]).toEqual([bytes, false]);
  }
}

/** Twice what is repeated, so that a piece of that length may begin anywhere in it. */
const period = 65_536;
const pattern = Uint8Array.from({ length: 2 * period }, (_, at) => (at * 7 + (at >> 8)) & 0xff);

/** Calls `use` with the pieces of `bytes`, and what the pattern has in their places. */
function eachPiece(
  bytes: Uint8Array,
  from: number,
  use: (piece: Uint8Array, model: Uint8Array) => void,
): void {
  for (let at = 0; at < bytes.length; at += period) {
    const piece = bytes.subarray(at, at + period);
    const start = (from + at) % period;
    use(piece, pattern.subarray(start, start + piece.length));
  }
}

function patterned(length: number, from = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  eachPiece(bytes, from, (piece, model) => piece.set(model));
  return bytes;
}

function isPatterned(bytes: Uint8Array, from: number): boolean {
  let isEqual = true;
  eachPiece(bytes, from, (piece, model) => (isEqual &&= Buffer.compare(piece, model) === 0));
  return isEqual;
}

function send(link: Link, bytes: Uint8Array, stable = true): void {
  link.write(bytes, 0, bytes.length, stable);
}

/** Both ends of a connection, and its listener. */
interface Wire extends AsyncDisposable {
  readonly listener: Listener;
  readonly near: Link;
  readonly far: Link;
  readonly nearTap: Tap;
  readonly farTap: Tap;
}

let files = 0;

interface Kind {
  readonly name: string;
  readonly driver: TransportDriver;
  /** Passed to the drivers in other processes too. */
  readonly tls?: TlsIdentity;
  readonly fresh: () => ParsedAddress;
}

const tls = new Authority().issue("test/conformance");

const kinds: readonly Kind[] = [
  {
    name: "unix",
    driver: unixTransport,
    fresh: () => ({
      transport: "unix",
      path: join(process.env["FURROW_RUNTIME_DIR"]!, `conformance-${++files}.sock`),
      host: "",
    }),
  },
  {
    name: "tcp",
    driver: tcpTransport,
    fresh: () => ({ transport: "tcp", host: "127.0.0.1", port: 0 }),
  },
  {
    name: "tcp with tls",
    driver: tcpDriver(tls),
    tls,
    fresh: () => ({ transport: "tcp", host: "127.0.0.1", port: 0 }),
  },
];

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function soon(timeout = 5_000): Deadline {
  return new Deadline({ timeout }, "dial of a test");
}

describe.each(kinds.map((kind) => [kind.name, kind] as const))("%s", (_, kind) => {
  const { driver, fresh } = kind;
  const { transport } = driver;

  async function wire(): Promise<Wire> {
    const accepted = Promise.withResolvers<Link>();
    const farTap = new Tap();
    const listener = await driver.listen(fresh(), (link) => {
      link.reader = farTap;
      accepted.resolve(link);
    });
    const near = await driver.connect(listener.address, soon());
    const nearTap = new Tap();
    near.reader = nearTap;
    const far = await accepted.promise;
    const dispose = async (): Promise<void> => {
      near.abort();
      far.abort();
      listener.close();
      await Promise.all([nearTap.ended, farTap.ended]);
    };
    return { listener, near, far, nearTap, farTap, [Symbol.asyncDispose]: dispose };
  }

  /** A link to the program, which then stops, and 16 MiB that it doesn't read. */
  async function connectAndStop(program: SilentListener): Promise<{ link: Link; tap: Tap }> {
    const link = await driver.connect(program.address, soon());
    const tap = new Tap();
    link.reader = tap;
    program.signal("SIGSTOP");
    send(link, patterned(16 * mebibyte));
    return { link, tap };
  }

  describe("connect", () => {
    test("carries bytes both ways in order, whatever pieces they are written in", async () => {
      await using both = await wire();
      let sent = 0;
      for (let size = 1; size < 3_000; size += 97) {
        send(both.near, patterned(size, sent));
        send(both.far, patterned(size, sent));
        sent += size;
      }
      await both.farTap.receives(sent);
      await both.nearTap.receives(sent);
    });

    test("fails as absent, with the system's code, where nothing listens", async () => {
      const { listener } = await wire().then(async (both) => (await both[Symbol.asyncDispose](), both));
      const dialled = driver.connect(listener.address, soon());
      const error = await dialled.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(TransportClosedError);
      expect(isAbsent(error)).toBe(true);
      expect(systemCode((error as Error).cause)).toBe(transport === "unix" ? "ENOENT" : "ECONNREFUSED");
      expect((error as Error).message).toContain(formatAddress(listener.address));
    });

    test("rejects with the signal's own reason, even one that looks like a system error", async () => {
      await using both = await wire();
      for (const reason of [new Error("enough"), Object.assign(new Error("odd"), { code: "ECONNREFUSED" })]) {
        const deadline = new Deadline({ signal: AbortSignal.abort(reason) }, "dial");
        const error = await driver
          .connect(both.listener.address, deadline)
          .catch((thrown: unknown) => thrown);
        expect(error).toBe(reason);
      }
    });

    test("leaves no connection when it is aborted", async () => {
      const before = descriptors();
      let accepted = 0;
      let ended = 0;
      const listener = await driver.listen(fresh(), (link) => {
        accepted++;
        link.reader = { onData() {}, onEnd: () => void ended++ };
      });
      for (let round = 0; round < 20; round++) {
        const controller = new AbortController();
        const deadline = new Deadline({ signal: controller.signal }, "dial");
        const dialling = driver.connect(listener.address, deadline).catch((thrown: unknown) => thrown);
        controller.abort(new Error("enough"));
        expect(await dialling).toBe(controller.signal.reason);
      }
      // with tls, an aborted dial never becomes one of the listener's links
      await until(() => ended === accepted && (kind.tls !== undefined || accepted === 20));
      listener.close();
      await until(() => descriptors() <= before);
    });

    test("rejects with a TimeoutError of stage dial when its deadline passes", async () => {
      await using both = await wire();
      const error = await driver.connect(both.listener.address, soon(0)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TimeoutError);
      expect((error as TimeoutError).stage).toBe("dial");
    });

    test("succeeds when the peer accepts but stays silent, except over tls, where the peer must prove its identity", async () => {
      await using program = await silentListener(kind);
      program.signal("SIGSTOP");
      if (kind.tls !== undefined) {
        const error = await driver.connect(program.address, soon(100)).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(TimeoutError);
        return;
      }
      const link = await driver.connect(program.address, soon());
      send(link, patterned(100));
      link.abort();
    });

    test("waits for a listener that is too busy to accept, and loses none of 700 dials", async () => {
      await using program = await silentListener(kind);
      program.signal("SIGSTOP");
      const dials = Array.from({ length: 700 }, () => driver.connect(program.address, soon(14_000)));
      // whatever fails here, no dial outlives the test: its error would count against another one
      await using _ = { [Symbol.asyncDispose]: async () => void (await Promise.allSettled(dials)) };
      // the backlog is full when the dials stop succeeding
      let open = 0;
      const onOpen = (): void => void open++;
      for (const dial of dials) dial.then(onOpen, () => {});
      await until(() => open >= 500 || (kind.tls !== undefined && connectionsTo(program.address) >= 500));
      program.signal("SIGCONT");
      const links = await Promise.all(dials);
      await until(async () => (await program.accepted()) === 700);
      for (const link of links) link.abort();
    });
  });

  describe("listen", () => {
    test("reports the bound address, and can be dialled there", async () => {
      await using both = await wire();
      expect(both.listener.address.transport).toBe(transport);
      if (both.listener.address.transport === "tcp") expect(both.listener.address.port).toBeGreaterThan(0);
      expect(parseAddress(formatAddress(both.listener.address))).toEqual(both.listener.address);
    });

    test("refuses an address that is already bound, and leaves its holder alone", async () => {
      await using both = await wire();
      const error = await driver.listen(both.listener.address, () => {}).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(AddressError);
      expect(systemCode((error as Error).cause)).toBe("EADDRINUSE");
      expect((error as Error).message).toContain("address already in use");
      send(both.near, patterned(10));
      await both.farTap.receives(10);
      (await driver.connect(both.listener.address, soon())).abort();
    });

    test("stops on close, which is idempotent, and leaves open links open", async () => {
      await using both = await wire();
      both.listener.close();
      both.listener.close();
      const again = await driver.connect(both.listener.address, soon()).catch((thrown: unknown) => thrown);
      expect(isAbsent(again)).toBe(true);
      send(both.near, patterned(1_000));
      await both.farTap.receives(1_000);
      const taken = await driver.listen(both.listener.address, () => {});
      taken.close();
    });
  });

  describe("Link", () => {
    test("reports, on either side, the identity that the kernel or a certificate proves", async () => {
      await using both = await wire();
      const isKnown = transport === "unix" && process.platform === "linux";
      const processAt = (pid: number): LinkPeer | undefined => {
        if (kind.tls !== undefined) return { kind: "tls", subject: "test/conformance" };
        return isKnown ? { kind: "unix", uid: process.getuid!(), pid } : undefined;
      };
      expect([both.near.peer, both.far.peer]).toEqual([processAt(process.pid), processAt(process.pid)]);
      await using program = await silentListener(kind);
      const link = await driver.connect(program.address, soon());
      expect(link.peer).toEqual(processAt(program.pid));
      link.abort();
      // a known identity is kept
      expect(link.peer).toEqual(processAt(program.pid));
    });

    test("sends all of 32 MiB to a reader that is slow to start, and reports the pending bytes", async () => {
      await using both = await wire();
      const bytes = patterned(32 * mebibyte);
      both.far.pause();
      send(both.near, bytes);
      expect(both.near.pendingBytes).toBeGreaterThan(16 * mebibyte);
      let drained = false;
      const draining = both.near.drained().then(() => (drained = true));
      await Bun.sleep(20);
      expect([drained, both.farTap.received]).toEqual([false, 0]);
      both.far.resume();
      await draining;
      expect(both.near.pendingBytes).toBe(0);
      await both.farTap.receives(bytes.length);
    });

    test("copies pending bytes that aren't stable", async () => {
      await using both = await wire();
      both.far.pause();
      const bytes = patterned(16 * mebibyte);
      send(both.near, bytes, false);
      expect(both.near.pendingBytes).toBeGreaterThan(0);
      bytes.fill(0);
      both.far.resume();
      await both.farTap.receives(bytes.length);
    });

    test("sends pending bytes that are stable from the caller's memory", async () => {
      await using both = await wire();
      both.far.pause();
      const bytes = new Uint8Array(16 * mebibyte);
      send(both.near, bytes, true);
      const waiting = bytes.length - both.near.pendingBytes;
      for (let at = 0; at < bytes.length; at++) if (at >= waiting) bytes[at] = 1;
      let ones = 0;
      both.farTap.onChunk = (chunk) => {
        for (const byte of chunk) ones += byte;
      };
      both.far.resume();
      await until(() => both.farTap.received === bytes.length);
      expect(ones).toBe(bytes.length - waiting);
    });

    test("keeps the order of what waits and what comes after it", async () => {
      await using both = await wire();
      both.far.pause();
      let sent = 0;
      for (const size of [5 * mebibyte, 1, 3 * mebibyte, 100, 0, 7]) {
        send(both.near, patterned(size, sent), sent % 2 === 0);
        sent += size;
      }
      both.far.resume();
      await both.farTap.receives(sent);
    });

    test("sends pieces that follow each other in order, with one system call where it can", async () => {
      await using both = await wire();
      const gathers = both.near.peer?.kind === "unix";
      let sent = 0;
      for (const sizes of [
        [12, 65_536],
        [1, 1],
        [5, 0, 20_000, 1, 30_000],
        [0, 7],
        [9, 0],
      ]) {
        const { writes } = both.near;
        for (const [index, size] of sizes.entries()) {
          const bytes = patterned(size, sent);
          both.near.write(bytes, 0, size, false, index < sizes.length - 1);
          // only lent until the last of them is written, which is in the same turn
          if (index === sizes.length - 1) bytes.fill(0);
          sent += size;
        }
        expect(both.near.pendingBytes).toBe(0);
        if (gathers) expect(both.near.writes - writes).toBe(1);
        await both.farTap.receives(sent);
      }
    });

    test("sends more pieces than fit into one system call, to a reader that is slow to start", async () => {
      await using both = await wire();
      both.far.pause();
      let sent = 0;
      for (let turn = 0; turn < 40; turn++) {
        const lent: Uint8Array[] = [];
        for (let piece = 0; piece < 100; piece++) {
          const bytes = patterned(1 + ((turn * 991 + piece * 37) % 3_000), sent);
          const isStable = piece % 3 === 0;
          both.near.write(bytes, 0, bytes.length, isStable, piece < 99);
          if (!isStable) lent.push(bytes);
          sent += bytes.length;
        }
        for (const bytes of lent) bytes.fill(0);
      }
      expect(both.near.pendingBytes).toBeGreaterThan(0);
      expect(both.near.writtenBytes + both.near.pendingBytes).toBe(sent);
      const draining = both.near.drained();
      const { writes } = both.near;
      both.far.resume();
      await draining;
      await both.farTap.receives(sent);
      // some thousand pieces waited
      if (both.near.peer?.kind === "unix") expect(both.near.writes - writes).toBeLessThan(500);
    });

    test("sends what comes before memory that is gone, and ends then", async () => {
      for (const before of [1, 10, 64, 65, 200]) {
        await using both = await wire();
        both.far.pause();
        send(both.near, patterned(8 * mebibyte));
        expect(both.near.pendingBytes).toBeGreaterThan(mebibyte);
        let sent = 8 * mebibyte;
        for (let piece = 0; piece < before; piece++) {
          send(both.near, patterned(20, sent));
          sent += 20;
        }
        const gone = new Uint8Array(20_000);
        send(both.near, gone);
        structuredClone(gone.buffer, { transfer: [gone.buffer] });
        both.far.resume();
        const end = await both.nearTap.ended;
        expect(end).toMatchObject({ kind: "failed", error: expect.any(EncodeError) });
        await both.farTap.ended;
        expect(both.near.writtenBytes).toBe(sent);
      }
    });

    test("ends while a piece waits for the one after it", async () => {
      await using both = await wire();
      both.near.write(patterned(10), 0, 10, false, true);
      both.near.abort();
      both.near.write(patterned(10), 0, 10, false);
      await both.farTap.ended;
      expect(both.farTap.received).toBe(0);
    });

    test("holds the peer back while paused, and reads on after resume", async () => {
      await using both = await wire();
      both.near.pause();
      send(both.far, patterned(20 * mebibyte));
      await Bun.sleep(50);
      const waiting = both.far.pendingBytes;
      expect(waiting).toBeGreaterThan(0);
      expect(both.nearTap.received).toBe(0);
      await Bun.sleep(50);
      expect(both.far.pendingBytes).toBe(waiting);
      both.near.resume();
      await both.nearTap.receives(20 * mebibyte);
    });

    test("loses nothing on close, and ends each side once", async () => {
      await using both = await wire();
      both.far.pause();
      send(both.near, patterned(8 * mebibyte));
      const closing = both.near.close();
      both.far.resume();
      await closing;
      await both.farTap.ended;
      expect([both.farTap.received, both.farTap.broken]).toEqual([8 * mebibyte, false]);
      expect([both.nearTap.ends, both.farTap.ends]).toEqual([[{ kind: "closed" }], [{ kind: "ended" }]]);
    });

    test("loses nothing in either direction when both sides close at once", async () => {
      for (let round = 0; round < 3; round++) {
        await using both = await wire();
        send(both.near, patterned(6 * mebibyte));
        send(both.far, patterned(6 * mebibyte));
        await Promise.all([both.near.close(), both.far.close()]);
        expect([both.farTap.received, both.farTap.broken]).toEqual([6 * mebibyte, false]);
        expect([both.nearTap.received, both.nearTap.broken]).toEqual([6 * mebibyte, false]);
      }
    });

    test("sends what still waits on the other side when one side closes and the other follows", async () => {
      // what arrives doesn't extend the wait of a close
      using _ = setTiming({ closeTimeoutMs: 10_000 });
      await using both = await wire();
      both.near.pause();
      send(both.far, patterned(8 * mebibyte));
      both.farTap.onChunk = () => void both.far.close();
      send(both.near, patterned(1));
      const closing = both.near.close();
      both.near.resume();
      await closing;
      await both.farTap.ended;
      expect([both.nearTap.received, both.nearTap.broken]).toEqual([8 * mebibyte, false]);
    });

    test("goes on closing for as long as a slow peer reads", async () => {
      // less than all pauses together
      using _ = setTiming({ closeTimeoutMs: 600 });
      await using both = await wire();
      let pauses = 0;
      both.farTap.onChunk = () => {
        if (both.farTap.received < (pauses + 1) * 2 * mebibyte) return;
        pauses++;
        both.far.pause();
        setTimeout(() => both.far.resume(), 100);
      };
      send(both.near, patterned(18 * mebibyte));
      await both.near.close();
      await both.farTap.ended;
      expect([both.farTap.received, both.farTap.broken]).toEqual([18 * mebibyte, false]);
      expect(pauses).toBeGreaterThan(6);
    });

    test("ends a close in the end when the peer neither reads nor ends", async () => {
      using _ = setTiming({ closeTimeoutMs: 100 });
      await using program = await silentListener(kind);
      const { link, tap } = await connectAndStop(program);
      await link.close();
      expect(await tap.ended).toEqual({ kind: "closed" });
      expect(link.pendingBytes).toBe(0);
    });

    test("reports an abort once, with its error, and never from within the call", async () => {
      await using both = await wire();
      const error = new Error("enough");
      both.near.abort(error);
      both.near.abort(new Error("later"));
      void both.near.close();
      expect(both.nearTap.ends).toEqual([]);
      expect(await both.nearTap.ended).toEqual({ kind: "failed", error });
      await both.farTap.ended;
      await both.near.close();
      expect(both.nearTap.ends).toHaveLength(1);
      expect(both.farTap.ends).toHaveLength(1);
    });

    test("does nothing on a write after its end", async () => {
      await using both = await wire();
      await both.near.close();
      const { writes } = both.near;
      send(both.near, patterned(100));
      expect([both.near.pendingBytes, both.near.writes]).toEqual([0, writes]);
      await both.near.drained();
    });

    test("ends when its peer is killed, and drops what waits for it", async () => {
      await using program = await silentListener(kind);
      const { link, tap } = await connectAndStop(program);
      const draining = link.drained();
      program.signal("SIGKILL");
      await tap.ended;
      await draining;
      expect(link.pendingBytes).toBe(0);
      expect(tap.ends).toHaveLength(1);
    });

    test("drops what waits for a peer that is gone even while paused, and reports the end when it reads on", async () => {
      await using both = await wire();
      both.near.pause();
      send(both.near, patterned(16 * mebibyte));
      const draining = both.near.drained();
      both.far.abort();
      await draining;
      expect(both.near.pendingBytes).toBe(0);
      both.near.resume();
      await both.nearTap.ended;
      expect(both.nearTap.ends).toHaveLength(1);
    });

    test("delivers everything the peer sent before it left, though nothing can be sent to it", async () => {
      await using both = await wire();
      both.near.pause();
      send(both.far, patterned(100_000));
      const closing = both.far.close();
      send(both.near, patterned(10));
      both.near.resume();
      await both.nearTap.receives(100_000);
      await Promise.all([closing, both.nearTap.ended]);
    });

    test("ends when its reader throws", async () => {
      await using both = await wire();
      const fault = new Error("a fault of the reader");
      both.farTap.onChunk = () => {
        throw fault;
      };
      send(both.near, patterned(10));
      expect(await both.farTap.ended).toEqual({ kind: "failed", error: fault });
      await both.nearTap.ended;
    });

    test("counts one kernel write for each write that fits", async () => {
      await using both = await wire();
      const { writes } = both.near;
      for (let index = 0; index < 10; index++) send(both.near, patterned(100, index * 100));
      expect(both.near.writes - writes).toBe(10);
      await both.farTap.receives(1_000);
    });

    test("leaves no descriptor behind after many connections", async () => {
      const listener = await driver.listen(fresh(), (link) => {
        link.reader = { onData() {}, onEnd() {} };
        if (Math.random() < 0.5) void link.close();
      });
      const before = descriptors();
      for (let round = 0; round < (kind.tls === undefined ? 40 : 8); round++) {
        const links = await Promise.all(
          Array.from({ length: 50 }, () => driver.connect(listener.address, soon())),
        );
        await Promise.all(links.map(async (link, index) => (index % 3 === 0 ? link.abort() : link.close())));
      }
      listener.close();
      await until(() => descriptors() <= before);
    });
  });
});

/** A process that listens with the same transport, accepts, and stays silent. */
class SilentListener extends Program {
  address: ParsedAddress = { transport: "unix", path: "", host: "" };

  accepted(): Promise<number> {
    return this.run(({ keep }) => keep["accepted"] as number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.address.transport === "tcp") return;
    for (const left of [this.address.path, `${this.address.path}.lock`]) rmSync(left, { force: true });
  }
}

/** The number of established connections to the listener at a port, accepted or not. */
function connectionsTo(address: ParsedAddress): number {
  if (address.transport !== "tcp") return 0;
  // "sl local_address rem_address st": the port in hex, and 01 for an established connection
  const local = `:${address.port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  return rows.filter(([, at = "", , state]) => at.endsWith(local) && state === "01").length;
}

async function silentListener({ tls: identity, fresh }: Kind): Promise<SilentListener> {
  const program = new SilentListener({});
  await program.up;
  const address = fresh();
  const modules = { unix: "unix.ts", tcp: "tcp.ts" };
  const file = join(import.meta.dir, "../../src/transport", modules[address.transport]);
  program.address = await program.run(
    async ({ keep, args }) => {
      const [path, where, proof] = args as [string, ParsedAddress, TlsIdentity | null];
      const module = (await import(path)) as {
        unixTransport?: TransportDriver;
        tcpDriver: (identity?: TlsIdentity) => TransportDriver;
      };
      keep["accepted"] = 0;
      const links: Link[] = [];
      const used = module.unixTransport ?? module.tcpDriver(proof ?? undefined);
      const bound = await used.listen(where, (link) => {
        keep["accepted"] = (keep["accepted"] as number) + 1;
        links.push(link);
      });
      keep["links"] = [links, bound];
      return bound.address;
    },
    file,
    address,
    identity ?? null,
  );
  return program;
}
