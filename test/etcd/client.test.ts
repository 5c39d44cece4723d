/** What the client asks of servers, and what becomes of that: `src/etcd/client.ts` against scripted servers. */
import { describe, expect, test } from "bun:test";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";

import { EtcdClient } from "../../src/etcd/client.ts";
import { frameOf } from "../../src/etcd/grpc-frame.ts";
import { methods } from "../../src/etcd/messages.ts";
import { Status } from "../../src/etcd/status.ts";
import { failure } from "../support/outcome.ts";

const nothing = new Uint8Array();
const free = { readTls: () => undefined };

/** A server that answers each call with an empty message, or with this status; it notes the paths. */
async function serve(statusOf: (path: string) => number = () => Status.ok) {
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
    if (status["grpc-status"] === "0") stream.write(frameOf(nothing));
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
    for (let call = 0; call < 3; call++) await client.call(methods.range, nothing);
    client.close();
    expect(server.paths).toEqual([methods.authenticate, methods.range, methods.range, methods.range]);
  });

  test("leaves no rejection behind when a call is aborted while it connects", async () => {
    const client = new EtcdClient({ description: "etcd", endpoints: ["http://127.0.0.1:9"], ...free });
    const reason = new Error("enough");
    expect(await failure(client.call("/a", nothing, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    // an unhandled rejection would fail the test
    await Bun.sleep(100);
    client.close();
  });
});
