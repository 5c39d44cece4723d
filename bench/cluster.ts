/**
 * A large cluster on one machine: `bun run bench:cluster [--hosts N] [--actors N] [--processes N]`.
 *
 * Simulates hosts, each with a connection, a lease, its actors and a follower of its own, beside one real registrar. Prints
 * what the registrar and the store take, how long a boot into the full cluster is, and how long a change needs to reach the
 * last host: alone, and under a steady load of changes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import type { HostsPlan } from "./fixtures/cluster-hosts.ts";
import type { RegistrarState } from "./fixtures/cluster-registrar.ts";
import { openHome, runCommand } from "./harness/command.ts";
import { median } from "./harness/timing.ts";
import { etcdServer, startEtcd } from "./stores/etcd.ts";

const usage = "bun run bench:cluster [--hosts N] [--actors N] [--processes N]";
/** Changes that are made one at a time, and the length of the load in seconds. */
const probes = 100;
const loadSeconds = 10;
const rates = [10, 50, 100] as const;

const space = "bench";

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      hosts: { type: "string", default: "100" },
      actors: { type: "string", default: "1000" },
      processes: { type: "string", default: "4" },
    },
  });
  const sizes = [values.hosts, values.actors, values.processes].map(Number);
  const [hosts = 0, actors = 0, processes = 0] = sizes;
  if (!sizes.every((one) => Number.isInteger(one) && one > 0))
    throw new Error(`expected positive numbers: ${usage}`);
  if (etcdServer === undefined) throw new Error("etcd is not installed: apt-get install etcd-server");
  await using stack = new AsyncDisposableStack();
  const home = openHome("furrow-cluster-");
  const store = stack.use(await startEtcd(etcdServer, home));
  const { url } = store;

  const first = stack.use(await Registrar.boot(url, home, "first"));
  const empty = await first.state();
  const size = Math.ceil(hosts / processes);
  const groups: Group[] = [];
  for (let from = 0; from < hosts; from += size)
    groups.push(stack.use(await Group.open({ url, space, from, to: Math.min(hosts, from + size), actors })));
  const published = performance.now();
  await Promise.all(groups.map((group) => group.do("publish")));
  const total = hosts * actors;
  const full = await first.until(({ mirrored, stale }) => mirrored >= total && !stale);
  const took = performance.now() - published;
  print("actors published", `${total} of ${hosts} hosts in ${seconds(took)}`);
  print("registrar, mirroring all", `${show(full)}, ${bytes((full.pss - empty.pss) / total)} an actor`);
  print(
    "  processor time for that",
    `${seconds(full.cpuMs - empty.cpuMs)}, ${(((full.cpuMs - empty.cpuMs) / total) * 1_000).toFixed(0)} µs an actor`,
  );
  print("  longest turn of its loop", `${full.longestTurnMs.toFixed(1)} ms`);
  print("etcd", `RSS ${bytes(residentOf(store.pid))}`);
  await first.end();

  const second = stack.use(await Registrar.boot(url, home, "second"));
  const loaded = await second.until(({ mirrored, stale }) => mirrored >= total && !stale);
  print(
    "boot into the full cluster",
    `${seconds(second.bootedMs)} until openRootActor resolves, all there after ${seconds(loaded.ms)}`,
  );
  print("  longest turn of its loop", `${loaded.longestTurnMs.toFixed(1)} ms`);

  const following = performance.now();
  await Promise.all(groups.map((group) => group.do("follow")));
  const settle = new Race(groups, hosts);
  await settle.change("probe-first", 0);
  // those that were loading may have found that in a page: the next one comes after the load
  await settle.change("probe-second", 0);
  print("all hosts follow", `after ${seconds(performance.now() - following)}`);

  const alone: number[] = [];
  for (let probe = 0; probe < probes; probe++)
    alone.push(await settle.change(`probe-${probe}`, probe % hosts));
  print("a change to the last host", spread(alone));

  const spent = async (work: () => Promise<unknown>): Promise<{ registrar: number; store: number }> => {
    const before = { registrar: (await second.state()).cpuMs, store: cpuMsOf(store.pid) };
    await work();
    return {
      registrar: (await second.state()).cpuMs - before.registrar,
      store: cpuMsOf(store.pid) - before.store,
    };
  };
  const idle = await spent(() => Bun.sleep(loadSeconds * 1_000));
  const share = (ms: number): string => `${(ms / loadSeconds / 10).toFixed(1)} %`;
  print("idle", `of a processor: registrar ${share(idle.registrar)}, etcd ${share(idle.store)}`);
  for (const rate of rates) {
    let latencies: number[] = [];
    const busy = await spent(async () => (latencies = await settle.load(rate, loadSeconds)));
    const each = (ms: number, idleMs: number): string =>
      `${(((ms - idleMs) / latencies.length) * 1_000).toFixed(0)} µs`;
    print(`${rate} changes a second`, `to the last host ${spread(latencies)}`);
    print(
      "  processor time a change",
      `registrar ${each(busy.registrar, idle.registrar)}, etcd ${each(busy.store, idle.store)} for ${hosts + 1} followers`,
    );
  }
  await Promise.all(groups.map((group) => group.do("end")));
  await second.end();
}

function print(what: string, text: string): void {
  console.log(`${what.padEnd(28)} ${text}`);
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function bytes(count: number): string {
  return count < 10_000 ? `${count.toFixed(0)} B` : `${(count / 1_048_576).toFixed(0)} MB`;
}

function show({ pss, rss }: RegistrarState): string {
  return `PSS ${bytes(pss)}, RSS ${bytes(rss)}`;
}

function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!.toFixed(1);
  return `p50 ${median(values).toFixed(1)} ms, p99 ${at(0.99)} ms, at most ${at(1)} ms`;
}

/** Changes, and when the last host has each. */
class Race {
  readonly #groups: readonly Group[];
  readonly #hosts: number;
  #count = 0;

  constructor(groups: readonly Group[], hosts: number) {
    this.#groups = groups;
    this.#hosts = hosts;
  }

  /** Makes a change at a host; resolves to the milliseconds until the last one had it. */
  async change(name: string, host: number): Promise<number> {
    const owner = this.#groups.find(({ plan }) => host >= plan.from && host < plan.to)!;
    const arrivals = this.#groups.map((group) => group.arrival(name));
    const sentAt = await owner.change(name, host);
    return Math.max(...(await Promise.all(arrivals))) - sentAt;
  }

  async load(rate: number, length: number): Promise<number[]> {
    const all: Promise<number>[] = [];
    for (let at = 0; at < rate * length; at++) {
      const number = this.#count++;
      all.push(this.change(`probe-load-${number}`, number % this.#hosts));
      await Bun.sleep(1_000 / rate);
    }
    return await Promise.all(all);
  }
}

type FromHosts =
  | { readonly done: string }
  | { readonly changed: string; readonly sentAt: number }
  | { readonly arrived: string; readonly at: number }
  | { readonly failed: string };

/** Simulated hosts in a process. */
class Group implements AsyncDisposable {
  readonly plan: HostsPlan;
  readonly #process: Bun.Subprocess;
  readonly #waiting = new Map<string, PromiseWithResolvers<number>>();

  private constructor(plan: HostsPlan) {
    this.plan = plan;
    const program = join(import.meta.dir, "fixtures/cluster-hosts.ts");
    this.#process = Bun.spawn([process.execPath, program, JSON.stringify(plan)], {
      env: { ...process.env, BUN_FEATURE_FLAG_NO_ORPHANS: "1" },
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "json",
      ipc: (message: FromHosts) => this.#on(message),
    });
  }

  static async open(plan: HostsPlan): Promise<Group> {
    const group = new Group(plan);
    await group.#when("open");
    return group;
  }

  async do(what: "publish" | "follow" | "end"): Promise<void> {
    this.#process.send({ do: what });
    await this.#when(what);
  }

  /** Resolves to the time at which the change was sent. */
  async change(name: string, host: number): Promise<number> {
    this.#process.send({ do: "change", name, host });
    return await this.#when(`changed ${name}`);
  }

  /** Resolves to the time at which all hosts of this process have it. */
  async arrival(name: string): Promise<number> {
    return await this.#when(`arrived ${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }

  #when(what: string): Promise<number> {
    let waiting = this.#waiting.get(what);
    if (waiting === undefined) this.#waiting.set(what, (waiting = Promise.withResolvers()));
    return waiting.promise;
  }

  #on(message: FromHosts): void {
    if ("failed" in message) {
      for (const { reject } of this.#waiting.values()) reject(new Error(message.failed));
      return;
    }
    const [what, at] =
      "done" in message
        ? [message.done, 0]
        : "changed" in message
          ? [`changed ${message.changed}`, message.sentAt]
          : [`arrived ${message.arrived}`, message.at];
    void this.#when(what);
    this.#waiting.get(what)?.resolve(at);
    this.#waiting.delete(what);
  }
}

/** A real registrar in a process. */
class Registrar implements AsyncDisposable {
  readonly #process: Bun.Subprocess;
  readonly #booted = Promise.withResolvers<number>();
  #state = Promise.withResolvers<RegistrarState>();
  bootedMs = 0;

  private constructor(url: string, home: string, name: string) {
    const program = join(import.meta.dir, "fixtures/cluster-registrar.ts");
    this.#process = Bun.spawn([process.execPath, program, url, space, `unix://${home}/${name}.sock`], {
      env: { ...process.env, FURROW_RUNTIME_DIR: home, BUN_FEATURE_FLAG_NO_ORPHANS: "1" },
      stdio: ["ignore", "inherit", "inherit"],
      serialization: "json",
      ipc: (message: { booted: number } | RegistrarState) => {
        if ("booted" in message) this.#booted.resolve(message.booted);
        else this.#state.resolve(message);
      },
    });
  }

  static async boot(url: string, home: string, name: string): Promise<Registrar> {
    const registrar = new Registrar(url, home, name);
    registrar.bootedMs = await registrar.#booted.promise;
    return registrar;
  }

  async state(): Promise<RegistrarState> {
    this.#state = Promise.withResolvers();
    this.#process.send("state");
    return await this.#state.promise;
  }

  async until(test: (state: RegistrarState) => boolean): Promise<RegistrarState> {
    let longestTurnMs = 0;
    for (;;) {
      const state = await this.state();
      longestTurnMs = Math.max(longestTurnMs, state.longestTurnMs);
      if (test(state)) return { ...state, longestTurnMs };
      await Bun.sleep(100);
    }
  }

  /** Ends it in order. */
  async end(): Promise<void> {
    this.#process.send("end");
    await this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }
}

function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

/** In ticks of 10 ms. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

await runCommand("bench:cluster", main);
