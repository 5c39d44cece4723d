/** An open page that doesn't read: a real WebSocket whose other end is paused. */
import { expect, test } from "bun:test";
import { connect } from "node:net";

import { Feed } from "../../src/page/feed.ts";
import type { ServerMessage } from "../../src/page/protocol.ts";
import { PageViewer, type SocketData } from "../../src/page/viewer.ts";
import { upgrade } from "../support/page-client.ts";

/** A server with one page, which never reads. */
async function openPaused(): Promise<
  {
    viewer: PageViewer;
    socket: Bun.ServerWebSocket<SocketData>;
    closed: Promise<number>;
  } & AsyncDisposable
> {
  const opened = Promise.withResolvers<Bun.ServerWebSocket<SocketData>>();
  const closed = Promise.withResolvers<number>();
  const server = Bun.serve<SocketData>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, own) => (own.upgrade(request, { data: {} }) ? undefined : new Response("no")),
    websocket: {
      backpressureLimit: 1 << 30,
      message() {},
      open: (socket) => opened.resolve(socket),
      close: (_, code) => closed.resolve(code),
    },
  });
  const headers = Object.entries({ host: "127.0.0.1", ...upgrade }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const client = connect(server.port!, "127.0.0.1", () =>
    client.write(`GET / HTTP/1.1\r\n${headers.join("")}\r\n`),
  );
  client.pause();
  client.on("error", () => {});
  const socket = await opened.promise;
  return {
    viewer: new PageViewer(socket, new Feed({ intervalMs: 1_000, crowd: 100, connect: undefined })),
    socket,
    closed: closed.promise,
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      await server.stop(true);
    },
  };
}

const large: ServerMessage = { type: "registry", trouble: "x".repeat(500_000) };

test("a page that doesn't read gets no more samples, and costs little more than a message of memory", async () => {
  await using page = await openPaused();
  for (let at = 0; at < 200; at++) page.viewer.send(large, true);
  expect(page.socket.getBufferedAmount()).toBeLessThan(2_000_000);
});

test("a page that doesn't read what it must have is disconnected, with the code to try again later", async () => {
  await using page = await openPaused();
  for (let at = 0; at < 200; at++) page.viewer.send(large);
  expect(page.socket.getBufferedAmount()).toBeLessThan(20_000_000);
  expect(page.socket.readyState).toBe(WebSocket.CLOSED);
  expect(await page.closed).toBe(1013);
});
