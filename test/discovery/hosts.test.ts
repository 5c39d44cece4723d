/**
 * More than one host: two network namespaces, made here, with a cable between them. Needs root and `ip`; elsewhere it
 * is skipped, and says so.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { Authority, writeTls } from "../support/certificates.ts";
import { Program, until } from "../support/world.ts";

const ids = ["a", "b"] as const;
type Host = (typeof ids)[number];
const spaces = { a: `furrow-a-${process.pid}`, b: `furrow-b-${process.pid}` };
const addresses = { a: "10.231.7.1", b: "10.231.7.2" };
const registry = `tcp://${addresses.a}:1616`;

function ip(...args: string[]): boolean {
  return Bun.which("ip") !== null && Bun.spawnSync(["ip", ...args], { stderr: "ignore" }).exitCode === 0;
}

function inside(host: Host, ...args: string[]): boolean {
  return ip("-n", spaces[host], ...args);
}

function tearDown(): void {
  for (const host of ids) ip("netns", "del", spaces[host]);
}

const possible =
  process.platform === "linux" &&
  process.getuid?.() === 0 &&
  ids.every((host) => ip("netns", "add", spaces[host]));
if (!possible)
  console.warn("hosts.test.ts is skipped: network namespaces need linux, root, and the ip command");
tearDown();

const authority = new Authority();
const base = join(process.env["FURROW_RUNTIME_DIR"]!, "hosts");

/** A program on one of the hosts, with a runtime folder of its own as another machine would have. */
async function programOn(host: Host): Promise<Program> {
  const dir = join(base, host);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const env = {
    FURROW_RUNTIME_DIR: dir,
    FURROW_REGISTRY_ADDRS: `${registry},unix://${base}/a/registry@1616.sock`,
  };
  const program = new Program(env, ["ip", "netns", "exec", spaces[host]]);
  await program.up;
  return program;
}

async function actorOn(host: Host, name: string, options: object = {}): Promise<Program> {
  const program = await programOn(host);
  const tls = writeTls(join(base, host), name, authority.issue(`${host}/${name}`));
  await program.run(async ({ furrow, args }) => void (await furrow.openRootActor(args[0] as object)), {
    name,
    security: { tls },
    ...options,
  });
  return program;
}

describe.skipIf(!possible)("two hosts", () => {
  const programs: Program[] = [];

  let hub: Program;

  beforeAll(async () => {
    for (const host of ids) ip("netns", "add", spaces[host]);
    ip(
      "link",
      "add",
      "furrow-a",
      "netns",
      spaces.a,
      "type",
      "veth",
      "peer",
      "name",
      "furrow-b",
      "netns",
      spaces.b,
    );
    for (const host of ids) {
      inside(host, "addr", "add", `${addresses[host]}/24`, "dev", `furrow-${host}`);
      inside(host, "link", "set", `furrow-${host}`, "up");
      inside(host, "link", "set", "lo", "up");
    }
    hub = await actorOn("a", "hub");
    programs.push(hub);
  });

  afterAll(async () => {
    await Promise.all(programs.map((program) => program.kill()));
    tearDown();
    rmSync(base, { recursive: true, force: true });
  });

  test("an actor joins the registry of another host, listens where that host can reach it, and is found from there", async () => {
    const service = new URL("../fixtures/service.ts", import.meta.url).href;
    const far = await actorOn("b", "far", {
      enableTransports: ["tcp"],
      registryAddrs: [registry],
      enableModules: [service],
    });
    programs.push(far);
    const addrs = await far.run(({ furrow }) => [...furrow.currentActor().addrs]);
    expect(addrs).toHaveLength(1);
    expect(addrs[0]).toStartWith(`tcp://${addresses.b}:`);
    // the hub has a connection already; another actor of its host must dial
    const near = await actorOn("a", "near");
    programs.push(near);
    const found = await near.run(async ({ furrow }) => {
      await using portal = await furrow.findActor<typeof import("../fixtures/service.ts")>("far", {
        raiseOnNone: true,
      });
      return { addr: portal.addr, sum: await portal.run.add(1, 2) };
    });
    expect(found).toEqual({ addr: addrs[0]!, sum: 3 });
  });

  test("the portal to a peer of another host that dialled here has an address that can be dialled from here", async () => {
    const far = await actorOn("b", "caller", {
      enableTransports: ["unix", "tcp"],
      registryAddrs: [registry],
    });
    programs.push(far);
    const addrs = await far.run(({ furrow }) => [...furrow.currentActor().addrs]);
    expect(addrs[0]).toStartWith("unix://");
    const addr = await hub.run(async ({ furrow }) => {
      await using portal = await furrow.findActor("caller", { raiseOnNone: true });
      return portal.addr;
    });
    expect(addr).toBe(addrs[1]!);
    expect(addr).toStartWith(`tcp://${addresses.b}:`);
  });

  test("a socket file of another host is never dialled, though one of the same path may be here", async () => {
    // both folders are on one disk here, so the path exists for both: only the host id tells them apart
    const near = await actorOn("a", "unix-only", { bindAddrs: [`unix://${base}/a/only.sock`] });
    const far = await actorOn("b", "asker", { enableTransports: ["tcp"], registryAddrs: [registry] });
    programs.push(near, far);
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
  });

  test("an actor on a host that falls silent is gone after the pings' deadline", async () => {
    await hub.run(({ setTiming }) => void setTiming({ pingIntervalMs: 300 }));
    const silent = await actorOn("b", "silent", { enableTransports: ["tcp"], registryAddrs: [registry] });
    programs.push(silent);
    const names = async (): Promise<string[]> =>
      await hub.run(async ({ furrow }) => {
        await using table = await furrow.getRegistry();
        return (await table.run.listActors()).map(({ id }) => id.name);
      });
    await until(async () => (await names()).includes("silent"));
    inside("b", "link", "set", "furrow-b", "down");
    try {
      await until(async () => !(await names()).includes("silent"));
    } finally {
      inside("b", "link", "set", "furrow-b", "up");
    }
  });
});
