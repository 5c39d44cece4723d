/** Registrars of several hosts that share a directory on etcd: each is a process, and each host a namespace. */
import { describe, expect, test } from "bun:test";

import type { ActorEvent } from "../../src/index.ts";
import { furrow } from "../support/command-line.ts";
import { ClusterHost, lacksHosts } from "../support/cluster-host.ts";
import { EtcdServers, lacksEtcd } from "../support/etcd-servers.ts";
import { TcpRelay } from "../support/tcp-relay.ts";
import { type Program, until } from "../support/world.ts";

type Service = typeof import("../fixtures/service.ts");
const service = new URL("../fixtures/service.ts", import.meta.url).href;
const isSkipped = lacksHosts !== undefined || lacksEtcd !== undefined;

/** An etcd, and hosts that share it. */
class Cluster extends AsyncDisposableStack {
  etcd!: EtcdServers;

  static async open(): Promise<Cluster> {
    const cluster = new Cluster();
    cluster.etcd = cluster.use(await EtcdServers.start(1));
    return cluster;
  }

  host(): ClusterHost {
    return this.use(new ClusterHost(this.etcd.urls));
  }
}

/** The names that the program's registrar lists. */
async function listed(program: Program): Promise<string> {
  return await program.run(async ({ furrow }) => {
    await using registry = await furrow.getRegistry();
    const actors = await registry.run.listActors();
    return actors
      .map(({ id }) => id.name)
      .toSorted()
      .join();
  });
}

/** Watches all names; read with `watched`. */
async function watch(program: Program): Promise<void> {
  await program.run(({ furrow, keep }) => {
    const lines: string[] = [];
    keep["lines"] = lines;
    void (async () => {
      for await (const event of furrow.watchActors("*") as AsyncIterable<ActorEvent>)
        lines.push(
          event.type === "sync"
            ? ["sync", ...event.actors.map(({ id }) => id.name).toSorted()].join(" ")
            : `${event.type} ${event.actor.id.name}`,
        );
    })();
  });
}

async function watched(program: Program): Promise<string[]> {
  return await program.run(({ keep }) => keep["lines"] as string[]);
}

/** What looking a name up comes to: where it is, or the errors. */
async function query(program: Program, name: string): Promise<unknown> {
  return await program.run(async ({ furrow, args }) => {
    try {
      await using found = await furrow.queryActor(args[0] as string);
      return found.id && { pid: found.id.pid, stale: found.stale };
    } catch (error) {
      const { name, cause } = error as Error;
      return [name, (cause as Error | undefined)?.name];
    }
  }, name);
}

describe.skipIf(isSkipped)("two hosts with an etcd", () => {
  test("find, call, list and watch each other's actors", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    const [onA, onB] = await Promise.all([a.actor("root-a"), b.actor("root-b")]);
    const clientB = await b.actor("other-b");
    await until(async () => (await listed(clientB)) === "other-b,root-a,root-b");
    for (const program of [onB, clientB]) await watch(program);
    const worker = await a.actor("worker", { enableModules: [service], metadata: { n: 1 } });
    const id = await worker.run(({ furrow }) => ({ ...furrow.currentActor().id }));
    for (const program of [onB, clientB]) {
      const found = await program.run(async ({ furrow }) => {
        await using portal = await furrow.waitForActor<Service>("worker", { timeout: 5_000 });
        return { id: portal.id, addr: portal.addr, sum: await portal.run.add(1, 2) };
      });
      expect(found).toMatchObject({ id, sum: 3 });
      expect(found.addr).toStartWith("tcp://");
      expect(await listed(program)).toBe("other-b,root-a,root-b,worker");
      const report = await program.run(async ({ furrow }) => await furrow.explainLookup("worker"));
      expect(report.candidates.map(({ id, source }) => [id.name, source])).toEqual([["worker", "mirror"]]);
    }
    expect(id.host).not.toBe(await onB.run(({ furrow }) => furrow.currentActor().id.host));
    await worker.run(({ furrow }) => furrow.currentActor().setMetadata({ n: 2 }));
    await until(async () => (await watched(clientB)).length >= 3);
    await worker.kill();
    for (const program of [onB, clientB]) {
      await until(async () => (await watched(program)).length >= 4);
      expect(await watched(program)).toEqual([
        "sync other-b root-a root-b",
        "up worker",
        "changed worker",
        "down worker",
      ]);
      expect(await query(program, "worker")).toBeNull();
    }
    const { registrar } = await onA.run(({ furrow }) => furrow.currentActor().stats());
    expect(registrar).toMatchObject({ actors: 3, mirrored: 2, hosts: 1, stale: false });
  });

  test("go on as before on their own while the store is gone, and say what they can't know", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    await Promise.all([
      a.actor("root-a"),
      a.actor("worker", { enableModules: [service] }),
      b.actor("root-b"),
    ]);
    const onB = await b.actor("asker");
    const pid = async (): Promise<unknown> => await query(onB, "worker");
    await until(async () => (await pid()) !== null);
    // a miss that is known
    expect(await query(onB, "nobody")).toBeNull();
    await cluster.etcd.kill(0);
    await until(async () => ((await pid()) as { stale: boolean }).stale);
    for (const name of ["nobody", "no one else"])
      expect(await query(onB, name)).toEqual(["RegistryUnavailableError", "StoreUnavailableError"]);
    expect(await query(onB, "root-b")).toMatchObject({ stale: false });
    const sum = await onB.run(async ({ furrow }) => {
      await using portal = await furrow.findActor<Service>("worker", { raiseOnNone: true });
      return await portal.run.add(1, 2);
    });
    expect(sum).toBe(3);
    // a start here, and a lookup of it
    await b.actor("late");
    expect(await query(onB, "late")).toMatchObject({ stale: false });
    const call = await onB.run(async ({ furrow }) => {
      await using nobody = await furrow.openService<Service>("nobody", { waitMs: 100 });
      return await nobody.run.add(1, 2).catch((error: Error) => [error.name, (error.cause as Error).name]);
    });
    expect(call).toEqual(["RegistryUnavailableError", "StoreUnavailableError"]);
    const failure = await onB.run(async ({ furrow }) => {
      await using registry = await furrow.getRegistry();
      return await registry.run.findActor("nobody").catch((error: Error) => (error.cause as Error).name);
    });
    expect(failure).toBe("RegistryUnavailableError");
    const [examined, list] = await Promise.all([furrow(b.env, ["doctor", "--json"]), furrow(b.env, ["ls"])]);
    const { findings } = JSON.parse(examined.stdout) as { findings: { code: string }[] };
    expect([examined.exitCode, findings.map(({ code }) => code)]).toEqual([
      1,
      ["store-unreachable", "store-unreachable"],
    ]);
    expect(list.stderr).toStartWith("furrow: actors of other hosts may be missing: etcd at ");
    expect(list.stdout.split("\n")[0]).toContain("VERSION  HOST      ADDRS");
    const waiting = onB.run(async ({ furrow }) => {
      await using portal = await furrow.waitForActor("soon", { timeout: 14_000 });
      return portal.id.name;
    });
    await a.actor("soon");
    await cluster.etcd.up(0);
    expect(await waiting).toBe("soon");
    await until(async () => (await query(onB, "nobody")) === null);
    expect(await pid()).toMatchObject({ stale: false });
  }, 30_000);

  test("keep the actors of a host whose registrar is killed, as its successor has them", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    const onB = await b.actor("root-b");
    const hub = await a.actor("hub");
    await Promise.all(["x", "y"].map(async (name) => await a.actor(name)));
    await until(async () => (await listed(onB)) === "hub,root-b,x,y");
    await watch(onB);
    await until(async () => (await watched(onB)).length === 1);
    await hub.kill();
    await until(async () => (await watched(onB)).includes("down hub"), 8_000);
    // longer than the lease of the one that was killed
    const later = await a.actor("z");
    await until(async () => (await watched(onB)).includes("up z"));
    await Bun.sleep(2_500);
    // the successor is reached at other addresses now, the registry's
    const lines = (await watched(onB)).slice(1).filter((line) => !line.startsWith("changed"));
    expect(lines).toEqual(["down hub", "up z"]);
    expect(await query(later, "root-b")).toMatchObject({ stale: false });
  }, 30_000);

  test("don't take for absent what was registered elsewhere while this host was stopped and cut off", async () => {
    await using etcd = await EtcdServers.start(1);
    await using relay = new TcpRelay(etcd.ports[0]!);
    await using hosts = new AsyncDisposableStack();
    const a = await hosts.use(new ClusterHost(etcd.urls)).actor("a");
    const onB = hosts.use(new ClusterHost([`http://127.0.0.1:${relay.port}`], { ttlMs: 60_000 }));
    const b = await onB.actor("b");
    await until(async () => (await listed(b)) === "a,b" && (await listed(a)) === "a,b");
    await b.freeze();
    relay.swallow();
    await hosts.use(new ClusterHost(etcd.urls)).actor("late");
    await Bun.sleep(5_000);
    // asked while it is stopped, so that this is what it reads first
    const asked = query(b, "late");
    b.signal("SIGCONT");
    expect(await asked).toEqual(["RegistryUnavailableError", "StoreUnavailableError"]);
    relay.mend();
    await until(async () => (await listed(b)) === "a,b,late");
    await until(async () => (await query(b, "none")) === null);
  }, 30_000);

  test("end in order while the store is frozen, and leave no process", async () => {
    await using etcd = await EtcdServers.start(1);
    const program = new URL("../fixtures/closes.ts", import.meta.url).pathname;
    const socket = `${process.env["FURROW_RUNTIME_DIR"]}/closes.sock`;
    const child = Bun.spawn([process.execPath, program, etcd.urls[0]!, socket], {
      stdin: "pipe",
      stdout: "pipe",
    });
    const said = child.stdout.getReader();
    await said.read();
    etcd.freeze(0);
    // it has tried in vain for a while, too
    await Bun.sleep(2_500);
    await child.stdin.end();
    await said.read();
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    expect(await child.exited).toBe(0);
    clearTimeout(timer);
  }, 20_000);

  test("lose only the registrar that ends in order, and what it started", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    const onB = await b.actor("root-b");
    const hub = await a.actor("hub");
    await a.actor("x");
    await hub.run(
      async ({ furrow, args }) =>
        void (await (await furrow.openNursery()).startActor("child", { module: args[0] as string })),
      service,
    );
    await until(async () => (await listed(onB)) === "child,hub,root-b,x");
    await watch(onB);
    await until(async () => (await watched(onB)).length === 1);
    await hub.run(async ({ furrow }) => await furrow.currentActor().cancel());
    // as long as the lease that it left behind
    await until(async () => (await watched(onB)).filter((line) => line.startsWith("down")).length === 2);
    await Bun.sleep(2_500);
    const lines = (await watched(onB)).slice(1).filter((line) => !line.startsWith("changed"));
    expect(lines).toEqual(["down child", "down hub"]);
    expect(await listed(onB)).toBe("root-b,x");
  }, 30_000);

  test("forget all actors of a host at once, when that is dead for as long as its lease lasts", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    const onB = await b.actor("root-b");
    const programs = await Promise.all(["hub", "x", "y"].map(async (name) => await a.actor(name)));
    await until(async () => (await listed(onB)) === "hub,root-b,x,y");
    await onB.run(({ furrow, keep }) => {
      const turns: string[][] = [];
      keep["turns"] = turns;
      void (async () => {
        for await (const event of furrow.watchActors("*") as AsyncIterable<ActorEvent>) {
          if (turns.length === 0 || keep["isOver"] === true) turns.push([]);
          keep["isOver"] = false;
          setImmediate(() => (keep["isOver"] = true));
          turns.at(-1)!.push(event.type);
        }
      })();
    });
    await until(async () => ((await onB.run(({ keep }) => keep["turns"])) as unknown[]).length === 1);
    await Promise.all(programs.map(async (program) => await program.kill()));
    await until(async () => (await listed(onB)) === "root-b", 10_000);
    expect(await onB.run(({ keep }) => keep["turns"])).toEqual([["sync"], ["down", "down", "down"]]);
  }, 30_000);

  test("see a host again whose lease lapsed while it lived", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    const onB = await b.actor("root-b");
    const hub = await a.actor("hub");
    await a.actor("x");
    await until(async () => (await listed(onB)) === "hub,root-b,x");
    await hub.freeze();
    await until(async () => (await listed(onB)) === "root-b", 10_000);
    hub.signal("SIGCONT");
    await until(async () => (await listed(onB)) === "hub,root-b,x", 10_000);
  }, 30_000);

  test("take the cluster from $FURROW_CLUSTER where no option says it, and refuse one that isn't a list of urls", async () => {
    await using cluster = await Cluster.open();
    const [a, b] = [cluster.host(), cluster.host()];
    await a.actor("root-a");
    const program = await b.program();
    const boot = async (urls: string): Promise<string> =>
      await program.run(async ({ furrow, args: [urls] }) => {
        process.env["FURROW_CLUSTER"] = urls as string;
        try {
          await furrow.openRootActor({ name: "root-b" });
          return "booted";
        } catch (error) {
          return (error as Error).name;
        }
      }, urls);
    expect(await boot("etcd.example:2379")).toBe("TypeError");
    expect(await boot(cluster.etcd.urls.join())).toBe("booted");
    await until(async () => (await listed(program)) === "root-a,root-b");
  });

  test("belong to one registry each: another one of the same host is refused, or goes on alone", async () => {
    await using cluster = await Cluster.open();
    const a = cluster.host();
    await a.actor("root");
    const registryAddrs = [`unix://${a.dir}/other@1.sock`];
    const refused: unknown = await a
      .actor("strict", { registryAddrs, requireCluster: true })
      .catch((thrown: unknown) => thrown);
    expect(refused).toMatchObject({ name: "HostTakenError", code: "ERR_HOST_TAKEN" });
    const other = await a.actor("other", { registryAddrs });
    expect(await listed(other)).toBe("other");
  }, 30_000);

  test("boot alone when the store can't be reached, and meet when it can; with requireCluster they don't boot", async () => {
    await using cluster = await Cluster.open();
    await cluster.etcd.kill(0);
    const [a, b] = [cluster.host(), cluster.host()];
    const error: unknown = await a
      .actor("strict", { requireCluster: true, timeout: 2_000 })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "StoreUnavailableError", code: "ERR_STORE_UNAVAILABLE" });
    const [onA] = await Promise.all([a.actor("root-a", {}, { firstLoadMs: 200 }), b.actor("root-b")]);
    expect(await query(onA, "root-a")).toMatchObject({ stale: false });
    expect(await query(onA, "root-b")).toEqual(["RegistryUnavailableError", "StoreUnavailableError"]);
    await cluster.etcd.up(0);
    await until(async () => (await listed(onA)) === "root-a,root-b", 10_000);
    const strict = await b.actor("strict", { requireCluster: true });
    expect(await query(strict, "root-a")).toMatchObject({ stale: false });
  }, 30_000);
});
