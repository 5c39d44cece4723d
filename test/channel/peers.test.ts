import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Peer } from "../../src/channel/peer.ts";
import { UnreachableError } from "../../src/channel/peer.ts";
import { Peers, type Self } from "../../src/channel/peers.ts";
import { LimitError, TimeoutError, TransportClosedError } from "../../src/errors.ts";
import type { ActorId } from "../../src/identity.ts";
import { type Limits, resolveLimits } from "../../src/limits.ts";
import { Dispatcher } from "../../src/rpc/callee/dispatch.ts";
import { Policy } from "../../src/rpc/policy.ts";
import { Session, type SessionHost } from "../../src/rpc/session.ts";
import { type Address, formatAddress, type Transport } from "../../src/transport/address.ts";
import { hostId } from "../../src/transport/host.ts";
import { tcpTransport } from "../../src/transport/tcp.ts";
import type { Link, Listener } from "../../src/transport/transport.ts";
import { unixTransport } from "../../src/transport/unix.ts";
import { Kind } from "../../src/wire/messages.ts";
import { setTiming } from "../support/timing.ts";
import { until, World } from "../support/world.ts";
import { frameOf } from "../wire/crossing.ts";
import { failure, soon, targetOf, uuids } from "./actors.ts";
import { helloWith, RawListener, RawPeer } from "../support/raw-peer.ts";

let nodes = 0;
const secretText = "this user's own secret";

/** The connections of an actor without the layers above: they only call, and list who is connected. */
class Node implements SessionHost, AsyncDisposable {
  readonly id: ActorId;
  readonly limits: Limits;
  readonly dispatcher: Dispatcher;
  readonly peers: Peers<Session>;
  readonly policy: Policy = new Policy();
  /** Every connection that was made. */
  readonly all: Peer<Session>[] = [];
  addrs: Address[] = [];
  readonly signal: AbortSignal = new AbortController().signal;
  readonly drainReason = undefined;
  readonly guard = undefined;
  readonly observer = undefined;
  readonly callTimeoutMs = undefined;
  served = 0;
  readonly #listeners: Listener[] = [];

  constructor(name: string, uuid: string, idleMs: number, limits: Partial<Limits>) {
    this.id = { name, uuid, pid: process.pid, host: hostId() };
    this.limits = resolveLimits(limits);
    this.dispatcher = new Dispatcher(this.id);
    const attach = (peer: Peer<Session>): Session => {
      this.all.push(peer);
      return new Session(peer, this);
    };
    const self = (): Self => ({ id: this.id, addrs: this.addrs, isRegistrar: false, purpose: "peer" });
    const secret = { key: new TextEncoder().encode(secretText), source: "a test", isOwn: true };
    this.peers = new Peers<Session>(self, this.limits, attach, {
      idleMs,
      credentials: { secret, tls: undefined },
      drivers: { unix: unixTransport, tcp: tcpTransport },
    });
    this.dispatcher.expose({ echo: (value: unknown) => value, hang: () => new Promise(() => {}) }, "test");
  }

  get name(): string {
    return this.id.name;
  }

  get uuid(): string {
    return this.id.uuid;
  }

  get open(): Peer<Session>[] {
    return this.all.filter(({ isOpen }) => isOpen);
  }

  async listen(): Promise<void> {
    const accept = (transport: Transport) => (link: Link) => this.peers.accept(link, transport);
    const path = join(process.env["FURROW_RUNTIME_DIR"]!, `node-${++nodes}@${process.pid}.sock`);
    this.#listeners.push(
      await unixTransport.listen({ transport: "unix", path, host: "" }, accept("unix")),
      await tcpTransport.listen({ transport: "tcp", host: "127.0.0.1", port: 0 }, accept("tcp")),
    );
    this.addrs = this.#listeners.map(({ address }) => formatAddress(address));
  }

  onService(): boolean {
    return false;
  }

  onSessionReady(): void {}

  onSessionEnd(): void {}

  async [Symbol.asyncDispose](): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await this.peers.close("the test is over");
  }
}

async function node(
  name: string,
  options: { uuid?: string; idleMs?: number; limits?: Partial<Limits> } = {},
): Promise<Node> {
  const made = new Node(
    name,
    options.uuid ?? crypto.randomUUID(),
    options.idleMs ?? 60_000,
    options.limits ?? {},
  );
  await made.listen();
  return made;
}

/** Connects, calls, releases. */
async function callOnce(connecting: Promise<Peer<Session>>, value: unknown): Promise<void> {
  const peer = await connecting;
  try {
    expect(await peer.handler.call("echo", [value])).toEqual(value);
  } finally {
    peer.release();
  }
}

describe("Peers.connect", () => {
  test("shares one dial among concurrent requests for the same peer, then one connection", async () => {
    await using near = await node("near");
    await using far = await node("far");
    const peers = await Promise.all(
      Array.from({ length: 50 }, () => near.peers.connect(targetOf(far), soon())),
    );
    expect(new Set(peers).size).toBe(1);
    expect(await near.peers.connect(targetOf(far), soon())).toBe(peers[0]!);
    expect([near.all.length, far.all.length]).toEqual([1, 1]);
    // the far side uses the same connection, though it never dialled
    expect((await far.peers.connect(targetOf(near), soon())).id).toEqual(near.id);
    expect([near.all.length, far.all.length]).toEqual([1, 1]);
    expect(near.peers.byName("far")).toEqual([peers[0]!]);
  });

  test("gives each request that shares a dial its own deadline", async () => {
    const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    await using near = await node("near", { limits: { handshakeTimeoutMs: 200 } });
    const target = { name: "silent", uuid: "0", addrs: [`tcp://127.0.0.1:${server.port}` as Address] };
    const patient = failure(near.peers.connect(target, soon()));
    const hasty = failure(near.peers.connect(target, soon(20)));
    expect(await Promise.race([patient.then(() => "patient"), hasty.then(() => "hasty")])).toBe("hasty");
    for (const error of await Promise.all([hasty, patient])) {
      expect([error instanceof TimeoutError, (error as TimeoutError).stage]).toEqual([true, "handshake"]);
    }
    server.stop(true);
  });

  test("rejects every request that shares a failed dial, and dials again for the next", async () => {
    await using near = await node("near");
    await using far = await node("far");
    const nowhere = targetOf(far, ["tcp://127.0.0.1:1"]);
    const errors = await Promise.all([1, 2, 3].map(() => failure(near.peers.connect(nowhere, soon()))));
    expect(errors.every((error) => error instanceof UnreachableError)).toBe(true);
    await callOnce(near.peers.connect(targetOf(far), soon()), "again");
  });

  test.each(["connect and connect", "connect and connectTo", "connectTo and connectTo"])(
    "ends with one connection when two actors dial each other at once: %s",
    async (how) => {
      const byAddress = how.split(" and ").map((verb) => verb === "connectTo");
      for (let round = 0; round < 60; round++) {
        const pair = uuids();
        if (round % 2 === 1) pair.reverse();
        await using one = await node("one", { uuid: pair[0], idleMs: 1 });
        await using two = await node("two", { uuid: pair[1], idleMs: 1 });
        const dial = (from: Node, to: Node, blind: boolean): Promise<Peer<Session>> => {
          const addr = to.addrs[round % 2]!;
          return blind
            ? from.peers.connectTo(addr, soon())
            : from.peers.connect(targetOf(to, [addr]), soon());
        };
        const [fromOne, fromTwo] = await Promise.all([
          dial(one, two, byAddress[0]!),
          dial(two, one, byAddress[1]!),
        ]);
        const calls = Array.from({ length: 10 }, async (_, index) => {
          expect(await fromOne.handler.call("echo", [index])).toBe(index);
          expect(await fromTwo.handler.call("echo", [-index])).toBe(-index);
        });
        await Promise.all(calls);
        expect([one.peers.size, two.peers.size]).toEqual([1, 1]);
        expect([one.peers.byName("two")?.length, two.peers.byName("one")?.length]).toEqual([1, 1]);
        await until(() => one.open.length === 1 && two.open.length === 1);
        fromOne.release();
        fromTwo.release();
      }
    },
  );

  test("accepts the other side's dial while its own hasn't reached the hello", async () => {
    const [smaller, larger] = uuids();
    await using one = await node("one", { uuid: smaller, limits: { dialTimeoutMs: 1_000 } });
    await using two = await node("two", { uuid: larger });
    // a live process's socket file that refuses: its backlog may be full, so the dial retries
    const path = join(process.env["FURROW_RUNTIME_DIR"]!, `busy@${process.pid}.sock`);
    writeFileSync(path, "");
    const stuck = one.peers.connect(targetOf(two, [`unix://${path}`, ...two.addrs]), soon());
    let isStuck = true;
    void stuck.then(() => (isStuck = false));
    const peer = await two.peers.connect(targetOf(one), soon());
    expect(isStuck).toBeTrue();
    expect(await peer.handler.call("echo", ["hi"])).toBe("hi");
    expect((await stuck).id.uuid).toBe(larger);
    expect([one.all.length, two.all.length]).toEqual([1, 1]);
    rmSync(path);
  });

  test("switches to a peer's second connection when the first ends", async () => {
    const [smaller, larger] = uuids();
    await using near = await node("near", { uuid: larger });
    await using second = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(helloWith({ 2: smaller }));
    });
    await using first = await RawPeer.connect(near.addrs[0]!);
    first.sendRaw(frameOf(helloWith({ 2: smaller })));
    await until(() => near.peers.get(smaller) !== undefined);
    const former = near.peers.get(smaller)!;
    expect(await near.peers.connectTo(second.addr, soon())).toBe(former);
    expect(near.open.length).toBe(2);
    first.sendRaw(frameOf([Kind.bye, "moving"]));
    await former.closed;
    const next = near.peers.get(smaller)!;
    expect([next === former, next.isOpen, near.peers.byName("raw")]).toEqual([false, true, [next]]);
    await next.close();
    expect(near.peers.size).toBe(0);
  });

  test("answers every call of two actors that repeatedly connect, call and release at the same time", async () => {
    const [smaller, larger] = uuids();
    await using one = await node("one", { uuid: smaller, idleMs: 1 });
    await using two = await node("two", { uuid: larger, idleMs: 1 });
    const drive = async (from: Node, to: Node, blind: boolean): Promise<void> => {
      for (let call = 0; call < 3; call++) {
        const dial = blind
          ? from.peers.connectTo(to.addrs[call % 2]!, soon())
          : from.peers.connect(targetOf(to), soon());
        await callOnce(dial, call);
      }
    };
    for (let round = 0; round < 100; round++) {
      await Promise.all([
        drive(one, two, false),
        drive(two, one, false),
        drive(one, two, true),
        drive(two, one, true),
      ]);
      // around the end of the connection's idle time
      await Bun.sleep(Math.random() * 3);
    }
    await until(() => one.open.length === 0 && two.open.length === 0);
    expect([one.peers.size, two.peers.size, one.peers.byName("two")]).toEqual([0, 0, undefined]);
    // it was reopened at least once; how often depends on the machine
    expect(one.all.length).toBeGreaterThan(1);
  });

  test("connects to a peer that has just died and restarted under another uuid", async () => {
    await using near = await node("near");
    const former = await node("far");
    await callOnce(near.peers.connect(targetOf(former), soon()), 1);
    await former[Symbol.asyncDispose]();
    await using next = await node("far");
    await callOnce(near.peers.connect(targetOf(next), soon()), 2);
    expect(near.peers.byName("far")?.map(({ id }) => id.uuid)).toEqual([next.uuid]);
  });
});

describe("Peers.byName", () => {
  test("lists a name's peers in the order of connecting, and drops each synchronously when it ends", async () => {
    await using near = await node("near");
    const twins = [await node("twin"), await node("twin"), await node("twin")];
    for (const twin of twins) await near.peers.connect(targetOf(twin), soon());
    const listed = (): string[] | undefined => near.peers.byName("twin")?.map(({ id }) => id.uuid);
    expect(listed()).toEqual(twins.map(({ uuid }) => uuid));
    const middle = near.peers.get(twins[1]!.uuid)!;
    middle.channel.abort(new Error("cut"));
    expect(listed()).toEqual([twins[0]!.uuid, twins[2]!.uuid]);
    expect([near.peers.get(twins[1]!.uuid), near.peers.size]).toEqual([undefined, 2]);
    await Promise.all(twins.map((twin) => twin[Symbol.asyncDispose]()));
    await until(() => near.peers.size === 0);
    expect(listed()).toBeUndefined();
  });
});

/** A scripted peer offers to close, and the node agrees. */
async function agreeToEnd(near: Node, raw: RawPeer): Promise<{ uuid: string; peer: Peer<Session> }> {
  const uuid = crypto.randomUUID();
  raw.sendRaw(frameOf(helloWith({ 2: uuid })));
  await until(() => near.peers.get(uuid) !== undefined);
  const peer = near.peers.get(uuid)!;
  raw.sendRaw(frameOf([Kind.idle]));
  await until(() => raw.received.length === 2);
  expect(raw.received[1]).toEqual([Kind.idleAgreed]);
  return { uuid, peer };
}

describe("an idle connection", () => {
  test("closes with a bye once it is unused", async () => {
    await using near = await node("near", { idleMs: 10 });
    await using far = await node("far", { idleMs: 60_000 });
    const peer = await near.peers.connect(targetOf(far), soon());
    peer.release();
    expect(await peer.closed).toEqual({ reason: "closed" });
    expect(await far.all[0]!.closed).toEqual({ reason: "peer-closed" });
  });

  test("stays open while either side uses it or is busy", async () => {
    await using near = await node("near", { idleMs: 5 });
    await using far = await node("far", { idleMs: 5 });
    const peer = await near.peers.connect(targetOf(far), soon());
    const back = await far.peers.connect(targetOf(near), soon());
    peer.release();
    const hanging = failure(back.handler.call("hang", []));
    back.release();
    await Bun.sleep(60);
    expect([peer.isOpen, back.isOpen]).toEqual([true, true]);
    peer.channel.abort(new Error("the test is over"));
    await hanging;
  });

  test("closes eventually even if the peer was busy at the first offer and never makes one itself", async () => {
    await using near = await node("near", { idleMs: 5 });
    await using far = await node("far", { idleMs: 60_000 });
    const peer = await near.peers.connect(targetOf(far), soon());
    const back = await far.peers.connect(targetOf(near), soon());
    peer.release();
    await Bun.sleep(30);
    expect(peer.isOpen).toBe(true);
    back.release();
    await peer.closed;
  });

  test("is not used by a peer that has agreed to its end, until the other side takes its offer back", async () => {
    await using near = await node("near");
    await using raw = await RawPeer.connect(near.addrs[0]!);
    const { uuid, peer } = await agreeToEnd(near, raw);
    const connecting = near.peers.connect({ name: "raw", uuid, pid: process.pid, addrs: [] }, soon());
    raw.sendRaw(frameOf([Kind.resume]));
    expect(await connecting).toBe(peer);
    peer.release();
    raw.sendRaw(frameOf([Kind.idle]));
    await until(() => peer.leaving !== undefined);
    const error = await failure(
      near.peers.connect({ name: "raw", uuid, pid: process.pid, addrs: [] }, soon(50)),
    );
    expect(error).toBeInstanceOf(TimeoutError);
  });

  test("is closed by a peer that has agreed to its end when no goodbye follows", async () => {
    using _ = setTiming({ leavingTimeoutMs: 50 });
    await using near = await node("near");
    await using raw = await RawPeer.connect(near.addrs[0]!);
    const { peer } = await agreeToEnd(near, raw);
    const end = await peer.closed;
    expect([end.reason, end.error?.message]).toEqual(["error", expect.stringContaining("in 50 ms")]);
  });
});

describe("pending calls", () => {
  test("reject with TransportClosedError as soon as the peer dies", async () => {
    await using near = await node("near");
    await using world = new World();
    const program = await world.program({ FURROW_SECRET: secretText });
    const addr = await program.run(async ({ furrow, keep, args }) => {
      const actor = await furrow.openRootActor({
        name: "victim",
        registryAddrs: args as Address[],
        enableTransports: ["tcp"],
      });
      keep["actor"] = actor;
      return actor.addrs[0]!;
    }, "tcp://127.0.0.1:0");
    const peer = await near.peers.connectTo(addr, soon());
    const pending = Array.from({ length: 20 }, () => failure(peer.handler.call("listActors", [])));
    program.signal("SIGSTOP");
    const later = Array.from({ length: 20 }, () => failure(peer.handler.call("listActors", [])));
    await Promise.race([...pending, Bun.sleep(50)]);
    program.signal("SIGKILL");
    const errors = await Promise.all(later);
    expect(errors.every((error) => error instanceof TransportClosedError)).toBe(true);
    expect(errors[0]!.message).toContain("victim");
    expect(await peer.closed).toMatchObject({ reason: "peer-died" });
    expect(near.peers.size).toBe(0);
    await Promise.all(pending);
    await program.kill();
  });

  test("reject with a LimitError beyond maxCallsInFlight, and leave the others alone", async () => {
    await using near = await node("near");
    await using far = await node("far", { limits: { maxCallsInFlight: 10 } });
    const peer = await near.peers.connect(targetOf(far), soon());
    const hanging = Array.from({ length: 10 }, () => failure(peer.handler.call("hang", [])));
    const error = await failure(peer.handler.call("echo", [1]));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("maxCallsInFlight is 10");
    expect(peer.isOpen).toBe(true);
    peer.channel.abort(new Error("the test is over"));
    expect(await Promise.all(hanging)).toHaveLength(10);
  });

  test("don't start beyond maxFrameBytes or maxPendingSendBytes, and those in flight are answered", async () => {
    const limits = { maxFrameBytes: 100_000, maxPendingSendBytes: 500_000 };
    await using near = await node("near", { limits });
    await using far = await node("far", { limits });
    const peer = await near.peers.connect(targetOf(far), soon());
    expect(await failure(peer.handler.call("echo", ["x".repeat(100_001)]))).toBeInstanceOf(LimitError);
    expect(await failure(peer.handler.call("echo", [new Uint8Array(100_001)]))).toBeInstanceOf(LimitError);
    const inward = far.all[0]!.channel.link;
    inward.pause();
    const outcomes = Array.from({ length: 100 }, () =>
      peer.handler.call("echo", ["y".repeat(50_000)]).then(
        () => "answered",
        (error: unknown) => (error instanceof LimitError ? "refused" : error),
      ),
    );
    await Promise.race([Promise.all(outcomes), Bun.sleep(50)]);
    inward.resume();
    const settled = await Promise.all(outcomes);
    expect(new Set(settled)).toEqual(new Set(["answered", "refused"]));
    expect(await peer.handler.call("echo", ["still here"])).toBe("still here");
  });
});

describe("Peers.close", () => {
  test("ends every connection with a bye, and accepts and opens no more", async () => {
    const near = await node("near");
    await using far = await node("far");
    await using stranger = await RawPeer.connect(near.addrs[0]!);
    const peer = await near.peers.connect(targetOf(far), soon());
    const opening = failure(near.peers.connectTo(far.addrs[1]!, soon()));
    await near[Symbol.asyncDispose]();
    expect(await peer.closed).toEqual({ reason: "closed" });
    expect(await far.all[0]!.closed).toEqual({ reason: "peer-closed" });
    expect(await opening).toBeInstanceOf(TransportClosedError);
    await stranger.ended;
    expect(await failure(near.peers.connectTo(far.addrs[0]!, soon()))).toBeInstanceOf(TransportClosedError);
    expect([near.peers.size, near.open.length, far.open.length]).toEqual([0, 0, 0]);
  });
});
