/** gRPC as servers speak it, well and badly: `src/etcd/session.ts` against a scripted HTTP/2 server. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";

import { frameOf } from "../../src/etcd/grpc-frame.ts";
import { Session } from "../../src/etcd/session.ts";
import { ConnectionError, StatusError } from "../../src/etcd/status.ts";
import { failure } from "../support/outcome.ts";
import { until } from "../support/world.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (message: Uint8Array): string => new TextDecoder().decode(message);
const head = { ":status": 200, "content-type": "application/grpc" };
const bounds = { timeoutMs: 5_000 };

type Serve = (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void;

const stack: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const undo of stack.splice(0).toReversed()) await undo();
});

/** A session to a server that serves streams by this function. */
async function sessionTo(serve: Serve): Promise<{ session: Session; sessions: ServerHttp2Session[] }> {
  const server: Http2Server = createServer();
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session: ServerHttp2Session) => sessions.push(session));
  server.on("stream", (stream: ServerHttp2Stream, headers: Record<string, unknown>) => {
    stream.on("error", () => {});
    serve(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.push(async () => {
    for (const one of sessions) one.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const { port } = server.address() as AddressInfo;
  const session = await Session.connect(`http://127.0.0.1:${port}`, undefined, bounds);
  stack.push(() => session.destroy("the end of the test"));
  return { session, sessions };
}

/** Answers with these messages and a status. */
function answer(
  stream: ServerHttp2Stream,
  messages: readonly Uint8Array[],
  status: Record<string, string>,
): void {
  stream.respond(head, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(status));
  for (const message of messages) stream.write(frameOf(message));
  stream.end();
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** The connection's window that a client has given, by what it has sent. */
function windowOf(sent: Buffer): number {
  let window = 65_535;
  let at = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length;
  while (at + 9 <= sent.length) {
    const length = sent.readUIntBE(at, 3);
    const isUpdate = sent[at + 3] === 8 && sent.readUInt32BE(at + 5) === 0;
    if (isUpdate && at + 13 <= sent.length) window += sent.readUInt32BE(at + 9);
    at += 9 + length;
  }
  return window;
}

describe("Session", () => {
  test("calls: one message there, one back, with the token and the demand for a leader", async () => {
    let seen: Record<string, unknown> = {};
    const received: Uint8Array[] = [];
    const { session } = await sessionTo((stream, headers) => {
      seen = headers;
      stream.on("data", (chunk: Uint8Array) => received.push(chunk));
      stream.on("end", () => answer(stream, [bytes("back")], { "grpc-status": "0" }));
    });
    expect(text(await session.call("/a/b", bytes("there"), "a token", bounds))).toBe("back");
    expect(Buffer.concat(received).toString("hex")).toBe(frameOf(bytes("there")).toString("hex"));
    expect(seen).toMatchObject({
      ":method": "POST",
      ":path": "/a/b",
      "content-type": "application/grpc",
      te: "trailers",
      hasleader: "true",
      token: "a token",
    });
  });

  test("rejects with a server's status, and with what it says", async () => {
    const { session } = await sessionTo((stream, headers) => {
      const status = { "grpc-status": "14", "grpc-message": "etcdserver: 100%25 caf%C3%A9" };
      // without a message, a status comes in the headers
      if (headers[":path"] === "/short") stream.respond({ ...head, ...status }, { endStream: true });
      else answer(stream, [], status);
    });
    for (const path of ["/short", "/long"]) {
      const error = (await failure(session.call(path, bytes(""), undefined, bounds))) as StatusError;
      expect([error.constructor, error.status, error.message]).toEqual([
        StatusError,
        14,
        "etcdserver: 100% caf\u00e9",
      ]);
    }
    expect(session.isOver).toBe(false);
  });

  test.each([
    ["a status without a message", (stream: ServerHttp2Stream) => answer(stream, [], { "grpc-status": "0" })],
    [
      "HTTP without gRPC",
      (stream: ServerHttp2Stream) => stream.respond({ ":status": 404 }, { endStream: true }),
    ],
    [
      "a compressed message",
      (stream: ServerHttp2Stream) => {
        stream.respond(head);
        stream.end(Uint8Array.of(1, 0, 0, 0, 1, 0));
      },
    ],
    [
      "half a message",
      (stream: ServerHttp2Stream) => {
        stream.respond(head);
        stream.end(frameOf(bytes("whole")).subarray(0, 7));
      },
    ],
    [
      "an end without a status",
      (stream: ServerHttp2Stream) => (stream.respond(head), stream.end(frameOf(bytes("x")))),
    ],
    ["a reset", (stream: ServerHttp2Stream) => stream.close(2)],
  ])("rejects when the answer is %s, and goes on", async (_, serve) => {
    let calls = 0;
    const { session } = await sessionTo((stream) => {
      if (++calls === 1) serve(stream);
      else answer(stream, [bytes("well")], { "grpc-status": "0" });
    });
    expect(await failure(session.call("/a", bytes(""), undefined, bounds))).toBeInstanceOf(Error);
    expect(text(await session.call("/b", bytes(""), undefined, bounds))).toBe("well");
  });

  test("is over, with all that runs on it, when an answer is late", async () => {
    const { session } = await sessionTo(() => {});
    const ends: (Error | undefined)[] = [];
    session.open("/stream", undefined, { onMessage: () => {}, onEnd: (error) => ends.push(error) });
    const late = await failure(session.call("/late", bytes(""), undefined, { timeoutMs: 100 }));
    expect(late).toBeInstanceOf(ConnectionError);
    expect(late.message).toEndWith(": no answer within 100 ms");
    expect([session.isOver, ends]).toEqual([true, [late]]);
    await session.ended;
    const next = failure(session.call("/next", bytes(""), undefined, bounds));
    expect(await next).toBe(late);
  });

  test("waits for an answer as long as it comes, but no longer than it may take in all", async () => {
    const { session } = await sessionTo((stream) => {
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      const frame = frameOf(bytes("well"));
      let at = 0;
      const timer = setInterval(() => {
        if (!stream.destroyed) stream.write(frame.subarray(at, ++at));
        if (at < frame.length && !stream.destroyed) return;
        clearInterval(timer);
        stream.end();
      }, 50);
    });
    // 450 ms in all
    expect(text(await session.call("/a", bytes(""), undefined, { timeoutMs: 300 }))).toBe("well");
    const late = await failure(session.call("/b", bytes(""), undefined, { timeoutMs: 300, totalMs: 200 }));
    expect(late).toBeInstanceOf(ConnectionError);
    expect(session.isOver).toBe(true);
  });

  test("doesn't hold it against the server when there was too little time", async () => {
    const { session } = await sessionTo((stream, headers) => {
      if (headers[":path"] !== "/never") answer(stream, [bytes("well")], { "grpc-status": "0" });
    });
    const late = failure(session.call("/never", bytes(""), undefined, { timeoutMs: 20, isFair: false }));
    expect((await late).message).toEndWith(": no answer within 20 ms");
    expect(text(await session.call("/b", bytes(""), undefined, bounds))).toBe("well");
  });

  test("leaves no socket behind when a server that it gives up is frozen", async () => {
    const listen = `console.log(Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }).port)`;
    const frozen = Bun.spawn([process.execPath, "-e", listen], { stdout: "pipe" });
    stack.push(async () => {
      frozen.kill("SIGKILL");
      await frozen.exited;
    });
    const { value } = await frozen.stdout.getReader().read();
    const port = Number(new TextDecoder().decode(value));
    // the system accepts for it; it never reads, and never closes
    frozen.kill("SIGSTOP");
    const before = descriptors();
    for (let time = 0; time < 3; time++) {
      const session = await Session.connect(`http://127.0.0.1:${port}`, undefined, bounds);
      await failure(session.call("/a", bytes(""), undefined, { timeoutMs: 50 }));
      expect(session.isOver).toBe(true);
    }
    await until(() => descriptors() === before);
  });

  test("lets the server send pages ahead, on all streams together", async () => {
    const received: Uint8Array[] = [];
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        // its settings: none
        open: (socket) => void socket.write(Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0)),
        data: (_, chunk) => void received.push(chunk.slice()),
      },
    });
    stack.push(() => server.stop(true));
    const session = await Session.connect(`http://127.0.0.1:${server.port}`, undefined, bounds);
    stack.push(() => session.destroy("the end of the test"));
    await until(() => windowOf(Buffer.concat(received)) >= 4 * 1_048_576);
  });

  test("leaves the session alone when one call is aborted", async () => {
    const { session } = await sessionTo((stream, headers) => {
      if (headers[":path"] !== "/never") answer(stream, [bytes("well")], { "grpc-status": "0" });
    });
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = failure(
      session.call("/never", bytes(""), undefined, { ...bounds, signal: controller.signal }),
    );
    controller.abort(reason);
    expect(await aborted).toBe(reason);
    expect(text(await session.call("/b", bytes(""), undefined, bounds))).toBe("well");
  });

  test("is over when the server closes the connection", async () => {
    const { session, sessions } = await sessionTo(() => {});
    const waiting = failure(session.call("/a", bytes(""), undefined, bounds));
    await until(() => sessions.length === 1);
    sessions[0]!.destroy();
    expect(await waiting).toBeInstanceOf(ConnectionError);
    await session.ended;
  });

  test("loses no message of a stream that was paused", async () => {
    const count = 2_000;
    const { session } = await sessionTo((stream) => {
      const messages = Array.from({ length: count }, (_, index) => bytes(`${index} ${"x".repeat(2_000)}`));
      answer(stream, messages, { "grpc-status": "0" });
    });
    const received: number[] = [];
    const ended = Promise.withResolvers<Error | undefined>();
    const stream = session.open("/a", undefined, {
      onMessage: (message) => {
        received.push(Number.parseInt(text(message.subarray(0, 8)), 10));
        if (received.length % 100 !== 0) return;
        stream.pause();
        setTimeout(() => stream.resume(), 1);
      },
      onEnd: ended.resolve,
    });
    stream.finish();
    expect(await ended.promise).toBeUndefined();
    expect(received).toEqual(Array.from({ length: count }, (_, index) => index));
  });

  test("can't be opened where nothing listens, or nothing answers", async () => {
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = silent;
    const frozen = await Session.connect(`http://127.0.0.1:${port}`, undefined, bounds).catch(
      (error: Error) => error,
    );
    if (frozen instanceof Session) {
      // it may count as connected, but then it doesn't answer
      expect(await failure(frozen.call("/a", bytes(""), undefined, { timeoutMs: 100 }))).toBeInstanceOf(
        ConnectionError,
      );
    }
    silent.stop(true);
    const refused = await failure(Session.connect(`http://127.0.0.1:${port}`, undefined, bounds));
    expect(refused).toBeInstanceOf(ConnectionError);
    expect(refused.message).toContain("ECONNREFUSED");
  });
});
