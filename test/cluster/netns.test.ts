import { describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";

import { Hosts, noHosts } from "../support/netns.ts";
import { type Program, until } from "../support/world.ts";

/** Whether a connection to this port is made within a third of a second. */
async function connects(from: Program, hostname: string, port: number): Promise<boolean> {
  return await from.run(
    async ({ args: [target] }) => {
      const dial = Bun.connect({ ...(target as { hostname: string; port: number }), socket: { data() {} } });
      const outcome = await Promise.race([dial.catch(() => undefined), Bun.sleep(300)]);
      outcome?.terminate();
      void dial.then((socket) => socket.terminate()).catch(() => {});
      return outcome !== undefined;
    },
    { hostname, port },
  );
}

async function listen(on: Program): Promise<number> {
  return await on.run(({ keep }) => {
    const listener = Bun.listen({ hostname: "::", port: 0, socket: { data() {} } });
    keep["listener"] = listener;
    return listener.port;
  });
}

/** The processes whose network isn't this one's. */
function elsewhere(): string[] {
  const own = readlinkSync("/proc/self/ns/net");
  return readdirSync("/proc").filter((name) => {
    try {
      return Number(name) > 0 && readlinkSync(`/proc/${name}/ns/net`) !== own;
    } catch {
      return false;
    }
  });
}

describe.skipIf(noHosts !== undefined)("the hosts of a test", () => {
  test("have host ids, loopbacks and runtime directories of their own", async () => {
    await using hosts = await Hosts.open("a", "b");
    const [a, again, b] = await Promise.all(["a", "a", "b"].map((name) => hosts.get(name).program()));
    const look = ({ args: [dir] }: { args: readonly unknown[] }): unknown => {
      const { readdirSync: read, writeFileSync } = process.getBuiltinModule("node:fs");
      const before = read(String(dir));
      writeFileSync(`${String(dir)}/seen`, "");
      return before;
    };
    const dir = hosts.get("a").runtimeDir;
    expect(await a!.run(look, dir)).toEqual([]);
    expect(await again!.run(look, dir)).toEqual(["seen"]);
    expect(await b!.run(look, dir)).toEqual([]);
    expect(readdirSync(hosts.get("a").outerDir)).toEqual(["seen"]);
    const idOf = async (program: Program): Promise<string> =>
      await program.run(async ({ furrow }) => {
        await using actor = await furrow.openRootActor();
        return actor.id.host;
      });
    const ids = [await idOf(a!), await idOf(again!), await idOf(b!)];
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(2);
    const port = await listen(a!);
    expect(await connects(again!, "127.0.0.1", port)).toBe(true);
    expect(await connects(b!, "127.0.0.1", port)).toBe(false);
  });

  test("reach each other until a cable is pulled or a switch drops all, and again after that", async () => {
    await using hosts = await Hosts.open("a", "b");
    const [a, b] = [hosts.get("a"), hosts.get("b")];
    const [near, far] = await Promise.all([a.program(), b.program()]);
    const port = await listen(far);
    const isConnected = async (): Promise<boolean> => await connects(near, b.address, port);
    expect([await isConnected(), await connects(near, b.addresses6[0]!, port)]).toEqual([true, true]);
    b.blackhole();
    expect(await isConnected()).toBe(false);
    b.clear();
    await until(isConnected);
    b.cutCable();
    expect(await isConnected()).toBe(false);
    b.plug();
    await until(isConnected);
    await b.kill();
    expect(await isConnected()).toBe(false);
    expect(b.space.pids).toEqual([]);
  });

  test("may be on several networks, and are reached over those that both are on", async () => {
    await using hosts = await Hosts.open("a");
    const [b, c] = [await hosts.add("b", [0, 1]), await hosts.add("c", [1])];
    const [onA, onB, onC] = await Promise.all([hosts.get("a").program(), b.program(), c.program()]);
    const port = await listen(onB);
    expect(b.addresses).toEqual(["10.77.0.2", "10.77.1.2"]);
    expect(await connects(onA, "10.77.0.2", port)).toBe(true);
    expect(await connects(onA, "10.77.1.2", port)).toBe(false);
    expect(await connects(onC, "10.77.1.2", port)).toBe(true);
  });

  test("are gone when the test's process is killed, whatever runs on them", async () => {
    const before = elsewhere();
    const dir = join(process.env["FURROW_RUNTIME_DIR"]!, "killed");
    const source = `
      import { Hosts } from ${JSON.stringify(new URL("../support/netns.ts", import.meta.url).href)};
      const hosts = await Hosts.open("a", "b");
      hosts.get("a").spawn(["sleep", "1000"], { stdio: ["ignore", "ignore", "ignore"] });
      await hosts.get("b").program();
      console.log("up");
      await new Promise(() => {});
    `;
    const victim = Bun.spawn([process.execPath, "-e", source], {
      env: { ...process.env, FURROW_RUNTIME_DIR: dir },
      stdio: ["ignore", "pipe", "inherit"],
    });
    await victim.stdout.getReader().read();
    expect(elsewhere().length).toBeGreaterThanOrEqual(before.length + 5);
    victim.kill("SIGKILL");
    await until(() => elsewhere().every((pid) => before.includes(pid)));
    rmSync(dir, { recursive: true });
  });
});
