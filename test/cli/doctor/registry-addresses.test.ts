/** What the doctor says about the registry addresses, with the real fault at each. */
import { describe, expect, test } from "bun:test";
import { realpathSync } from "node:fs";
import { basename } from "node:path";

import { readSecurity } from "../../../src/actor/security.ts";
import type { Finding } from "../../../src/cli/doctor/finding.ts";
import { examineAddresses, type ExaminedAddresses } from "../../../src/cli/doctor/registry-addresses.ts";
import type { Address, Security } from "../../../src/index.ts";
import { resolveLimits } from "../../../src/limits.ts";
import { Kind } from "../../../src/wire/messages.ts";
import { RawListener } from "../../support/raw-peer.ts";
import { freePort, type Program, World } from "../../support/world.ts";

/** The name of the programs that the tests start. */
const command = basename(realpathSync(process.execPath)).slice(0, 15);

/** With less patience than users have. */
function examine(addrs: readonly Address[], security?: Security): Promise<ExaminedAddresses> {
  return examineAddresses(addrs, readSecurity(security), undefined, resolveLimits({ probeTimeoutMs: 300 }));
}

/** The only finding at the only address. */
async function findingAt(addr: Address): Promise<Finding> {
  const { findings } = await examine([addr]);
  expect(findings).toHaveLength(1);
  return findings[0]!;
}

/** Lets a program listen for connections that are none of furrow's. */
async function listenIn(program: Program, addr: Address): Promise<void> {
  await program.run(
    ({ keep, args }) => {
      const socket = { data() {} };
      const [path, port] = args as [string | null, number];
      keep["listener"] =
        path === null
          ? Bun.listen({ hostname: "127.0.0.1", port, socket })
          : Bun.listen({ unix: path, socket });
    },
    ...place(addr),
  );
}

function place(addr: Address): [path: string | null, port: number] {
  return addr.startsWith("unix:")
    ? [addr.slice("unix://".length), 0]
    : [null, Number(addr.split(":").at(-1))];
}

describe("examineAddresses", () => {
  test("finds nothing wrong with a registrar that answers, and says who it is and how long it took", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const { addresses, findings } = await examine(world.registryAddrs);
    expect(findings).toEqual([]);
    expect(addresses).toEqual(
      world.registryAddrs.map((addr) => ({
        addr,
        state: "registrar",
        holder: expect.stringMatching(/^hub#[0-9a-f]{8}$/) as string,
        pid: hub.pid,
        ms: expect.any(Number) as number,
      })),
    );
  });

  test("says that there is no registrar, and which addresses no registrar serves beside those that one does", async () => {
    await using world = new World();
    const { findings, addresses } = await examine(world.registryAddrs);
    expect(addresses.map(({ state, pid }) => [state, pid])).toEqual([
      ["absent", null],
      ["absent", null],
    ]);
    expect(findings).toEqual([
      {
        code: "no-registrar",
        level: "error",
        what: "there is no registrar",
        which: world.registryAddrs.join(", "),
        whatToDo: "start a program that opens a root actor, or furrow registrar",
      },
    ]);
    await world.actor("hub", { registryAddrs: [world.unix] });
    expect((await examine(world.registryAddrs)).findings).toMatchObject([
      { code: "no-registrar", level: "warning", which: world.tcp },
    ]);
  });

  test("finds a registrar that is stopped, with its pid, at each of its addresses", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await hub.freeze();
    for (const addr of world.registryAddrs)
      expect(await findingAt(addr)).toMatchObject({
        code: "registry-frozen",
        level: "error",
        which: `${addr}, pid ${hub.pid} (${command})`,
        whatToDo: `kill -CONT ${hub.pid} lets it go on; kill -KILL ${hub.pid} ends it`,
      });
  });

  test("finds a registrar that computes without a break", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await hub.run(
      () =>
        void setTimeout(() => {
          for (;;);
        }, 0),
    );
    expect(await findingAt(world.unix)).toMatchObject({
      code: "registry-busy",
      what: expect.stringMatching(/^the registrar hub#[0-9a-f]{8} computes without a break/) as string,
      which: `${world.unix}, pid ${hub.pid} (${command})`,
    });
  });

  test("finds a registrar that waits for something else", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await hub.run(() => void setTimeout(() => Bun.sleepSync(60_000), 0));
    expect(await findingAt(world.unix)).toMatchObject({
      code: "registry-silent",
      which: `${world.unix}, pid ${hub.pid} (${command})`,
      whatToDo: `see what it waits for; kill ${hub.pid} ends it, and another root takes over`,
    });
  });

  test("finds what occupies an address, with its pid: a port, and a socket", async () => {
    await using world = new World();
    const other = await world.program();
    for (const addr of world.registryAddrs) {
      await listenIn(other, addr);
      expect(await findingAt(addr)).toMatchObject({
        code: "registry-occupied",
        level: "error",
        which: `${addr}, pid ${other.pid} (${command})`,
        whatToDo: `end it (kill ${other.pid}), or choose another address with --registry or FURROW_REGISTRY_ADDRS`,
      });
    }
  });

  test("tells processes apart that listen at one port of different addresses, and knows one that listens at all", async () => {
    await using world = new World();
    const port = freePort();
    const [beside, everywhere] = [await world.program(), await world.program()];
    const listen = (program: Program, hostname: string): Promise<unknown> =>
      program.run(
        ({ keep, args }) => {
          const [host, at] = args as [string, number];
          keep["listener"] = Bun.listen({ hostname: host, port: at, socket: { data() {} } });
        },
        hostname,
        port,
      );
    await listen(beside, "127.0.0.2");
    expect((await examine([`tcp://127.0.0.1:${port}`])).addresses).toMatchObject([
      { state: "absent", pid: null },
    ]);
    expect((await examine([`tcp://127.0.0.2:${port}`])).addresses).toMatchObject([{ pid: beside.pid }]);
    await beside.kill();
    await listen(everywhere, "0.0.0.0");
    for (const host of ["127.0.0.1", "localhost"])
      expect((await examine([`tcp://${host}:${port}`])).addresses).toMatchObject([{ pid: everywhere.pid }]);
  });

  test("finds a process that occupies a port and is stopped", async () => {
    await using world = new World();
    const other = await world.program();
    await listenIn(other, world.tcp);
    await other.freeze();
    expect(await findingAt(world.tcp)).toMatchObject({
      code: "registry-frozen",
      which: `${world.tcp}, pid ${other.pid} (${command})`,
    });
  });

  test("finds a registrar that has another secret", async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    const { findings } = await examine([world.tcp], { secret: "a secret that the registrar doesn't have" });
    expect(findings).toMatchObject([
      { code: "registry-refused", which: `${world.tcp}, pid ${hub.pid} (${command})` },
    ]);
  });

  test("finds a registrar that speaks another version of the protocol", async () => {
    await using other = new RawListener(async (peer) => {
      await peer.take(Kind.hello);
      peer.send([Kind.refuse, "version", "this is version 2", crypto.randomUUID()]);
      await peer.ended;
    });
    expect(await findingAt(other.addr)).toMatchObject({
      code: "registry-refused",
      what: "it speaks another version of the protocol: refused (version): this is version 2",
      whatToDo: "use one version of furrow in all programs",
    });
  });

  test("finds a registrar that serves other addresses only", async () => {
    await using world = new World();
    const port = freePort();
    const served: Address = `tcp://127.0.0.1:${port}`;
    const env = { FURROW_RUNTIME_DIR: process.env["FURROW_RUNTIME_DIR"]! };
    const hub = await world.program(env);
    await hub.run(async ({ furrow, keep, args }) => {
      keep["actor"] = await furrow.openRootActor({
        name: "hub",
        enableTransports: ["tcp"],
        registryAddrs: [args[0] as Address],
      });
    }, served);
    const unix: Address = `unix://${env.FURROW_RUNTIME_DIR}/registry@${port}.sock`;
    expect((await examine([unix])).addresses).toMatchObject([{ state: "elsewhere", pid: hub.pid }]);
    expect(await findingAt(unix)).toMatchObject({
      code: "registry-elsewhere",
      level: "warning",
      which: unix,
    });
    await hub.run(async ({ keep }) => await (keep["actor"] as AsyncDisposable)[Symbol.asyncDispose]());
  });
});
