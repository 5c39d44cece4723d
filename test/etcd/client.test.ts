/** What the client asks of servers, and what becomes of that: `src/etcd/client.ts` against scripted servers. */
import { describe, expect, test } from "bun:test";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";

import { EtcdClient } from "../../src/etcd/client.ts";
import { frameOf } from "../../src/etcd/grpc-frame.ts";
import { decodeNothing, decodeRange, methods } from "../../src/etcd/messages.ts";
import { Status } from "../../src/etcd/status.ts";
import { failure } from "../support/outcome.ts";

const nothing = new Uint8Array();
const free = { readTls: () => undefined };

/** A server that answers each call with this message, or with this status; it notes the paths. */
async function serve(statusOf: (path: string) => number = () => Status.ok, message = nothing) {
  const paths: string[] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = createServer();
  server.on("session", (session: ServerHttp2Session) => sessions.push(session));
  server.on("stream", (stream: ServerHttp2Stream, headers: Record<string, unknown>) => {
    const path = String(headers[":path"]);
    paths.push(path);
    const status = { "grpc-status": String(statusOf(path)) };
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(status));
    if (status["grpc-status"] === "0") stream.write(frameOf(message));
    stream.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    paths,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

describe("EtcdClient", () => {
  test("asks a server that takes no users only once for a token", async () => {
    await using server = await serve((path) =>
      path === methods.authenticate ? Status.failedPrecondition : Status.ok,
    );
    const user = { name: "u", password: "p" };
    const client = new EtcdClient({ description: "etcd", endpoints: [server.url], ...free, user });
    for (let call = 0; call < 3; call++) await client.call(methods.range, nothing, decodeRange);
    client.close();
    expect(server.paths).toEqual([methods.authenticate, methods.range, methods.range, methods.range]);
  });

  test.each([
    ["says that it can't", Status.unimplemented, nothing],
    ["fails within", Status.internal, nothing],
    ["answers what can't be read", Status.ok, Uint8Array.of(0x0a, 0xff, 0xff)],
  ])("goes on to another server when one %s", async (_, status, message) => {
    await using bad = await serve(() => status, message);
    await using good = await serve();
    for (let client = 0; client < 8; client++) {
      const one = new EtcdClient({ description: "etcd", endpoints: [bad.url, good.url], ...free });
      expect((await one.call(methods.range, nothing, decodeRange)).pairs).toEqual([]);
      one.close();
    }
    // each begins with one of them, by chance
    expect(good.paths.length).toBe(8);
  });

  test("goes on to another server within a second, too", async () => {
    await using bad = await serve(() => Status.unavailable);
    await using good = await serve();
    for (let client = 0; client < 4; client++) {
      const one = new EtcdClient({ description: "etcd", endpoints: [bad.url, good.url], ...free });
      await one.call(methods.range, nothing, decodeRange, { timeoutMs: 900 });
      one.close();
    }
    expect(good.paths.length).toBe(4);
  });

  test("says what is wrong when all servers are the wrong ones", async () => {
    await using one = await serve(() => Status.unimplemented);
    await using two = await serve(() => Status.unimplemented);
    const client = new EtcdClient({ description: "etcd", endpoints: [one.url, two.url], ...free });
    const error = await failure(client.call(methods.range, nothing, decodeRange));
    expect([error.name, error.message]).toEqual([
      "StoreUnavailableError",
      "etcd refused: etcd answered with gRPC status 12",
    ]);
    client.close();
  });

  test("leaves no rejection behind when a call is aborted while it connects", async () => {
    const client = new EtcdClient({ description: "etcd", endpoints: ["http://127.0.0.1:9"], ...free });
    const reason = new Error("enough");
    expect(
      await failure(client.call("/a", nothing, decodeNothing, { signal: AbortSignal.abort(reason) })),
    ).toBe(reason);
    // an unhandled rejection would fail the test
    await Bun.sleep(100);
    client.close();
  });
});
