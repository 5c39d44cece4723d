/**
 * What you need to test your own actors: a tree for each test, faults to inject, a leak check. Import it from
 * `furrow/testing`.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { Actor } from "./actor/actor.ts";
import { currentRuntime } from "./actor/current.ts";
import type { Runtime } from "./actor/runtime.ts";
import { sleep, timing } from "./deadline.ts";
import { Registrars } from "./discovery/registrars.ts";
import { ActorNotFoundError } from "./errors.ts";
import type { ActorId } from "./identity.ts";
import { parseAddress } from "./transport/address.ts";
import { loadOs } from "./transport/host.ts";
import { isProcessAlive } from "./transport/runtime-dir.ts";
import { type Nursery, type NurseryOptions, openNursery } from "./tree/nursery.ts";

/** More connections than any listener's backlog holds. */
const backlogConnections = 1_024;

/** A tree for one test. Disposing it ends the tree, and throws if anything is left behind. */
export interface TestTree extends AsyncDisposable {
  readonly actor: Actor;
  /** Where to start the actors under test. */
  readonly nursery: Nursery;
  /** The runtime directory, used by this tree alone. */
  readonly dir: string;
  /** The environment variables that another program needs to join this tree. */
  readonly env: Readonly<Record<string, string>>;
  /** Stops every process of that name with SIGSTOP: the kernel still accepts its connections, but it never replies. */
  freeze(name: string): void;
  /** Resumes the frozen processes of that name. */
  thaw(name: string): void;
  /** Sends every process of that name a signal, SIGKILL by default; resolves when the registry has removed them. */
  kill(name: string, signal?: NodeJS.Signals): Promise<void>;
  /** Cuts the connections between this process and the actors of that name, without a goodbye. */
  cut(name: string): void;
  /** Stops reading from the actors of that name for `ms` milliseconds. */
  stall(name: string, ms: number): Promise<void>;
  /**
   * Freezes the actors of that name and fills their backlogs, so that dials are refused until the result is disposed.
   * Disposal resolves when they accept connections again.
   */
  fillBacklog(name: string): Promise<AsyncDisposable>;
  /** What was left behind: processes that should have ended, and socket files without an owner. Normally empty. */
  leaks(): Promise<string[]>;
}

/**
 * Opens a tree with its own runtime directory and registry, so that tests can run alongside each other and anything
 * else on the machine. This process becomes its root.
 *
 * @throws as `openRootActor`
 */
export async function testTree(options: NurseryOptions = {}): Promise<TestTree> {
  const dir = mkdtempSync(join(loadOs().tmpdir(), "furrow-"));
  const before = process.env["FURROW_RUNTIME_DIR"];
  process.env["FURROW_RUNTIME_DIR"] = dir;
  const restore = (): void => {
    if (before === undefined) delete process.env["FURROW_RUNTIME_DIR"];
    else process.env["FURROW_RUNTIME_DIR"] = before;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const { enableTransports = ["unix", "tcp"] } = options;
    const registryAddrs = ([`unix://${dir}/registry@0.sock`, "tcp://127.0.0.1:0"] as const).filter((addr) =>
      enableTransports.some((transport) => addr.startsWith(`${transport}:`)),
    );
    const nursery = await openNursery({ handleSignals: false, registryAddrs, ...options });
    return new Tree(currentRuntime(), nursery, dir, restore);
  } catch (error) {
    restore();
    throw error;
  }
}

class Tree implements TestTree {
  readonly nursery: Nursery;
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #runtime: Runtime;
  readonly #restore: () => void;
  /** Every process seen in the tree so far, by pid. */
  readonly #seen = new Map<number, ActorId>();
  readonly #frozen = new Set<number>();

  constructor(runtime: Runtime, nursery: Nursery, dir: string, restore: () => void) {
    this.#runtime = runtime;
    this.nursery = nursery;
    this.dir = dir;
    this.#restore = restore;
    this.env = { FURROW_RUNTIME_DIR: dir, FURROW_REGISTRY_ADDRS: runtime.registryAddrs.join(",") };
  }

  get actor(): Actor {
    return this.#runtime;
  }

  freeze(name: string): void {
    for (const { pid } of this.#named(name)) this.#signal(pid, "SIGSTOP");
  }

  thaw(name: string): void {
    for (const { pid } of this.#named(name)) this.#signal(pid, "SIGCONT");
  }

  async kill(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const victims = this.#named(name);
    for (const { pid } of victims) {
      this.#signal(pid, signal);
      // a stopped process handles no signal but SIGKILL
      if (this.#frozen.has(pid)) this.#signal(pid, "SIGCONT");
    }
    const uuids = new Set(victims.map(({ uuid }) => uuid));
    await this.#until(() => !this.#registered().some(({ uuid }) => uuids.has(uuid)));
  }

  cut(name: string): void {
    for (const { uuid } of this.#named(name)) this.#runtime.peers.get(uuid)?.channel.link.abort();
  }

  async stall(name: string, ms: number): Promise<void> {
    const links = this.#named(name).flatMap(({ uuid }) => this.#runtime.peers.get(uuid)?.channel.link ?? []);
    for (const link of links) link.pause();
    await sleep(ms);
    for (const link of links) link.resume();
  }

  async fillBacklog(name: string): Promise<AsyncDisposable> {
    this.freeze(name);
    const sockets: Bun.Socket[] = [];
    const paths: string[] = [];
    for (const addr of this.#entries(name).flatMap((entry) => entry.addrs)) {
      const parsed = parseAddress(addr);
      if (parsed.transport !== "unix") continue;
      paths.push(parsed.path);
      await fill(parsed.path, sockets);
    }
    return {
      [Symbol.asyncDispose]: async () => {
        for (const socket of sockets) socket.terminate();
        this.thaw(name);
        // the dead connections stay in the backlog until the actor accepts them
        for (const path of paths) await this.#until(async () => await accepts(path));
      },
    };
  }

  async leaks(): Promise<string[]> {
    this.#look();
    const registered = new Set(this.#registered().map(({ pid }) => pid));
    await this.#until(() => this.#strays(registered).length === 0);
    return this.#strays(registered);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#look();
    for (const pid of this.#frozen) this.#signal(pid, "SIGCONT");
    const errors: unknown[] = [];
    try {
      await this.nursery[Symbol.asyncDispose]().then(undefined, (error: unknown) => errors.push(error));
      await this.#until(() => this.#strays(new Set()).length === 0);
      const left = this.#strays(new Set());
      if (left.length > 0) errors.push(new Error(`the tree left behind: ${left.join(", ")}`));
      if (errors.length > 1) throw new AggregateError(errors, "the tree failed and left something behind");
      if (errors.length === 1) throw errors[0];
    } finally {
      this.#restore();
    }
  }

  /** Processes that still run though no longer registered, and socket files of processes that aren't registered. */
  #strays(registered: ReadonlySet<number>): string[] {
    const processes = Array.from(this.#seen.values())
      .filter(({ pid }) => pid !== process.pid && !registered.has(pid) && isProcessAlive(pid))
      .map(({ name, pid }) => `process ${pid} ("${name}")`);
    const files = readdirSync(this.dir).filter((file) => {
      const pid = Number(/@(\d+)\.sock$/.exec(file)?.[1] ?? 0);
      return pid > 0 && !registered.has(pid);
    });
    return [...processes, ...files.map((file) => `file ${file}`)];
  }

  #entries(name?: string): { readonly id: ActorId; readonly addrs: readonly string[] }[] {
    const { service } = Registrars.of(this.#runtime);
    if (service === undefined) return [];
    return Array.from(name === undefined ? service.table.entries() : service.table.all(name));
  }

  #registered(): ActorId[] {
    return this.#entries().map(({ id }) => id);
  }

  #look(): void {
    for (const id of this.#registered()) this.#seen.set(id.pid, id);
  }

  #named(name: string): ActorId[] {
    this.#look();
    const found = this.#entries(name).map(({ id }) => id);
    if (found.length === 0) throw new ActorNotFoundError(`no actor named "${name}" in this tree`);
    return found;
  }

  #signal(pid: number, signal: NodeJS.Signals): void {
    if (pid === process.pid)
      throw new Error("this process is the root of the tree and can't inject faults into itself");
    if (signal === "SIGSTOP") this.#frozen.add(pid);
    if (signal === "SIGCONT") this.#frozen.delete(pid);
    if (isProcessAlive(pid)) process.kill(pid, signal);
  }

  async #until(condition: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = performance.now() + timing.settleMs; !(await condition()) && performance.now() < end;)
      await sleep(5);
  }
}

/** Connects until the kernel refuses; the frozen listener accepts none of the connections. */
async function fill(path: string, sockets: Bun.Socket[]): Promise<void> {
  for (let at = 0; at < backlogConnections; at++) {
    try {
      sockets.push(await Bun.connect({ unix: path, socket: { data() {} } }));
    } catch {
      return; // full
    }
  }
}

async function accepts(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch {
    return false;
  }
}
