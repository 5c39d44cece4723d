/** Who gets through a TLS handshake, what those who do not are told, and what strangers may take. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { Deadline } from "../../src/deadline.ts";
import { AddressError, TransportClosedError } from "../../src/errors.ts";
import { isAbsent } from "../../src/transport/dial.ts";
import { tcpDriver, tcpTransport } from "../../src/transport/tcp.ts";
import type { TlsLimits } from "../../src/transport/tls-socket.ts";
import type { TlsIdentity } from "../../src/transport/tls.ts";
import type { Link, LinkEnd, Listener, TransportDriver } from "../../src/transport/transport.ts";
import { failure } from "../channel/actors.ts";
import { Authority } from "../support/certificates.ts";
import { Program, until } from "../support/world.ts";

const module = join(import.meta.dir, "../../src/transport/tcp.ts");
const day = 86_400_000;
const authority = new Authority();
const web = authority.issue("shop/web");
const db = authority.issue("shop/db");
/** Trusts us, and is not trusted; once under our authority's name, once under another. */
const rogues = ["a test authority", "another"].map((name) => ({
  ...new Authority(name).issue("shop/db"),
  ca: authority.certificate,
}));
const expired = authority.issue("shop/db", { notBefore: Date.now() - 2 * day, notAfter: Date.now() - day });
const early = authority.issue("shop/db", { notBefore: Date.now() + day, notAfter: Date.now() + 2 * day });
const elsewhere = authority.issue("shop/db", { dns: "example" });
const nameless = authority.issue("shop/db", { uri: null });

const anywhere = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;

function portOf({ address }: Listener): number {
  return address.transport === "tcp" ? address.port : 0;
}

function connectTo(port: number, identity: TlsIdentity): Promise<Link> {
  return tcpDriver(identity).connect({ ...anywhere, port }, new Deadline({ timeout: 5_000 }, "a test"));
}

/** What a link hears, and its one end. */
class Ear {
  readonly link: Link;
  heard = "";
  readonly ended = Promise.withResolvers<LinkEnd>();

  constructor(link: Link) {
    this.link = link;
    link.reader = {
      onData: (chunk) => void (this.heard += new TextDecoder().decode(chunk)),
      onEnd: (end) => this.ended.resolve(end),
    };
  }

  say(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.link.write(bytes, 0, bytes.length, true);
  }
}

/** Listens, keeps the links, and answers what they say with the same. */
async function echo(
  driver: TransportDriver,
): Promise<{ listener: Listener; links: Link[] } & AsyncDisposable> {
  const links: Link[] = [];
  const ends: Promise<LinkEnd>[] = [];
  const listener = await driver.listen(anywhere, (link) => {
    links.push(link);
    const ended = Promise.withResolvers<LinkEnd>();
    ends.push(ended.promise);
    link.reader = {
      onData: (chunk) => link.write(chunk, 0, chunk.length, false),
      onEnd: ended.resolve,
    };
  });
  const dispose = async (): Promise<void> => {
    listener.close();
    for (const link of links) link.abort();
    await Promise.all(ends);
  };
  return { listener, links, [Symbol.asyncDispose]: dispose };
}

/** A server of Bun's own, with TLS or without, that is not furrow. */
function otherServer(
  tls: Bun.TLSOptions | undefined,
  answer: string | undefined,
): Disposable & { port: number } {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls === undefined ? undefined : { tls }),
    socket: {
      data(socket) {
        if (answer === undefined) socket.end();
        else socket.write(answer);
      },
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

/** A process that listens, counts its links, and logs. */
class Listening extends Program {
  port = 0;

  accepted(): Promise<number> {
    return this.run(({ keep }) => keep["accepted"] as number);
  }

  /** Ends it, and returns the lines that it logged. */
  async log(): Promise<string[]> {
    await this.kill();
    return (await this.stderr).split("\n").filter((line) => line !== "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function listening(identity: TlsIdentity): Promise<Listening> {
  const program = new Listening({ FURROW_LOG: "transport=warn" });
  await program.up;
  program.port = await program.run(
    async ({ keep, args }) => {
      const { tcpDriver: driver } = (await import(args[0] as string)) as {
        tcpDriver: (tls: TlsIdentity) => TransportDriver;
      };
      keep["accepted"] = 0;
      const where = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
      const listener = await driver(args[1] as TlsIdentity).listen(where, (link) => {
        keep["accepted"] = (keep["accepted"] as number) + 1;
        link.abort();
      });
      keep["listener"] = listener;
      return (listener.address as { port: number }).port;
    },
    module,
    identity,
  );
  return program;
}

const alpn = Buffer.from("\u0008furrow/1");

/** A client of Bun's own; what it received, once it was let go of. */
async function stranger(port: number, tls: Bun.TLSOptions | undefined, says: string): Promise<string> {
  const gone = Promise.withResolvers<void>();
  let received = "";
  const say = (socket: Bun.Socket): void => void socket.write(says);
  const socket: Bun.SocketHandler = {
    data: (_, chunk) => void (received += chunk.toString()),
    close: () => gone.resolve(),
    end: (one) => void one.end(),
    error() {},
    connectError() {},
  };
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    ...(tls === undefined ? undefined : { tls: { rejectUnauthorized: false, serverName: "furrow", ...tls } }),
    socket: tls === undefined ? { ...socket, open: say } : { ...socket, handshake: say },
  });
  await gone.promise;
  return received;
}

describe("connect over TLS", () => {
  test("brings both ends a link that names the other, and carries the first bytes of either", async () => {
    await using server = await echo(tcpDriver(db));
    for (let round = 0; round < 20; round++) {
      const near = new Ear(await connectTo(portOf(server.listener), web));
      near.say("hello");
      await until(() => near.heard === "hello");
      expect(near.link.peer).toEqual({ kind: "tls", subject: "shop/db" });
      expect(server.links.at(-1)?.peer).toEqual({ kind: "tls", subject: "shop/web" });
      near.link.abort();
      await near.ended.promise;
    }
  });

  test("loses nothing that the listener says first", async () => {
    const links: Link[] = [];
    const listener = await tcpDriver(db).listen(anywhere, (link) => {
      links.push(link);
      new Ear(link).say("welcome");
    });
    for (let round = 0; round < 20; round++) {
      const near = new Ear(await connectTo(portOf(listener), web));
      await until(() => near.heard === "welcome");
      near.link.abort();
      await near.ended.promise;
    }
    listener.close();
    for (const link of links) link.abort();
  });

  test("accepts a chain of certificates that leads to the authority", async () => {
    const below = new Authority("below", authority);
    const chained = (subject: string): TlsIdentity => {
      const { cert, key, ca } = below.issue(subject);
      return { cert: cert + ca, key, ca: authority.certificate };
    };
    await using server = await echo(tcpDriver(chained("shop/deep")));
    const near = new Ear(await connectTo(portOf(server.listener), chained("shop/high")));
    near.say("x");
    await until(() => near.heard === "x");
    expect([near.link.peer, server.links[0]?.peer]).toEqual([
      { kind: "tls", subject: "shop/deep" },
      { kind: "tls", subject: "shop/high" },
    ]);
    near.link.abort();
    await near.ended.promise;
  });

  const notOurs =
    "its certificate, which says shop/db, was not signed by an authority of ours (security.tls.ca)";
  test.each([
    ["another authority of the same name", rogues[0]!, `${notOurs} (CERT_SIGNATURE_FAILURE)`],
    ["another authority", rogues[1]!, `${notOurs} (UNABLE_TO_VERIFY_LEAF_SIGNATURE)`],
    [
      "an authority that is not the dialler's",
      new Authority("another").issue("shop/db"),
      `${notOurs} (SELF_SIGNED_CERT_IN_CHAIN)`,
    ],
    [
      "an expired certificate",
      expired,
      "its certificate, which says shop/db, has expired (CERT_HAS_EXPIRED)",
    ],
    [
      "a certificate of tomorrow",
      early,
      "its certificate, which says shop/db, is not valid yet (CERT_NOT_YET_VALID)",
    ],
    [
      "a certificate for another host",
      elsewhere,
      "its certificate, which says shop/db, is not for the DNS name furrow (ERR_TLS_CERT_ALTNAME_INVALID)",
    ],
    [
      "a certificate without a subject",
      nameless,
      "its certificate must have one URI furrow:<subject> as an alternative name, and has DNS:furrow",
    ],
  ])("refuses a listener with %s", async (_, identity, why) => {
    await using server = await echo(tcpDriver(identity));
    const port = portOf(server.listener);
    const error = await failure(connectTo(port, web));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.message).toBe(`cannot connect to tcp://127.0.0.1:${port} over TLS: ${why}`);
    expect(isAbsent(error)).toBe(false);
    expect(server.links).toEqual([]);
  });

  const { cert, key, ca } = db;
  const both = { cert, key, ca, requestCert: true };
  test.each([
    ["a plain http server", undefined, "HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak TLS"],
    [
      "one that ends at a handshake",
      undefined,
      undefined,
      "it ended the connection during the TLS handshake; it may not speak TLS",
    ],
    ["TLS that is not furrow's", { ...both }, "", "it speaks TLS, but not furrow/1 (ALPN)"],
    [
      "TLS with another protocol",
      { ...both, ALPNProtocols: Buffer.from("\u0002h2") },
      "",
      "it speaks TLS, but not furrow/1 (ALPN)",
    ],
    ["TLS 1.2", { ...both, secureOptions: 0x2000_0000 }, "", "it does not speak TLS 1.3"],
  ] as const)("says that it found %s", async (_, tls, answer, why) => {
    using server = otherServer(tls, answer);
    const error = await failure(connectTo(server.port, web));
    expect(error).toBeInstanceOf(TransportClosedError);
    expect(error.message).toBe(`cannot connect to tcp://127.0.0.1:${server.port} over TLS: ${why}`);
  });

  test("does not send its certificate to a listener that it refuses", async () => {
    const seen: string[] = [];
    const gone = Promise.withResolvers<void>();
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      tls: {
        cert: nameless.cert,
        key: nameless.key,
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: alpn,
      },
      socket: {
        data() {},
        handshake(socket) {
          const names = socket.getPeerCertificate()?.subjectaltname;
          if (names !== undefined) seen.push(names);
        },
        close: () => gone.resolve(),
      },
    });
    await failure(connectTo(listener.port, web));
    await gone.promise;
    listener.stop(true);
    expect(seen).toEqual([]);
  });

  test("gives up on a listener that accepts and says nothing, and leaves no connection behind", async () => {
    const accepted = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: () => accepted.resolve(), data() {}, close: () => gone.resolve() },
    });
    const controller = new AbortController();
    const deadline = new Deadline({ signal: controller.signal }, "a test");
    const dialling = failure(tcpDriver(web).connect({ ...anywhere, port: listener.port }, deadline));
    await accepted.promise;
    controller.abort(new Error("enough"));
    expect(await dialling).toBe(controller.signal.reason);
    await gone.promise;
    listener.stop(true);
  });
});

describe("listen over TLS", () => {
  test.each([
    ["another authority of the same name", rogues[0]!],
    ["another authority", rogues[1]!],
    ["an expired certificate", expired],
    ["a certificate without a subject", nameless],
    [
      "a certificate of our authority for another DNS name",
      authority.issue("shop/db", { dns: "example.com" }),
    ],
  ])("refuses a dialler with %s, who hears of it in place of an answer", async (_, identity) => {
    await using server = await echo(tcpDriver(db));
    const near = new Ear(await connectTo(portOf(server.listener), identity));
    near.say("hello");
    const end = await near.ended.promise;
    expect(end.kind === "failed" && end.error.message).toContain(
      "it reset the connection before its first byte: it may not accept our certificate",
    );
    expect([near.heard, server.links]).toEqual(["", []]);
  });

  test("gives strangers no link and no byte, and a line in the log that says why", async () => {
    await using program = await listening(db);
    const own = { cert: web.cert, key: web.key, ca: web.ca };
    const received = [
      await stranger(program.port, undefined, "GET / HTTP/1.0\r\n\r\n"),
      await stranger(program.port, undefined, "\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008"),
      await stranger(program.port, { ALPNProtocols: alpn }, "hello"),
      await stranger(program.port, { ...own }, "hello"),
      await stranger(program.port, { ...own, ALPNProtocols: Buffer.from("\u0002h2") }, "hello"),
      await stranger(program.port, { ...own, ALPNProtocols: alpn, secureOptions: 0x2000_0000 }, "hello"),
    ];
    for (const identity of [rogues[1]!, expired, early, nameless]) {
      received.push(await stranger(program.port, { ...identity, ALPNProtocols: alpn }, "hello"));
    }
    // what speaks no TLS sees 7 bytes of it: an alert
    const isAlert = (text: string): boolean => text.length === 7 && text.startsWith("\u0015\u0003");
    expect(received.filter((text) => !isAlert(text))).toEqual(Array.from({ length: 9 }, () => ""));
    expect(await program.accepted()).toBe(0);
    const said = /refused in the TLS handshake: (.*)$/;
    expect((await program.log()).map((line) => said.exec(line)?.[1])).toEqual([
      "it does not speak TLS",
      "it does not speak TLS",
      "it showed no certificate",
      "it speaks TLS, but not furrow/1 (ALPN)",
      "it speaks TLS, but not furrow/1 (ALPN)",
      "it does not speak TLS 1.3",
      "its certificate, which says shop/db, was not signed by an authority of ours (security.tls.ca) (UNABLE_TO_VERIFY_LEAF_SIGNATURE)",
      "its certificate, which says shop/db, has expired (CERT_HAS_EXPIRED)",
      "its certificate, which says shop/db, is not valid yet (CERT_NOT_YET_VALID)",
      "its certificate must have one URI furrow:<subject> as an alternative name, and has DNS:furrow",
    ]);
  });

  test("ends a stranger that does not finish the handshake in time, and one more than may be under way", async () => {
    const limits: TlsLimits = { handshakeTimeoutMs: 50, maxHandshakes: 1_024 };
    await using patient = await echo(tcpDriver(db, limits));
    expect(await stranger(portOf(patient.listener), undefined, "")).toBe("");
    await using crowded = await echo(tcpDriver(db, { maxHandshakes: 3 }));
    const port = portOf(crowded.listener);
    const gone: number[] = [];
    const silent: Bun.Socket[] = [];
    for (let number = 1; number <= 5; number++) {
      const socket = { data() {}, error() {}, close: () => void gone.push(number) };
      silent.push(await Bun.connect({ hostname: "127.0.0.1", port, socket }));
    }
    await until(() => gone.length === 2);
    // a peer finds its way in at the cost of the oldest, and then takes no place of a stranger's
    const near = new Ear(await connectTo(port, web));
    near.say("x");
    await until(() => near.heard === "x");
    expect(gone).toEqual([1, 2, 3]);
    const last = new Ear(await connectTo(port, web));
    last.say("x");
    await until(() => last.heard === "x");
    expect(gone).toEqual([1, 2, 3]);
    for (const socket of silent) socket.terminate();
    for (const { link, ended } of [near, last]) {
      link.abort();
      await ended.promise;
    }
  });
});

describe("rotate", () => {
  test("shows new connections another certificate on the same port, and old links live on", async () => {
    const server = tcpDriver(db);
    await using both = await echo(server);
    const port = portOf(both.listener);
    const old = new Ear(await connectTo(port, web));
    old.say("1");
    await until(() => old.heard === "1");
    await server.rotate(authority.issue("shop/db2"));
    const next = new Ear(await connectTo(port, web));
    expect([old.link.peer, next.link.peer]).toEqual([
      { kind: "tls", subject: "shop/db" },
      { kind: "tls", subject: "shop/db2" },
    ]);
    old.say("2");
    next.say("3");
    await until(() => old.heard === "12" && next.heard === "3");
    for (const { link, ended } of [old, next]) {
      link.abort();
      await ended.promise;
    }
  });

  test("changes what is trusted as well, and what later dials show", async () => {
    const driver = tcpDriver(db);
    await using both = await echo(driver);
    const port = portOf(both.listener);
    const other = new Authority("another");
    await driver.rotate(other.issue("shop/db3"));
    expect((await failure(connectTo(port, web))).message).toContain("SELF_SIGNED_CERT_IN_CHAIN");
    const deadline = new Deadline({ timeout: 5_000 }, "a test");
    const own = new Ear(await driver.connect({ ...anywhere, port }, deadline));
    own.say("x");
    await until(() => own.heard === "x");
    expect(both.links.map(({ peer }) => peer)).toEqual([{ kind: "tls", subject: "shop/db3" }]);
    own.link.abort();
    await own.ended.promise;
  });

  test("goes on with what it had when the new one cannot be used", async () => {
    const driver = tcpDriver(db);
    await using both = await echo(driver);
    expect(await failure(driver.rotate({ ...db, key: "nonsense" }))).toBeInstanceOf(AddressError);
    const near = new Ear(await connectTo(portOf(both.listener), web));
    near.say("x");
    await until(() => near.heard === "x");
    near.link.abort();
    await near.ended.promise;
  });

  test("opens nothing again that was closed", async () => {
    const driver = tcpDriver(db);
    const listener = await driver.listen(anywhere, () => {});
    listener.close();
    await driver.rotate(web);
    expect(isAbsent(await failure(connectTo(portOf(listener), web)))).toBe(true);
  });
});

describe("tcpDriver", () => {
  test("is the plain transport without an identity, and loads nothing for TLS", async () => {
    expect(tcpDriver()).toBe(tcpTransport);
    await using program = new Listening({});
    await program.up;
    const loaded = await program.run(async ({ args }) => {
      const { tcpTransport: plain } = (await import(args[0] as string)) as { tcpTransport: TransportDriver };
      const where = { transport: "tcp", host: "127.0.0.1", port: 0 } as const;
      (await plain.listen(where, (link) => link.abort())).close();
      const { createRequire } = await import("node:module");
      return Object.keys(createRequire(args[0] as string).cache);
    }, module);
    expect(loaded).toContain(module);
    expect(loaded.filter((path) => path.includes("/transport/tls"))).toEqual([]);
  });
});
