/** More than one host, without a directory that they share: a registrar on one of them, and actors on the others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import type { Address } from "../../src/index.ts";
import { trap } from "../support/machines.ts";
import { type Host, Hosts, noHosts } from "../support/netns.ts";
import { type Program, until } from "../support/world.ts";

type Service = typeof import("../fixtures/service.ts");
const service = new URL("../fixtures/service.ts", import.meta.url).href;

async function addrsOf(program: Program): Promise<Address[]> {
  return await program.run(({ furrow }) => [...furrow.currentActor().addrs]);
}

describe.skipIf(noHosts !== undefined)("two hosts", () => {
  let hosts: Hosts;
  let a: Host;
  let b: Host;
  let hub: Program;
  /** Actors of both transports with a registry on host a; those there find it by its socket, too. */
  const at = (
    host: Host,
  ): { enableTransports: string[]; registryAddrs: Address[]; enableModules: string[] } => ({
    enableTransports: ["unix", "tcp"],
    registryAddrs: [a.tcp(1616), ...(host === a ? [a.unix("registry@1616")] : [])],
    enableModules: [service],
  });

  beforeAll(async () => {
    hosts = await Hosts.open("a", "b");
    [a, b] = [hosts.get("a"), hosts.get("b")];
    hub = await a.actor("hub", at(a));
  });

  afterAll(async () => await hosts?.[Symbol.asyncDispose]());

  test("an actor joins the registry of another host, listens where that host can reach it, and is found from there", async () => {
    const far = await b.actor("far", { ...at(b), enableTransports: ["tcp"] });
    const addrs = await addrsOf(far);
    expect(addrs).toEqual([expect.stringMatching(/^tcp:\/\/10\.77\.0\.2:\d+$/)]);
    // the hub has a connection already; another actor of its host must dial
    const near = await a.actor("near", at(a));
    const found = await near.run(async ({ furrow }) => {
      await using portal = await furrow.findActor<Service>("far", { raiseOnNone: true });
      return { addr: portal.addr, sum: await portal.run.add(1, 2), peer: await portal.run.peer() };
    });
    expect(found).toEqual({ addr: addrs[0]!, sum: 3, peer: { auth: "tls", subject: "a/near" } });
  });

  test("the portal to a peer of another host that dialled here has an address that can be dialled from here", async () => {
    const far = await b.actor("caller", at(b));
    const addrs = await addrsOf(far);
    expect(addrs[0]).toStartWith("unix://");
    const addr = await hub.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("caller", { raiseOnNone: true });
      return portal.addr;
    });
    expect(addr).toBe(addrs[1]!);
    expect(addr).toStartWith(`tcp://${b.address}:`);
  });

  test("an actor is dialled at its socket on its own host, at its port there without that, and at its port from another host", async () => {
    const ranked = await a.actor("ranked", at(a));
    const [unix, tcp] = (await addrsOf(ranked)) as [Address, Address];
    expect([unix, tcp]).toEqual([
      a.unix(`ranked@${ranked.pid}`),
      expect.stringMatching(/^tcp:\/\/10\.77\.0\.1:\d+$/),
    ]);
    const dial = async (host: Host, name: string, enableTransports: string[]): Promise<string[]> => {
      const from = await host.actor(name, at(host));
      return await from.run(async ({ furrow, args: [transports] }) => {
        const options = { enableTransports: transports as "tcp"[] };
        const { candidates } = await furrow.explainLookup("ranked", options);
        return candidates.flatMap((one) => one.dials).map(({ addr, outcome }) => `${addr} ${outcome}`);
      }, enableTransports);
    };
    expect(await dial(a, "by-socket", ["unix", "tcp"])).toEqual([`${unix} connected`, `${tcp} skipped`]);
    expect(await dial(a, "by-port", ["tcp"])).toEqual([`${tcp} connected`, `${unix} skipped`]);
    const foreign = unix.replace(
      "unix://",
      `unix://${await ranked.run(({ furrow }) => furrow.currentActor().id.host)}`,
    );
    expect(await dial(b, "from-afar", ["unix", "tcp"])).toEqual([`${tcp} connected`, `${foreign} skipped`]);
  });

  test("a socket file of another host is never dialled, though one of the same path may be here", async () => {
    // the path exists on both hosts: only the host id tells the two apart
    const only = a.unix("only");
    await a.actor("unix-only", { ...at(a), bindAddrs: [only] });
    const far = await b.actor("asker", at(b));
    const count = await trap(far, only);
    const result = await far.run(async ({ furrow }) => {
      const error = await furrow
        .findActor("unix-only", { raiseOnNone: true })
        .catch((thrown: unknown) => thrown as Error);
      return {
        found: await furrow.findActor("unix-only"),
        text: error instanceof Error ? error.message : "found",
      };
    });
    expect(result.found).toBeNull();
    expect(result.text).toContain("none of its addresses can be dialled from this host");
    expect(await count()).toBe(0);
  });

  test("an actor on a host that falls silent is gone after the pings' deadline", async () => {
    const pings = { pingIntervalMs: 200 };
    await hub.run(({ setTiming, args: [waits] }) => void setTiming(waits as object), pings);
    const limits = { dialTimeoutMs: 500, handshakeTimeoutMs: 500 };
    const silent = await b.actor("silent", { ...at(b), limits }, pings);
    const near = await a.actor("waiting", at(a), pings);
    const isThere = async (): Promise<boolean> =>
      await hub.run(async ({ furrow }) => {
        await using table = await furrow.getRegistry();
        return (await table.run.listActors()).some(({ id }) => id.name === "silent");
      });
    const fails = near.run(async ({ furrow }) => {
      await using portal = await furrow.findActor<Service>("silent", { raiseOnNone: true });
      const error = await portal.run.hang().catch((thrown: unknown) => thrown as Error & { code: string });
      return { code: error.code, message: error.message };
    });
    // it has begun
    await until(
      async () => await silent.run(({ furrow }) => furrow.currentActor().stats().callsInFlight === 1),
    );
    const since = performance.now();
    b.cutCable();
    const failed = fails.then((error) => ({ ...error, ms: Math.round(performance.now() - since) }));
    await until(async () => !(await isThere()));
    const gone = Math.round(performance.now() - since);
    const { code, message, ms } = await failed;
    expect([code, message]).toEqual([
      "ERR_TRANSPORT_CLOSED",
      expect.stringContaining("was silent for 600 ms"),
    ]);
    b.plug();
    await until(isThere, 10_000);
    const back = Math.round(performance.now() - since);
    console.log(
      `cable pulled, pings every 200 ms: entry gone after ${gone} ms, pending call failed after ${ms} ms, registered again at ${back} ms`,
    );
  });
});
