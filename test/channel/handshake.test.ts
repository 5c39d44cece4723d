import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";

import type { Runtime } from "../../src/actor/runtime.ts";
import { RefusedError } from "../../src/channel/handshake.ts";
import { UnreachableError } from "../../src/channel/peer.ts";
import { Deadline } from "../../src/deadline.ts";
import { HandshakeError, LimitError, TimeoutError } from "../../src/errors.ts";
import type { Address } from "../../src/transport/address.ts";
import { Kind } from "../../src/wire/messages.ts";
import { Program, until } from "../support/world.ts";
import { bytesOf, frameOf, joined } from "../wire/crossing.ts";
import { actor, failure, soon, targetOf } from "./actors.ts";
import { helloWith, RawListener, type RawMessage, RawPeer } from "../support/raw-peer.ts";

let target: Runtime;
let listeners = 0;

beforeEach(async () => {
  target = await actor("target", { limits: { handshakeTimeoutMs: 300 } });
});

afterEach(async () => {
  await target.cancel();
});

/** The target's answer to these bytes before it closes. */
async function answerTo(...bytes: Uint8Array[]): Promise<unknown[]> {
  await using peer = await RawPeer.connect(target.addrs[0]!);
  peer.sendRaw(joined(bytes));
  await peer.ended;
  return peer.received;
}

/** The kind of each message and its first field. */
function heads(messages: readonly unknown[]): unknown[] {
  return messages.map((message) => (message as unknown[]).slice(0, 2));
}

describe("an acceptor", () => {
  test("answers a hello with its own, and serves what follows", async () => {
    await using peer = await RawPeer.connect(target.addrs[0]!);
    const id = crypto.randomUUID();
    peer.sendRaw(joined([frameOf(helloWith({ 2: id })), frameOf([Kind.call, 1, "echo", ["value"]])]));
    await until(() => peer.received.length === 2);
    expect(peer.received[0]).toEqual([
      Kind.hello,
      1,
      target.uuid,
      "target",
      target.id.host,
      process.pid,
      "peer",
      target.addrs.map((addr) => addr.replace("unix:///", `unix://${target.id.host}/`)),
      false,
      id,
      null,
      null,
    ]);
    expect(peer.received[1]).toEqual([Kind.result, 1, "value"]);
    expect(target.peers.get(id)?.id.name).toBe("raw");
    expect(target.peers.byName("raw")).toHaveLength(1);
  });

  test("answers a hello that comes byte by byte", async () => {
    await using peer = await RawPeer.connect(target.addrs[0]!);
    for (const byte of frameOf(helloWith())) peer.sendRaw(new Uint8Array([byte]));
    await until(() => peer.received.length === 1);
  });

  test("answers a probe with its hello, makes no peer of it, and closes it when the handshake's time is up", async () => {
    await using peer = await RawPeer.connect(target.addrs[0]!);
    peer.sendRaw(frameOf(helloWith({ 6: "probe" })));
    await until(() => peer.received.length === 1);
    expect(peer.received[0]?.[0]).toBe(Kind.hello);
    expect(target.peers.size).toBe(0);
    await peer.ended;
  });

  test("closes a probe that then makes a call", async () => {
    await using peer = await RawPeer.connect(target.addrs[0]!);
    peer.sendRaw(joined([frameOf(helloWith({ 6: "probe" })), frameOf([Kind.call, 1, "echo", [1]])]));
    await peer.ended;
    expect(peer.received.map((message) => message[0])).toEqual([]);
  });

  test.each<[refusal: string, what: string, changes: Record<number, unknown>]>([
    ["version", "another version", { 1: 2 }],
    ["version", "another version with other fields", { 1: 99, 2: { all: "new" }, 7: 5 }],
    ["malformed", "a name with a control character", { 3: "a version\n" }],
    ["malformed", "an empty name", { 3: "" }],
    ["malformed", "a malformed uuid", { 2: "not a uuid" }],
    ["malformed", "an empty uuid", { 2: "" }],
    ["malformed", "a malformed host id", { 4: "my host" }],
    ["malformed", "a pid that no system gives", { 5: 2 ** 32 }],
    ["malformed", "an unknown purpose", { 6: "chat" }],
    ["malformed", "a malformed address", { 7: ["tcp://a:b"] }],
    ["malformed", "an address that isn't a string", { 7: [5] }],
    ["target", "the uuid of another actor as the target", { 9: crypto.randomUUID() }],
  ])("refuses (%s) %s", async (refusal, _, changes) => {
    const [first, second] = (await answerTo(frameOf(helloWith(changes)))) as unknown[][];
    expect(first!.slice(0, 2)).toEqual([Kind.refuse, refusal]);
    expect(first![3]).toBe(target.uuid);
    expect(second).toEqual([Kind.bye, refusal]);
    expect(target.peers.size).toBe(0);
  });

  test("refuses a hello with its own uuid, and a second hello with a connected uuid", async () => {
    expect(heads(await answerTo(frameOf(helloWith({ 2: target.uuid }))))).toEqual([
      [Kind.refuse, "self"],
      [Kind.bye, "self"],
    ]);
    const id = crypto.randomUUID();
    await using peer = await RawPeer.connect(target.addrs[0]!);
    peer.sendRaw(frameOf(helloWith({ 2: id })));
    await until(() => target.peers.get(id) !== undefined);
    expect(heads(await answerTo(frameOf(helloWith({ 2: id }))))).toEqual([
      [Kind.refuse, "duplicate"],
      [Kind.bye, "duplicate"],
    ]);
    expect(target.peers.get(id)?.isOpen).toBe(true);
  });

  test("refuses a first message of another kind", async () => {
    const messages = await answerTo(frameOf([Kind.call, 1, "echo", [1]]));
    expect(heads(messages)).toEqual([
      [Kind.refuse, "malformed"],
      [Kind.bye, "malformed"],
    ]);
    expect((messages[0] as unknown[])[2]).toBe("expected hello, got a message of kind 8");
  });

  test.each<[what: string, bytes: Uint8Array]>([
    ["an http request", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
    ["a tls hello", bytesOf("16030100c8010000c40303")],
    ["a length of 0", bytesOf("00000000")],
    ["a length of 4 GiB", bytesOf("ffffffff")],
    ["a map, which is reserved", frameOf({ 0: 1 } as never)],
    ["random bytes", new Uint8Array(1_000).map(() => 200 + Math.random() * 50)],
    ["a hello of 70 KB", frameOf(helloWith({ 7: ["tcp://a:1".padEnd(70_000, "0")] }))],
    ["a hello cut short", frameOf(helloWith().slice(0, 7))],
  ])("closes on %s without an answer", async (_, bytes) => {
    expect(await answerTo(bytes)).toEqual([]);
    expect(target.peers.size).toBe(0);
  });

  test("closes on silence, and on half a hello, when the handshake's time is up", async () => {
    const events: unknown[] = [];
    const visit = async (...bytes: Uint8Array[]): Promise<unknown> => events.push(await answerTo(...bytes));
    // begins before, and ends before: until then neither is closed
    const earlier = Bun.sleep(250).then(() => events.push("250 ms have passed"));
    await Promise.all([earlier, visit(), visit(frameOf(helloWith()).slice(0, 20))]);
    expect(events).toEqual(["250 ms have passed", [], []]);
  });

  test("refuses (limit) while maxConnections peers are connected, and accepts again afterwards", async () => {
    await using small = await actor("small", { limits: { maxConnections: 2 } });
    const peers = await Promise.all([0, 1].map(() => RawPeer.connect(small.addrs[0]!)));
    for (const peer of peers) {
      peer.sendRaw(frameOf(helloWith()));
      await until(() => peer.received.length === 1);
    }
    await using over = await RawPeer.connect(small.addrs[0]!);
    over.sendRaw(frameOf(helloWith()));
    await over.ended;
    expect(heads(over.received)).toEqual([
      [Kind.refuse, "limit"],
      [Kind.bye, "limit"],
    ]);
    await peers[0]![Symbol.asyncDispose]();
    await until(() => small.peers.size === 1);
    await using next = await RawPeer.connect(small.addrs[0]!);
    next.sendRaw(frameOf(helloWith()));
    await until(() => next.received.length === 1);
    expect(next.received[0]?.[0]).toBe(Kind.hello);
    await peers[1]![Symbol.asyncDispose]();
  });

  test("drops the oldest of maxStrangers silent strangers; they occupy no slots of peers or of the other transport", async () => {
    await using small = await actor("small", { limits: { maxConnections: 1, maxStrangers: 2 } });
    const [unix, tcp] = [small.addrs[0]!, small.addrs[1]!];
    const silent: RawPeer[] = [];
    for (const addr of [tcp, tcp, unix, unix]) silent.push(await RawPeer.connect(addr));
    silent.push(await RawPeer.connect(tcp));
    await silent[0]!.ended;
    // the second is still connected, and so are those over unix
    await using peer = await RawPeer.connect(unix);
    await silent[2]!.ended;
    peer.sendRaw(frameOf(helloWith()));
    await until(() => peer.received.length === 1);
    expect(peer.received[0]?.[0]).toBe(Kind.hello);
    expect(silent.map(({ received }) => received)).toEqual([[], [], [], [], []]);
    for (const one of silent) await one[Symbol.asyncDispose]();
  });
});

/** A listener that answers each connection with these bytes. */
function listener(
  answer: Uint8Array | undefined,
  close = false,
): { addr: Address; readonly stop: () => void } {
  const path = join(process.env["FURROW_RUNTIME_DIR"]!, `raw-${++listeners}.sock`);
  const server = Bun.listen({
    unix: path,
    socket: {
      open: (socket) => void (close && socket.end()),
      data: (socket) => void (answer && socket.write(answer)),
    },
  });
  return { addr: `unix://${path}`, stop: () => server.stop(true) };
}

describe("a dialler", () => {
  test.each<[what: string, answer: Uint8Array | undefined, close: boolean, message: string]>([
    ["closes at once", undefined, true, "ended the connection before its hello: not a furrow actor?"],
    [
      "speaks http",
      new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"),
      false,
      "not a furrow actor?",
    ],
    ["sends a bye", frameOf([Kind.bye, "no"]), false, "not a furrow actor?"],
    ["sends another message", frameOf([Kind.result, 1]), false, "expected hello, got a message of kind 9"],
    [
      "speaks another version",
      frameOf(helloWith({ 1: 7 })),
      false,
      "the peer speaks protocol version 7, this is version 1",
    ],
    [
      "has a malformed name",
      frameOf(helloWith({ 3: "" })),
      false,
      "malformed hello: an actor name must not be empty",
    ],
    ["refuses", frameOf([Kind.refuse, "version", "too old"]), false, "refused (version): too old"],
  ])("gets a HandshakeError from a listener that %s", async (_, answer, close, message) => {
    const { addr, stop } = listener(answer, close);
    const error = await failure(target.peers.connectTo(addr, soon()));
    expect(error).toBeInstanceOf(HandshakeError);
    expect(error.message).toContain(message);
    const unreachable = await failure(
      target.peers.connect({ name: "somebody", uuid: "00000000", addrs: [addr] }, soon()),
    );
    expect(unreachable).toBeInstanceOf(UnreachableError);
    expect(unreachable.cause).toBeInstanceOf(HandshakeError);
    expect(target.peers.size).toBe(0);
    stop();
  });

  test("gets a HandshakeError when another actor answers than the one it looked up", async () => {
    const { addr, stop } = listener(frameOf(helloWith()));
    const error = await failure(
      target.peers.connect({ name: "gone", uuid: "00000000", addrs: [addr] }, soon()),
    );
    expect((error.cause as Error).message).toContain("not the actor that was looked up");
    stop();
    const other = await actor("other");
    const refused = await failure(target.peers.connect({ ...targetOf(other), uuid: "00000000" }, soon()));
    expect((refused as UnreachableError).failures.map((one) => (one as RefusedError).refusal)).toEqual([
      "target",
      "target",
    ]);
    await other.cancel();
  });

  test("gets a TimeoutError of stage handshake from a silent listener and from a stopped process", async () => {
    const { addr, stop } = listener(undefined);
    for (const dial of [
      () => target.peers.connectTo(addr, soon()),
      () => target.peers.connect({ name: "silent", uuid: "00000000", addrs: [addr] }, soon()),
      () => target.peers.probe(addr, soon(200)),
    ]) {
      const error = await failure(dial());
      expect(error).toBeInstanceOf(TimeoutError);
      expect((error as TimeoutError).stage).toBe("handshake");
    }
    stop();
    const program = new Program({});
    await program.up;
    const path = join(process.env["FURROW_RUNTIME_DIR"]!, `raw-${++listeners}.sock`);
    await program.run(({ keep, args }) => {
      keep["listener"] = Bun.listen({ unix: args[0] as string, socket: { data() {} } });
    }, path);
    program.signal("SIGSTOP");
    const error = await failure(target.peers.connectTo(`unix://${path}`, soon()));
    expect([error instanceof TimeoutError, (error as TimeoutError).stage]).toEqual([true, "handshake"]);
    await program.kill();
    await Bun.file(path).delete();
  });

  test("tries the next address when one is refused, missing or another actor's, and keeps the failures in order", async () => {
    const other = await actor("other");
    const silent = listener(frameOf(helloWith()));
    const missing: Address = `unix://${join(process.env["FURROW_RUNTIME_DIR"]!, "missing.sock")}`;
    const peer = await target.peers.connect(targetOf(other, [missing, silent.addr, other.addrs[1]!]), soon());
    expect([peer.id.uuid, peer.addr]).toEqual([other.uuid, other.addrs[1]!]);
    peer.release();
    const error = await failure(
      target.peers.connect({ name: "x", uuid: "0", addrs: [missing, silent.addr] }, soon()),
    );
    expect((error as UnreachableError).failures.map(({ name }) => name)).toEqual([
      "TransportClosedError",
      "HandshakeError",
    ]);
    silent.stop();
    await other.cancel();
  });

  test("is refused as self when it dials itself", async () => {
    const error = await failure(target.peers.connectTo(target.addrs[0]!, soon()));
    expect([error instanceof RefusedError, (error as RefusedError).refusal]).toEqual([true, "self"]);
  });

  test("gets a LimitError from its own maxConnections", async () => {
    const other = await actor("other");
    const small = await actor("small", { limits: { maxConnections: 1 } });
    const peer = await small.peers.connectTo(other.addrs[0]!, soon());
    const error = await failure(small.peers.connectTo(target.addrs[0]!, soon()));
    expect(error).toBeInstanceOf(LimitError);
    expect(error.message).toContain("maxConnections 1 reached");
    peer.release();
    await Promise.all([other.cancel(), small.cancel()]);
  });

  test("serves a call that follows the hello in the same chunk", async () => {
    const answered = Promise.withResolvers<RawMessage>();
    await using listener = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send(helloWith(), [Kind.call, 5, "echo", ["hi"]]);
      answered.resolve(await peer.take());
    });
    const connected = await target.peers.connectTo(listener.addr, soon());
    expect(await answered.promise).toEqual([Kind.result, 5, "hi"]);
    connected.release();
    await connected.close();
  });

  test("leaves no connection when it is aborted in any step", async () => {
    const { addr, stop } = listener(undefined);
    const reason = new Error("enough");
    const controller = new AbortController();
    const dialling = failure(
      target.peers.connectTo(addr, new Deadline({ signal: controller.signal }, "a test")),
    );
    setTimeout(() => controller.abort(reason), 30);
    expect(await dialling).toBe(reason);
    expect(target.peers.size).toBe(0);
    stop();
  });
});

describe("probe", () => {
  test("returns the hello of the actor that is there, and does not become its peer", async () => {
    const other = await actor("other");
    const { hello: found, localHost } = await target.peers.probe(other.addrs[0]!, soon());
    expect([found.id.uuid, found.purpose, found.isRegistrar, localHost]).toEqual([
      other.uuid,
      "probe",
      false,
      "",
    ]);
    const overTcp = await target.peers.probe(other.addrs[1]!, soon());
    expect(overTcp.localHost).toBe("127.0.0.1");
    expect([target.peers.size, other.peers.size]).toEqual([0, 0]);
    await other.cancel();
  });
});
