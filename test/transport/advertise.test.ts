import { describe, expect, test } from "bun:test";

import { AddressError } from "../../src/errors.ts";
import { type Address, parseAddress } from "../../src/transport/address.ts";
import { advertise, checkAdvertised, hostsAmong, readAdvertised } from "../../src/transport/advertise.ts";
import { ordered } from "../../src/transport/wildcard.ts";

const read = (...inputs: string[]): readonly Address[] => readAdvertised("advertiseAddrs", inputs);

describe("readAdvertised", () => {
  test.each([
    ["tcp://10.0.0.7:4000", "tcp://10.0.0.7:4000"],
    ["/ip4/10.0.0.7/tcp/4000", "tcp://10.0.0.7:4000"],
    ["tcp://[fd00::7]:4000", "tcp://[fd00::7]:4000"],
    ["tcp://10.0.0.7:0", "tcp://10.0.0.7:0"],
    ["tcp://10.0.0.7", "tcp://10.0.0.7:0"],
    ["10.0.0.7", "tcp://10.0.0.7:0"],
    [" 10.0.0.7 ", "tcp://10.0.0.7:0"],
    ["node-7.example", "tcp://node-7.example:0"],
    ["fd00::7", "tcp://[fd00::7]:0"],
    ["[fd00::7]", "tcp://[fd00::7]:0"],
    ["tcp://[fd00::7]", "tcp://[fd00::7]:0"],
  ])("reads %s as %s", (input, address) => {
    expect(read(input)).toEqual([address as Address]);
  });

  test("drops repeats in any spelling", () => {
    expect(read("tcp://10.0.0.7:0", "10.0.0.7", "/ip4/10.0.0.7/tcp/0")).toEqual(["tcp://10.0.0.7:0"]);
  });

  test.each([
    ["unix:///run/x.sock", "other hosts can't dial"],
    ["/unix/run/x.sock", "other hosts can't dial"],
    ["tcp://0.0.0.0:4000", "no address to dial"],
    ["::", "no address to dial"],
    ["tcp://10.0.0.7:70000", '"70000" is not a port'],
    ["10.0.0.7:4000", "write tcp://10.0.0.7:4000"],
    ["10.0.0.777", "is not a host name or ipv4 address"],
    ["http://10.0.0.7", 'unknown transport "http"'],
    ["", "is neither a URL"],
    [7 as unknown as string, "must be a string"],
  ])("refuses %p with an error that says what is wrong", (input, text) => {
    expect(() => read(input)).toThrow(AddressError);
    expect(() => read(input)).toThrow(text);
  });
});

describe("advertise", () => {
  function result(bound: string, ...advertised: string[]): string {
    const { kept, instead } = advertise(bound.split(" ").map(parseAddress), read(...advertised));
    const own = kept.map((one) => (one.transport === "unix" ? "unix" : `${one.host}:${one.port}`));
    return [...own, ...instead.map((addr) => addr.slice("tcp://".length))].join(" ");
  }

  test("puts a host in place of the one that is bound, with the port of each listener", () => {
    expect(result("tcp://0.0.0.0:4000", "10.0.0.7")).toBe("10.0.0.7:4000");
    expect(result("tcp://172.17.0.2:4000 tcp://172.17.0.2:4001", "10.0.0.7")).toBe(
      "10.0.0.7:4000 10.0.0.7:4001",
    );
    expect(result("tcp://0.0.0.0:4000", "10.0.0.7", "fd00::7")).toBe("10.0.0.7:4000 [fd00::7]:4000");
  });

  test("puts an address with a port in place of all that other hosts could dial", () => {
    expect(result("tcp://0.0.0.0:4000 tcp://172.17.0.2:4001", "tcp://192.0.2.1:30000")).toBe(
      "192.0.2.1:30000",
    );
  });

  test("leaves sockets alone, and addresses on loopback beside others", () => {
    expect(result("unix:///run/x.sock tcp://127.0.0.1:1616 tcp://0.0.0.0:4000", "10.0.0.7")).toBe(
      "unix 127.0.0.1:1616 10.0.0.7:4000",
    );
    expect(result("unix:///run/x.sock", "10.0.0.7", "tcp://10.0.0.7:4000")).toBe("unix");
  });

  test("replaces an address on loopback where there is no other, but only by one with a port", () => {
    expect(result("tcp://127.0.0.1:4000", "tcp://192.0.2.1:30000")).toBe("192.0.2.1:30000");
    expect(result("tcp://127.0.0.1:4000", "10.0.0.7")).toBe("127.0.0.1:4000");
  });

  test("leaves everything as it is bound where nothing is advertised", () => {
    expect(result("tcp://0.0.0.0:4000 tcp://127.0.0.1:1")).toBe("0.0.0.0:4000 127.0.0.1:1");
  });

  test("hands on hosts without their ports, and no address with a port", () => {
    expect(hostsAmong(read("10.0.0.7", "tcp://192.0.2.1:30000"))).toEqual(["tcp://10.0.0.7:0"]);
  });

  test("refuses a host where only loopback is bound, which no other host can reach", () => {
    const check = (...bound: Address[]) => {
      return () => checkAdvertised("advertiseAddrs", read("10.0.0.7"), bound);
    };
    expect(check("unix:///run/x.sock", "tcp://127.0.0.1:1616")).toThrow(
      "advertiseAddrs has the host 10.0.0.7, but no address is bound that other hosts can reach: add tcp://0.0.0.0:0",
    );
    expect(check("tcp://127.0.0.1:1616", "tcp://0.0.0.0:0")).not.toThrow();
    expect(() =>
      checkAdvertised("advertiseAddrs", read("tcp://192.0.2.1:3"), ["tcp://127.0.0.1:1"]),
    ).not.toThrow();
  });
});

describe("the addresses behind a wildcard", () => {
  const interfaces = [
    { device: "lo", host: "127.0.0.1" },
    { device: "lo", host: "::1" },
    { device: "docker0", host: "172.17.0.1" },
    { device: "eth0", host: "10.0.0.7" },
    { device: "eth0", host: "fd00::7" },
    { device: "eth0", host: "fe80::7" },
    { device: "br-0123456789ab", host: "172.18.0.1" },
    { device: "wlan0", host: "192.168.1.7" },
    { device: "tun0", host: "10.8.0.7" },
  ];

  test("begin with loopback and container bridges, and end with the default route's: the last is dialled first", () => {
    expect(ordered("0.0.0.0", interfaces, "wlan0")).toEqual([
      "127.0.0.1",
      "172.18.0.1",
      "172.17.0.1",
      "10.8.0.7",
      "10.0.0.7",
      "192.168.1.7",
    ]);
  });

  test("are of both versions for ::, IPv4 last within an interface, and none of a link alone", () => {
    expect(ordered("::", interfaces.slice(0, 6), "eth0")).toEqual([
      "::1",
      "127.0.0.1",
      "172.17.0.1",
      "fd00::7",
      "10.0.0.7",
    ]);
  });

  test("are at most 32, the best ones", () => {
    const many = Array.from({ length: 100 }, (_, at) => ({ device: `eth${at}`, host: `10.0.0.${at}` }));
    const hosts = ordered("0.0.0.0", many, "eth50");
    expect([hosts.length, hosts[0], hosts.at(-1), hosts.at(-2)]).toEqual([
      32,
      "127.0.0.1",
      "10.0.0.50",
      "10.0.0.0",
    ]);
  });
});
