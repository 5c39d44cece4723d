import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { networkInterfaces } from "node:os";

import { AddressError } from "../../src/errors.ts";
import {
  type Address,
  bestAddress,
  dialOrder,
  formatAddress,
  localizeAddress,
  normalizeAddress,
  type ParsedAddress,
  parseAddress,
  qualifyAddress,
  rankAddresses,
  toMultiaddr,
} from "../../src/transport/address.ts";
import { hostId, ipVersion, isLoopback, isWildcard } from "../../src/transport/host.ts";

interface Row {
  readonly url: Address;
  readonly multiaddr: string;
  readonly parsed: ParsedAddress;
}

const rows: readonly Row[] = [
  {
    url: "tcp://127.0.0.1:1616",
    multiaddr: "/ip4/127.0.0.1/tcp/1616",
    parsed: { transport: "tcp", host: "127.0.0.1", port: 1616 },
  },
  {
    url: "tcp://[::1]:1616",
    multiaddr: "/ip6/::1/tcp/1616",
    parsed: { transport: "tcp", host: "::1", port: 1616 },
  },
  {
    url: "tcp://[2001:db8::ff00:42:8329]:65535",
    multiaddr: "/ip6/2001:db8::ff00:42:8329/tcp/65535",
    parsed: { transport: "tcp", host: "2001:db8::ff00:42:8329", port: 65_535 },
  },
  {
    url: "tcp://0.0.0.0:0",
    multiaddr: "/ip4/0.0.0.0/tcp/0",
    parsed: { transport: "tcp", host: "0.0.0.0", port: 0 },
  },
  {
    url: "tcp://db-1.example.org:80",
    multiaddr: "/dns/db-1.example.org/tcp/80",
    parsed: { transport: "tcp", host: "db-1.example.org", port: 80 },
  },
  {
    url: "unix:///run/furrow/registry@1616.sock",
    multiaddr: "/unix/run/furrow/registry@1616.sock",
    parsed: { transport: "unix", path: "/run/furrow/registry@1616.sock", host: "" },
  },
  {
    url: "unix:///with space/ünï.sock",
    multiaddr: "/unix/with space/ünï.sock",
    parsed: { transport: "unix", path: "/with space/ünï.sock", host: "" },
  },
];

describe.each(rows.map((row) => [row.url, row] as const))("%s", (_, { url, multiaddr, parsed }) => {
  test("is parsed in both spellings, and formatted back", () => {
    expect(parseAddress(url)).toEqual(parsed);
    expect(parseAddress(multiaddr)).toEqual(parsed);
    expect(formatAddress(parsed)).toBe(url);
    expect(toMultiaddr(url)).toBe(multiaddr);
    expect(normalizeAddress(multiaddr)).toBe(url);
  });
});

describe("parseAddress", () => {
  test("reads the host id of a unix address", () => {
    expect(parseAddress("unix://0123456789abcdef/run/a.sock")).toEqual({
      transport: "unix",
      path: "/run/a.sock",
      host: "0123456789abcdef",
    });
  });

  test.each([
    ["/dns4/db/tcp/1", { transport: "tcp", host: "db", port: 1 }],
    ["/dns6/db/tcp/1", { transport: "tcp", host: "db", port: 1 }],
    ["/unix//run/a.sock", { transport: "unix", path: "/run/a.sock", host: "" }],
  ] as const)("reads %s", (text, parsed) => {
    expect(parseAddress(text)).toEqual(parsed as ParsedAddress);
  });

  test.each<[text: unknown, message: string]>([
    [undefined, "an address must be a string, got undefined"],
    [5, "an address must be a string, got number"],
    ["", 'address "" is neither a URL (tcp://host:port, unix:///absolute/path) nor a multiaddr'],
    ["registry.sock", "is neither a URL (tcp://host:port, unix:///absolute/path) nor a multiaddr"],
    ["unix:registry.sock", "must be unix:///absolute/path, or unix://host-id/absolute/path"],
    ["unix:/x", "must be unix:///absolute/path, or unix://host-id/absolute/path"],
    ["unix:", "must be unix:///absolute/path, or unix://host-id/absolute/path"],
    ["tcp:host:1", "must be tcp://host:port, with an ipv6 host in brackets"],
    ["tcp:/h:1", "must be tcp://host:port, with an ipv6 host in brackets"],
    ["localhost:1616", "has no transport: write tcp://localhost:1616"],
    ["127.0.0.1:1616", "has no transport: write tcp://127.0.0.1:1616"],
    ["[::1]:1616", "has no transport: write tcp://[::1]:1616"],
    ["::1:1616", "is neither a URL"],
    ["localhost:99999", 'has the unknown transport "localhost" (known: tcp, unix)'],
    ["/run/registry.sock", "unix); a socket file is unix:///run/registry.sock"],
    ["quic://a:1", 'has the unknown transport "quic" (known: tcp, unix)'],
    ["udp:a", 'has the unknown transport "udp" (known: tcp, unix)'],
    ["tcp://", "must be tcp://host:port, with an ipv6 host in brackets"],
    ["tcp://host", "must be tcp://host:port, with an ipv6 host in brackets"],
    ["tcp://::1:1616", "must be tcp://host:port, with an ipv6 host in brackets"],
    ["tcp://[::1]", "must be tcp://host:port, with an ipv6 host in brackets"],
    ["tcp://[::g]:1", '"::g" is not an ipv6 address'],
    ["tcp://[127.0.0.1]:1", '"127.0.0.1" is not an ipv6 address'],
    ["tcp://[]:1", '"" is not an ipv6 address'],
    ["tcp://:1616", "has no host"],
    ["tcp://256.0.0.1:1", '"256.0.0.1" is not a host name or ipv4 address'],
    ["tcp://1.2.3:1", '"1.2.3" is not a host name or ipv4 address'],
    ["tcp://a b:1", '"a b" is not a host name or ipv4 address'],
    ["tcp://user@host:1", '"user@host" is not a host name or ipv4 address'],
    ["tcp://host:", '"" is not a port (0 to 65535)'],
    ["tcp://host:65536", '"65536" is not a port (0 to 65535)'],
    ["tcp://host:1e3", '"1e3" is not a port (0 to 65535)'],
    ["tcp://host:-1", '"-1" is not a port (0 to 65535)'],
    ["tcp://host:1/path", '"1/path" is not a port (0 to 65535)'],
    ["unix://", "must be unix:///absolute/path, or unix://host-id/absolute/path"],
    ["unix://relative.sock", "must be unix:///absolute/path, or unix://host-id/absolute/path"],
    ["unix:///", "names a directory, not a socket file"],
    ["unix:///run/", "names a directory, not a socket file"],
    ["unix://no-id/run/a.sock", '"no-id" is not a host id'],
    ["unix:///a\0b", "has a control character"],
    ["tcp://a\n:1", "has a control character"],
    ["/", 'has the unknown protocol ""'],
    ["/ip5/1/tcp/1", 'has the unknown protocol "ip5" (known: ip4, ip6, dns, dns4, dns6, unix)'],
    ["/ip4/127.0.0.1", 'has the unknown transport "" (known: tcp)'],
    ["/ip4/127.0.0.1/udp/1616", 'has the unknown transport "udp" (known: tcp)'],
    ["/ip4/127.0.0.1/tcp", '"" is not a port (0 to 65535)'],
    ["/ip4/127.0.0.1/tcp/99999", '"99999" is not a port (0 to 65535)'],
    ["/ip4/127.0.0.1/tcp/1/ws", 'continues after the port: "/ws"'],
    ["/ip4/::1/tcp/1", '"::1" is not an ip4 address'],
    ["/ip6/127.0.0.1/tcp/1", '"127.0.0.1" is not an ip6 address'],
    ["/dns/-/tcp/1", '"-" is not a host name or ipv4 address'],
    ["/unix", "has no path"],
    ["/unix/", "has no path"],
    ["/unix/run/", "names a directory, not a socket file"],
  ])("refuses %j, naming the part", (text, message) => {
    expect(() => parseAddress(text as string)).toThrow(AddressError);
    expect(() => parseAddress(text as string)).toThrow(message);
    if (typeof text === "string") expect(() => parseAddress(text)).toThrow(`address "${text}" `);
  });

  test("never does anything but return or throw an AddressError, and formats back what it returned", () => {
    const parts = fc.constantFrom(
      "tcp://",
      "unix://",
      "/ip4/",
      "/ip6/",
      "/unix/",
      "[",
      "]",
      ":",
      "/",
      "1",
      "::",
      "a",
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(parts).map((list) => list.join("")),
    );
    fc.assert(
      fc.property(text, (input) => {
        try {
          const parsed = parseAddress(input);
          expect(parseAddress(formatAddress(parsed))).toEqual(parsed);
          expect(parseAddress(toMultiaddr(formatAddress(parsed))).transport).toBe(parsed.transport);
        } catch (error) {
          if (!(error instanceof AddressError)) throw error;
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("toMultiaddr", () => {
  test("refuses a socket file of another host", () => {
    expect(() => toMultiaddr("unix://0123456789abcdef/run/a.sock")).toThrow("is on another host");
    expect(toMultiaddr(`unix://${hostId()}/run/a.sock`)).toBe("/unix/run/a.sock");
  });
});

describe("qualifyAddress and localizeAddress", () => {
  test("add and remove the host id of a socket file, and leave other addresses alone", () => {
    const host = "0123456789abcdef";
    expect(qualifyAddress("unix:///run/a.sock", host)).toBe("unix://0123456789abcdef/run/a.sock");
    expect(localizeAddress("unix://0123456789abcdef/run/a.sock", host)).toBe("unix:///run/a.sock");
    for (const same of ["unix://ffff/run/a.sock", "tcp://a:1"] as const) {
      expect([qualifyAddress(same, host), localizeAddress(same, host)]).toEqual([same, same]);
    }
  });
});

describe("rankAddresses", () => {
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => `tcp://${address}:5` as Address);

  test.each<[what: string, addrs: Address[], ranked: Address[]]>([
    ["nothing", [], []],
    [
      "unix, loopback, remote",
      ["tcp://192.0.2.1:1", "tcp://127.0.0.1:1", "unix:///a.sock"],
      ["unix:///a.sock", "tcp://127.0.0.1:1", "tcp://192.0.2.1:1"],
    ],
    [
      "the last registered first within each tier",
      [
        "unix:///a",
        "tcp://[::1]:1",
        "tcp://b:1",
        "unix:///c",
        "tcp://localhost:2",
        "tcp://d:1",
        "tcp://127.9.9.9:3",
      ],
      [
        "unix:///c",
        "unix:///a",
        "tcp://127.9.9.9:3",
        "tcp://localhost:2",
        "tcp://[::1]:1",
        "tcp://d:1",
        "tcp://b:1",
      ],
    ],
    ["no unix address of another host", ["unix://0123456789abcdef/a", "tcp://b:1"], ["tcp://b:1"]],
    ["a unix address of this host by its id", [`unix://${hostId()}/a`], [`unix://${hostId()}/a`]],
    ["a wildcard as this host", ["tcp://b:1", "tcp://0.0.0.0:1"], ["tcp://0.0.0.0:1", "tcp://b:1"]],
    [
      "the addresses of this host's interfaces as local",
      ["tcp://192.0.2.1:1", ...own],
      [...own.toReversed(), "tcp://192.0.2.1:1"],
    ],
  ])("ranks %s", (_, addrs, ranked) => {
    expect(rankAddresses(Object.freeze(addrs))).toEqual(ranked);
  });

  test("refuses a malformed address", () => {
    expect(() => rankAddresses(["tcp://a:1", "tcp://b"])).toThrow(AddressError);
  });
});

describe("dialOrder", () => {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = own.find(({ internal, family }) => !internal && family === "IPv4")?.address ?? "127.0.0.2";
  const addrs: Address[] = [
    `unix://${hostId()}/run/x.sock`,
    "tcp://127.0.0.1:1",
    "tcp://192.0.2.200:2",
    `tcp://${outside}:3`,
    "tcp://192.0.2.201:4",
  ];

  test("is the rank for an actor of this host", () => {
    expect(dialOrder(addrs, hostId())).toEqual(rankAddresses(addrs));
    expect(bestAddress(addrs.slice(1), hostId())).toBe(`tcp://${outside}:3`);
  });

  test("has the addresses that lead back to this host last for an actor of another one", () => {
    const foreign = addrs.slice(1);
    expect(dialOrder(foreign, "0123456789abcdef")).toEqual([
      "tcp://192.0.2.201:4",
      "tcp://192.0.2.200:2",
      `tcp://${outside}:3`,
      "tcp://127.0.0.1:1",
    ]);
    expect(bestAddress(foreign, "0123456789abcdef")).toBe("tcp://192.0.2.201:4");
  });

  test("is headed by what bestAddress returns", () => {
    const list = fc.array(fc.constantFrom(...addrs));
    fc.assert(
      fc.property(list, fc.constantFrom(hostId(), "0123456789abcdef"), (some, host) => {
        expect(bestAddress(some, host)).toBe(dialOrder(some, host)[0]);
      }),
    );
  });
});

describe("host", () => {
  test("has an id of 16 hex digits, the same each time", () => {
    expect(hostId()).toMatch(/^[0-9a-f]{16}$/);
    expect(hostId()).toBe(hostId());
  });

  test.each([
    ["127.0.0.1", 4],
    ["255.255.255.255", 4],
    ["1.2.3.4.", 0],
    ["256.1.1.1", 0],
    ["1.2.3", 0],
    ["", 0],
    ["::", 6],
    ["::1", 6],
    ["::ffff:1.2.3.4", 6],
    ["1::2::3", 0],
    ["12345::", 0],
    ["a:b", 0],
    ["host", 0],
    ["fe80::1%eth0", 0],
  ] as const)("knows the ip version of %j: %d", (text, version) => {
    expect(ipVersion(text)).toBe(version);
  });

  test("recognizes loopback and wildcard addresses", () => {
    expect(
      ["127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"].filter((host) => !isLoopback(host)),
    ).toEqual([]);
    expect(["128.0.0.1", "0.0.0.0", "::", "example.org", "127.example.org"].filter(isLoopback)).toEqual([]);
    expect(["0.0.0.0", "::", "127.0.0.1"].filter(isWildcard)).toEqual(["0.0.0.0", "::"]);
  });
});
