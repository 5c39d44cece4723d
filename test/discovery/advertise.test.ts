/** Options and inheritance; `test/cluster/addresses.test.ts` dials what is advertised. */
import { describe, expect, test } from "bun:test";

import {
  AddressError,
  currentActor,
  getRegistry,
  openNursery,
  openRootActor,
  type RootOptions,
} from "../../src/index.ts";
import { Authority, writeTls } from "../support/certificates.ts";
import { failure } from "../support/outcome.ts";
import { World } from "../support/world.ts";

const service = new URL("../fixtures/service.ts", import.meta.url);

/** The environment variable, until the result is disposed. */
function advertising(value: string): Disposable {
  process.env["FURROW_ADVERTISE"] = value;
  return { [Symbol.dispose]: () => void delete process.env["FURROW_ADVERTISE"] };
}

function tls(world: World): RootOptions {
  return { ...world.options, security: { tls: writeTls(world.dir, "one", new Authority().issue("one")) } };
}

describe("advertiseAddrs", () => {
  test("replaces the tcp addresses of an actor, in what it and the registry say; sockets stay", async () => {
    await using world = new World();
    const advertiseAddrs = ["tcp://192.0.2.77:30000", "/dns/shop.example/tcp/30001"] as const;
    await using actor = await openRootActor({ ...world.options, advertiseAddrs });
    const expected = [world.unix, "tcp://192.0.2.77:30000", "tcp://shop.example:30001"];
    expect<readonly string[]>(actor.addrs).toEqual(expected);
    await using registry = await getRegistry();
    expect<unknown>((await registry.run.findActor("root"))?.addrs).toEqual(expected);
    // and it is still known by the address that it has bound
    await using bound = await getRegistry(world.tcp);
    expect(bound.id).toEqual(actor.id);
    // others learn that, too, and know it by its registry address all the same
    const other = await world.actor("other");
    expect(
      await other.run(async ({ furrow, args: [tcp] }) => {
        await using there = await furrow.getRegistry(tcp as "tcp://");
        return there.id.name;
      }, world.tcp),
    ).toBe("root");
  });

  test("puts a host in place of the bound one, for each port that other hosts can reach; children inherit that alone", async () => {
    await using world = new World();
    const advertiseAddrs = ["tcp://192.0.2.77", "tcp://192.0.2.78:30000"] as const;
    const bindAddrs = ["tcp://0.0.0.0:0"] as const;
    await using nursery = await openNursery({ ...tls(world), bindAddrs, advertiseAddrs });
    const port = /^tcp:\/\/192\.0\.2\.77:\d+$/;
    expect<readonly string[]>(currentActor().addrs).toEqual([
      world.unix,
      world.tcp,
      expect.stringMatching(port),
      "tcp://192.0.2.78:30000",
    ]);
    await nursery.startActor("child", { module: service });
    await nursery.startActor("own", { module: service, advertiseAddrs: ["tcp://192.0.2.79:30001"] });
    await nursery.startActor("none", { module: service, advertiseAddrs: [] });
    await using registry = await getRegistry();
    const addrsOf = async (name: string): Promise<string[]> => {
      const { addrs } = (await registry.run.findActor(name))!;
      return addrs.filter((addr) => addr.startsWith("tcp:"));
    };
    expect(await addrsOf("child")).toEqual([expect.stringMatching(port)]);
    expect(await addrsOf("own")).toEqual(["tcp://192.0.2.79:30001"]);
    expect((await addrsOf("none"))[0]).toStartWith("tcp://127.0.0.1:");
  });

  test.each<[string, RootOptions, string]>([
    ["a socket", { advertiseAddrs: ["unix:///run/x.sock"] }, "other hosts can't dial"],
    ["a wildcard", { advertiseAddrs: ["tcp://0.0.0.0:1"] }, "no address to dial"],
    ["a malformed address", { advertiseAddrs: ["tcp://x:y"] }, '"y" is not a port'],
    [
      "a host, with loopback bound alone",
      { advertiseAddrs: ["tcp://192.0.2.77:0"] },
      "add tcp://0.0.0.0:0 to bindAddrs",
    ],
    [
      "an address without tcp",
      {
        advertiseAddrs: ["tcp://192.0.2.77:1"],
        enableTransports: ["unix"],
        registryAddrs: ["unix:///tmp/none.sock"],
      },
      "enable tcp",
    ],
    [
      "more than an actor may have",
      { advertiseAddrs: Array.from({ length: 65 }, (_, at) => `tcp://192.0.2.77:${at + 1}` as const) },
      "at most 64 addresses",
    ],
  ])("refuses %s", async (_, options, text) => {
    await using world = new World();
    const error = await failure(openRootActor({ ...world.options, ...options }));
    expect(error.message).toContain(text);
    expect(error instanceof AddressError || error.name === "LimitError").toBe(true);
  });

  test("defaults to $FURROW_ADVERTISE, which an empty list overrides, and which concerns tcp alone", async () => {
    await using world = new World();
    using _variable = advertising(" 192.0.2.77, tcp://192.0.2.78:30000,");
    const bindAddrs = ["tcp://0.0.0.0:0"] as const;
    const addrsOf = async (options: RootOptions): Promise<readonly string[]> => {
      await using actor = await openRootActor(options);
      return actor.addrs.filter((addr) => !world.registryAddrs.includes(addr));
    };
    const secure = { ...tls(world), bindAddrs };
    expect(await addrsOf(secure)).toEqual([
      expect.stringMatching(/^tcp:\/\/192\.0\.2\.77:\d+$/),
      "tcp://192.0.2.78:30000",
    ]);
    expect((await addrsOf({ ...secure, advertiseAddrs: [] }))[0]).toStartWith("tcp://127.0.0.1:");
    expect(await addrsOf({ registryAddrs: [world.unix] })).toEqual([]);
    process.env["FURROW_ADVERTISE"] = "192.0.2.777";
    expect((await failure(openRootActor(secure))).message).toStartWith(
      'FURROW_ADVERTISE: address "tcp://192.0.2.777:0" "192.0.2.777" is not a host name',
    );
  });
});
