/** Who may use the server of the page: real requests, those of a browser that means well and those of others. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";

import { findActor } from "../../src/index.ts";
import { testTree } from "../../src/testing.ts";
import { admit, LivePage, send, serve, upgrade } from "../support/page-client.ts";

const module = new URL("../fixtures/service.ts", import.meta.url);

/** Whether something accepts connections there. */
async function answers(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  try {
    return await new Promise((resolve) => {
      socket.on("connect", () => resolve(true));
      socket.on("error", () => resolve(false));
    });
  } finally {
    socket.destroy();
  }
}

describe("the server of the page", () => {
  test("listens on 127.0.0.1 and on no other address of this machine", async () => {
    await using page = serve();
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ address, scopeid }) => address !== "127.0.0.1" && !scopeid)
      .map(({ address }) => address);
    const answering: string[] = [];
    for (const address of ["127.0.0.1", ...new Set([...others, "127.0.0.2"])])
      if (await answers(address, page.port)) answering.push(address);
    expect(answering).toEqual(["127.0.0.1"]);
  });

  test("says so when its port is taken", async () => {
    await using page = serve();
    expect(() => serve({ port: page.port })).toThrow(
      `cannot serve the page on port ${page.port} of 127.0.0.1`,
    );
  });
});

describe("the link", () => {
  test("gives one browser a strict cookie of 128 bits that scripts can't read, for a path that nobody guesses", async () => {
    await using page = serve();
    const { host, pathname, search, searchParams } = new URL(page.url);
    expect(page.url).toStartWith(`http://127.0.0.1:${page.port}/`);
    expect(Buffer.from(searchParams.get("token")!, "base64url").length).toBe(16);
    expect(Buffer.from(pathname.slice(1, -1), "base64url").length).toBe(16);
    const { status, headers, text } = await send(page.port, "GET", pathname + search, { host });
    expect([status, text]).toEqual([200, "<!doctype html><style>a{}</style><script>1</script>"]);
    const [pair = "", ...attributes] = headers.get("set-cookie")!.split("; ");
    expect(attributes).toEqual([`Path=${pathname}`, "HttpOnly", "SameSite=Strict"]);
    expect(Buffer.from(pair.split("=")[1]!, "base64url").length).toBe(16);
    expect(pair).not.toContain(searchParams.get("token")!);
  });

  test("works once; the cookie goes on working, for reloads of the link as well", async () => {
    await using page = serve();
    const { pathname, search } = new URL(page.url);
    const { host, cookie, path } = await admit(page);
    const again = await send(page.port, "GET", pathname + search, { host });
    expect([again.status, again.headers.get("set-cookie")]).toEqual([403, null]);
    expect(again.text).toContain("works only once");
    for (const address of [path, pathname + search])
      expect((await send(page.port, "GET", address, { host, cookie })).status).toBe(200);
  });

  test("isn't used up by a wrong token, and nothing is served without one", async () => {
    await using page = serve();
    const { host, pathname } = new URL(page.url);
    const given = ["", "?token=", "?token=AAAAAAAAAAAAAAAAAAAAAA", "?token=x", `?token=${"A".repeat(4_000)}`];
    for (const query of given) {
      const { status, text } = await send(page.port, "GET", pathname + query, { host });
      expect([query.length, status]).toEqual([query.length, 403]);
      expect(text).not.toContain("<script>");
    }
    await admit(page);
  });

  test("doesn't count where it isn't a GET, and neither does a cookie of another value", async () => {
    await using page = serve();
    const { host, origin, pathname, search } = new URL(page.url);
    for (const method of ["POST", "HEAD", "PUT"])
      expect((await send(page.port, method, pathname + search, { host, origin })).status).toBe(403);
    const socket = await send(page.port, "GET", `${pathname}live${search}`, { host, origin, ...upgrade });
    expect(socket.status).toBe(403);
    const { cookie } = await admit(page);
    for (const wrong of [`${cookie}x`, cookie.slice(0, -1), cookie.replace("=", "=x"), `x${cookie}`])
      expect((await send(page.port, "GET", pathname, { host, cookie: wrong })).status).toBe(403);
    expect((await send(page.port, "GET", pathname, { host, cookie: `a=b; ${cookie}; c=d` })).status).toBe(
      200,
    );
  });
});

describe("a request", () => {
  test("with another Host is refused, whatever it has besides: a name that resolves to 127.0.0.1 is another", async () => {
    await using page = serve();
    const { pathname, search } = new URL(page.url);
    const { port } = page;
    const hosts = [
      `evil.example:${port}`,
      `localhost:${port}`,
      "127.0.0.1",
      `127.0.0.1:${port + 1}`,
      `127.0.0.1.evil.example:${port}`,
    ];
    for (const host of hosts) expect((await send(port, "GET", pathname + search, { host })).status).toBe(421);
    const { cookie, origin } = await admit(page);
    for (const host of hosts) {
      expect((await send(port, "GET", pathname, { host, cookie })).status).toBe(421);
      const live = await send(port, "GET", `${pathname}live`, { host, cookie, origin, ...upgrade });
      expect(live.status).toBe(421);
    }
  });

  test("for the WebSocket needs our Origin and the cookie", async () => {
    await using page = serve();
    const { host, origin, cookie, path } = await admit(page);
    const ask = async (headers: Record<string, string>): Promise<number> =>
      (await send(page.port, "GET", `${path}live`, { host, ...upgrade, ...headers })).status;
    const others = [
      "http://evil.example",
      "null",
      `http://localhost:${page.port}`,
      `http://127.0.0.1:${page.port + 1}`,
      `https://${host}`,
    ];
    for (const other of others) expect(await ask({ cookie, origin: other })).toBe(403);
    expect(await ask({ cookie })).toBe(403);
    expect(await ask({ origin })).toBe(403);
    expect(await ask({ cookie, origin })).toBe(101);
  });

  test("of another method than GET needs our Origin; so does a GET that has one", async () => {
    await using page = serve();
    const { host, origin, cookie, path } = await admit(page);
    for (const method of ["DELETE", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"]) {
      const ask = async (headers: Record<string, string>): Promise<number> =>
        (await send(page.port, method, path, { host, cookie, ...headers })).status;
      expect([method, await ask({})]).toEqual([method, 403]);
      expect([method, await ask({ origin: "http://evil.example" })]).toEqual([method, 403]);
      expect([method, await ask({ origin })]).toEqual([method, 405]);
    }
    const foreign = await send(page.port, "GET", path, { host, cookie, origin: "http://evil.example" });
    expect(foreign.status).toBe(403);
  });

  test("for anything else, or too long, is refused", async () => {
    await using page = serve({ mayAct: true });
    const { host, origin, cookie, path } = await admit(page);
    const headers = { host, origin, cookie };
    expect((await send(page.port, "GET", `${path}../../etc/passwd`, { host, cookie })).status).toBe(404);
    expect((await send(page.port, "GET", `${path}live`, { host, cookie })).status).toBe(426);
    expect((await send(page.port, "GET", `${path}action`, { host, cookie })).status).toBe(405);
    for (const body of ["", "[]", "null", '{"action":"stop"}', '{"action":"toString","uuid":"x"}'])
      expect((await send(page.port, "POST", `${path}action`, headers, body)).status).toBe(400);
    expect((await send(page.port, "POST", `${path}action`, headers, "x".repeat(100_000))).status).toBe(413);
  });
});

describe("the page", () => {
  test("may run its own script and style by their hashes, connect to its own server, and nothing else", async () => {
    await using page = serve();
    const { host, cookie, path } = await admit(page);
    const { headers } = await send(page.port, "GET", path, { host, cookie });
    const hash = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("base64");
    expect(headers.get("content-security-policy")!.split("; ")).toEqual([
      "default-src 'none'",
      `script-src 'sha256-${hash("1")}'`,
      `style-src 'sha256-${hash("a{}")}'`,
      `connect-src 'self' ws://${host}`,
      "img-src data:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]);
    for (const [name, value] of [
      ["cache-control", "no-store"],
      ["referrer-policy", "no-referrer"],
      ["x-content-type-options", "nosniff"],
      ["cross-origin-resource-policy", "same-origin"],
      ["access-control-allow-origin", null],
    ] as const)
      expect([name, headers.get(name)]).toEqual([name, value]);
  });

  test("that sends what isn't a message is disconnected", async () => {
    await using page = serve();
    const browser = await admit(page);
    for (const text of [
      "",
      "null",
      "{}",
      '{"type":"show","isVisible":1,"selected":null,"log":true,"inSight":[]}',
      '{"type":"show","isVisible":true,"selected":null,"log":true,"inSight":[1]}',
      '{"type":"act"}',
    ]) {
      using live = await LivePage.open(browser);
      live.send(text);
      expect((await live.closed).code).toBe(1007);
    }
    using live = await LivePage.open(browser);
    live.send("x".repeat(20_000));
    expect((await live.closed).code).not.toBe(1000);
  });
});

describe("actions", () => {
  test("are refused unless the user allowed them", async () => {
    await using tree = await testTree();
    await using actor = await tree.nursery.startActor<typeof import("../fixtures/service.ts")>("worker", {
      module,
    });
    await using page = serve();
    const { host, origin, cookie, path } = await admit(page);
    using live = await LivePage.open({ host, origin, cookie, path });
    live.show();
    await live.until((message) => (message.type === "actors" && message.isWhole ? true : undefined));
    expect(await live.until((message) => (message.type === "hello" ? message.mayAct : undefined))).toBe(
      false,
    );
    for (const action of ["stop", "drain", "restart"]) {
      const body = JSON.stringify({ action, uuid: actor.id.uuid });
      const { status, text } = await send(page.port, "POST", `${path}action`, { host, origin, cookie }, body);
      expect([status, text]).toEqual([403, expect.stringContaining("--allow-actions")]);
    }
    expect(await actor.run.add(1, 2)).toBe(3);
  });

  test("stop, drain and restart actors if the user allowed them, and say what came of it", async () => {
    await using tree = await testTree({ strategy: "one-for-one" });
    for (const name of ["one", "two", "three"])
      await tree.nursery.startActor(name, { module, restart: "always" });
    await using page = serve({ mayAct: true });
    const browser = await admit(page);
    using live = await LivePage.open(browser);
    live.show();
    await live.until((message) => (message.type === "actors" && message.isWhole ? true : undefined));
    const ask = async (action: string, uuid: string): Promise<string> => {
      const { host, origin, cookie, path } = browser;
      const body = JSON.stringify({ action, uuid });
      const { status, text } = await send(page.port, "POST", `${path}action`, { host, origin, cookie }, body);
      return `${status} ${(JSON.parse(text) as { message: string }).message}`;
    };
    for (const [name, action, done] of [
      ["one", "stop", "stopped"],
      ["two", "drain", "drained"],
      ["three", "restart", "restarted"],
    ] as const) {
      const { id } = (await findActor(name))!;
      const from = live.received.length;
      expect(await ask(action, id.uuid)).toBe(`200 ${name}#${id.uuid.slice(0, 8)} is ${done}`);
      await live.until(
        (message) => (message.type === "actors" && message.gone.includes(id.uuid) ? true : undefined),
        from,
      );
      expect(await ask(action, id.uuid)).toBe("409 this actor has ended");
    }
    expect(await ask("restart", tree.actor.uuid)).toContain("has no nursery here that could restart it");
  });
});
