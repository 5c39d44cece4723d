/** What others are told to dial: behind wildcard addresses, on several networks, behind a router. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import type { Address } from "../../src/index.ts";
import { type Host, Hosts, noHosts } from "../support/netns.ts";
import { type Program, until } from "../support/world.ts";

type Service = typeof import("../fixtures/service.ts");
const service = new URL("../fixtures/service.ts", import.meta.url).href;

/** How an actor finds another one from a program: what a lookup by the program says, and a call. */
async function reach(from: Program, name: string): Promise<{ addr: string; dialled: string[]; sum: number }> {
  return await from.run(async ({ furrow, args: [wanted] }) => {
    const report = await furrow.explainLookup(String(wanted));
    await using portal = await furrow.findActor<Service>(String(wanted), { raiseOnNone: true });
    const dials = report.candidates.flatMap((one) => one.dials).filter((dial) => dial.outcome !== "skipped");
    return {
      addr: portal.addr,
      dialled: dials.map(({ addr }) => addr),
      sum: await portal.run.add(1, 2),
    };
  }, name);
}

async function addrsOf(program: Program): Promise<Address[]> {
  return await program.run(({ furrow }) => [...furrow.currentActor().addrs]);
}

/** Starts a child of the program's actor, and returns its addresses. */
async function startChild(program: Program, name: string, options: object = {}): Promise<Address[]> {
  return await program.run(
    async ({ furrow, keep, args: [child, given] }) => {
      keep["nursery"] ??= await furrow.openNursery();
      const nursery = keep["nursery"] as Awaited<ReturnType<typeof furrow.openNursery>>;
      const portal = await nursery.startActor<Service>(String(child), given as object);
      await using registry = await furrow.getRegistry();
      const found = await registry.run.findActor(portal.id.name);
      return found!.addrs;
    },
    name,
    { module: service, ...options },
  );
}

/** Forwards a port of the host that the program runs on; returns how many connections it has made. */
async function forward(
  router: Program,
  from: { hostname: string; port: number },
  to: typeof from,
): Promise<void> {
  await router.run(
    ({ keep, args: [listen, target] }) => {
      type Half = Bun.Socket<{ other?: Half; early: Uint8Array[] }>;
      const pass = (socket: Half, chunk: Uint8Array): void => {
        const { other, early } = socket.data;
        if (other === undefined) early.push(chunk);
        else other.write(chunk);
      };
      const end = (socket: Half): void => void socket.data?.other?.end();
      const counts = (keep["counts"] ??= {}) as Record<number, number>;
      const { hostname, port } = listen as typeof from;
      Bun.listen<{ other?: Half; early: Uint8Array[] }>({
        hostname,
        port,
        socket: {
          open(near) {
            counts[port] = (counts[port] ?? 0) + 1;
            near.data = { early: [] };
            void Bun.connect<{ other?: Half; early: Uint8Array[] }>({
              ...(target as typeof from),
              data: { other: near, early: [] },
              socket: {
                open(far) {
                  near.data.other = far;
                  for (const chunk of near.data.early) far.write(chunk);
                },
                data: pass,
                close: end,
              },
            });
          },
          data: pass,
          close: end,
        },
      });
    },
    from,
    to,
  );
}

describe.skipIf(noHosts !== undefined)("between hosts", () => {
  let hosts: Hosts;
  let a: Host;
  let b: Host;
  let hub: Program;

  beforeAll(async () => {
    hosts = await Hosts.open("a", "b");
    [a, b] = [hosts.get("a"), hosts.get("b")];
    // the same on both, as that of docker0 is
    for (const host of [a, b]) {
      host.space.ip(
        "link add docker0 type bridge",
        "addr add 172.17.0.1/16 dev docker0",
        "link set docker0 up",
      );
    }
    hub = await a.actor("hub", { registryAddrs: [a.tcp(1616)], enableTransports: ["unix", "tcp"] });
  });

  afterAll(async () => await hosts?.[Symbol.asyncDispose]());

  const there = (): Record<string, unknown> => ({ registryAddrs: [a.tcp(1616)], enableModules: [service] });

  test("the portal to a peer that dialled here, and listens on all interfaces, has an address that leads there", async () => {
    const far = await b.actor("wild", { ...there(), bindAddrs: ["tcp://0.0.0.0:0"] });
    const addrs = await addrsOf(far);
    const port = addrs[0]!.split(":").at(-1);
    expect(addrs).toEqual([
      `tcp://127.0.0.1:${port}`,
      `tcp://172.17.0.1:${port}`,
      `tcp://${b.address}:${port}`,
    ]);
    const query = async (): Promise<string | null> =>
      await hub.run(async ({ furrow }) => (await furrow.queryActor("wild")).addr);
    expect(await query()).toBe(`tcp://${b.address}:${port}`);
    expect(await reach(hub, "wild")).toMatchObject({ addr: `tcp://${b.address}:${port}`, sum: 3 });
    // another actor there dials, and does so once
    const near = await a.actor("near", there());
    expect(await reach(near, "wild")).toEqual({
      addr: `tcp://${b.address}:${port}`,
      dialled: [`tcp://${b.address}:${port}`],
      sum: 3,
    });
    // on its own host loopback is as good
    const beside = await b.actor("beside", there());
    expect((await reach(beside, "wild")).dialled).toEqual([`tcp://${b.address}:${port}`]);
  });

  test("a root and its children advertise the host that the environment names, each with its own port", async () => {
    const env = { FURROW_ADVERTISE: "10.77.0.2" };
    const root = await b.actor("pod", { ...there(), bindAddrs: ["tcp://0.0.0.0:0"] }, {}, env);
    expect(await addrsOf(root)).toEqual([expect.stringMatching(/^tcp:\/\/10\.77\.0\.2:\d+$/)]);
    await startChild(root, "pod-child");
    const near = await a.actor("pod-caller", there());
    for (const name of ["pod", "pod-child"]) {
      const { addr, dialled, sum } = await reach(near, name);
      expect(addr).toMatch(/^tcp:\/\/10\.77\.0\.2:\d+$/);
      expect([dialled, sum]).toEqual([[addr], 3]);
    }
  });

  test("an actor behind a router is found at the port that the router forwards, and starts children without it", async () => {
    const [router, inside] = [await hosts.add("router", [0, 1]), await hosts.add("inside", [1])];
    const gate = await router.program();
    const [outer, inner] = router.addresses as [string, string];
    await forward(gate, { hostname: inner, port: 1616 }, { hostname: a.address, port: 1616 });
    await forward(gate, { hostname: outer, port: 30_000 }, { hostname: inside.address, port: 4_000 });
    await forward(gate, { hostname: outer, port: 30_001 }, { hostname: inside.address, port: 4_001 });
    const hidden = await inside.actor("hidden", {
      registryAddrs: [`tcp://${inner}:1616`],
      enableTransports: ["tcp"],
      enableModules: [service],
      bindAddrs: [`tcp://${inside.address}:4000`],
      advertiseAddrs: [`tcp://${outer}:30000`],
    });
    expect(await addrsOf(hidden)).toEqual([`tcp://${outer}:30000`]);
    // only the address that it binds leads from inside to inside
    await startChild(hidden, "hidden-child", {
      bindAddrs: [`tcp://${inside.address}:4001`],
      advertiseAddrs: [`tcp://${outer}:30001`],
    });
    const near = await a.actor("outside", there());
    expect(await reach(near, "hidden")).toEqual({
      addr: `tcp://${outer}:30000`,
      dialled: [`tcp://${outer}:30000`],
      sum: 3,
    });
    expect((await reach(near, "hidden-child")).addr).toBe(`tcp://${outer}:30001`);
    // the child connected to its parent directly
    const counts = await gate.run(({ keep }) => keep["counts"]);
    expect(counts).toMatchObject({ 30_000: 1, 30_001: 1 });
  });

  test("an actor on two networks is found over the one that both are on", async () => {
    const [both, other] = [await hosts.add("both", [0, 2]), await hosts.add("other", [2])];
    const registry: Address = `tcp://${both.addresses[1]!}:1616`;
    await both.actor("both", {
      registryAddrs: ["tcp://0.0.0.0:1616"],
      enableModules: [service],
      enableTransports: ["tcp"],
    });
    const onTwo = await other.actor("on-two", { registryAddrs: [registry], enableTransports: ["tcp"] });
    const onZero = await a.actor("on-zero", { registryAddrs: [both.tcp(1616)], enableTransports: ["tcp"] });
    expect((await reach(onTwo, "both")).addr).toBe(registry);
    expect((await reach(onZero, "both")).addr).toBe(both.tcp(1616));
  });

  test("the children of an actor that listens on all interfaces do so, too", async () => {
    const open = await b.actor("open", { ...there(), bindAddrs: ["tcp://0.0.0.0:0"] });
    const addrs = await startChild(open, "open-child");
    expect(addrs.at(-1)).toStartWith(`tcp://${b.address}:`);
    const near = await a.actor("open-caller", there());
    expect((await reach(near, "open-child")).sum).toBe(3);
  });

  test("an actor that listens on all interfaces registers the addresses that its host gets later, and keeps those whose cable is pulled", async () => {
    const far = await b.actor("moving", { ...there(), bindAddrs: ["tcp://0.0.0.0:0"] }, { addressesMs: 50 });
    const before = await addrsOf(far);
    const registered = async (): Promise<Address[]> =>
      await hub.run(async ({ furrow }) => {
        await using registry = await furrow.getRegistry();
        return (await registry.run.findActor("moving"))?.addrs ?? [];
      });
    b.space.ip("link add vpn0 type bridge", "addr add 10.99.0.2/24 dev vpn0", "link set vpn0 up");
    const port = before[0]!.split(":").at(-1);
    const after = before.toSpliced(2, 0, `tcp://10.99.0.2:${port}`);
    await until(async () => (await registered()).join() === after.join());
    expect(await addrsOf(far)).toEqual(after);
    b.space.ip("link del vpn0");
    await until(async () => (await registered()).join() === before.join());
    b.cutCable();
    const late = await b.program();
    const alone = await late.run(
      async ({ furrow, args: [options] }) => {
        await using actor = await furrow.openRootActor(options as object);
        return [...actor.addrs];
      },
      {
        bindAddrs: ["tcp://0.0.0.0:4711"],
        enableTransports: ["tcp"],
        registryAddrs: ["tcp://127.0.0.1:0"],
        security: { tls: hosts.tls("b/late") },
      },
    );
    b.plug();
    expect(alone.slice(1)).toEqual([
      "tcp://127.0.0.1:4711",
      "tcp://172.17.0.1:4711",
      `tcp://${b.address}:4711`,
    ]);
    await until(async () => (await reach(hub, "moving")).sum === 3);
    expect(await addrsOf(far)).toEqual(before);
  });
});
