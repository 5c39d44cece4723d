import { describe, expect, test } from "bun:test";

import { Deadline } from "../../src/deadline.ts";
import { AddressError, systemCode, TransportClosedError } from "../../src/errors.ts";
import { isAbsent } from "../../src/transport/dial.ts";
import { interfaceAddresses, ipVersion } from "../../src/transport/host.ts";
import { tcpTransport } from "../../src/transport/tcp.ts";
import type { Link } from "../../src/transport/transport.ts";
import { failure } from "../channel/actors.ts";

function connect(host: string, port: number): Promise<Link> {
  return tcpTransport.connect({ transport: "tcp", host, port }, new Deadline({ timeout: 3_000 }, "a test"));
}

/** Both ends of a connection dialled at `to`, with the listener at `at`. */
async function ends(at: string, to: string): Promise<{ near: Link; far: Link }> {
  const accepted = Promise.withResolvers<Link>();
  const listener = await tcpTransport.listen({ transport: "tcp", host: at, port: 0 }, accepted.resolve);
  const { address } = listener;
  const near = await connect(to, address.transport === "tcp" ? address.port : 0);
  const far = await accepted.promise;
  for (const link of [near, far]) link.abort();
  listener.close();
  return { near, far };
}

describe("tcpTransport", () => {
  test("makes loopback links that need no pings, whatever address the listener is bound to", async () => {
    for (const [at, to] of [
      ["127.0.0.1", "127.0.0.1"],
      ["localhost", "localhost"],
      ["0.0.0.0", "127.0.0.1"],
      ["::1", "::1"],
      ["::", "127.0.0.1"],
    ] as const) {
      const { near, far } = await ends(at, to);
      expect([at, near.mayFallSilent, far.mayFallSilent]).toEqual([at, false, false]);
    }
  });

  test("reaches a wildcard listener at loopback", async () => {
    await ends("0.0.0.0", "0.0.0.0");
    await ends("::", "::");
  });

  const own = Array.from(interfaceAddresses()).find(
    (host) => ipVersion(host) === 4 && !host.startsWith("127."),
  );
  test.skipIf(own === undefined)("requires pings on a link through an interface", async () => {
    const { near, far } = await ends("0.0.0.0", own!);
    expect([near.mayFallSilent, far.mayFallSilent]).toEqual([true, true]);
  });

  test("says what is wrong with the address to connect to or listen on", async () => {
    const refused = await failure(connect("127.0.0.1", 1));
    expect(refused.message).toBe(
      "cannot connect to tcp://127.0.0.1:1: nothing is listening there (ECONNREFUSED)",
    );
    const unknown = await failure(connect("no-such-host.invalid", 1));
    expect(unknown).toBeInstanceOf(TransportClosedError);
    expect(isAbsent(unknown)).toBe(true);
    const foreign = await failure(
      tcpTransport.listen({ transport: "tcp", host: "192.0.2.1", port: 0 }, () => {}),
    );
    expect(foreign).toBeInstanceOf(AddressError);
    expect(systemCode(foreign.cause)).toBe("EADDRNOTAVAIL");
    expect(foreign.message).toBe(
      "cannot listen on tcp://192.0.2.1:0: not an address of this host (EADDRNOTAVAIL)",
    );
  });
});
