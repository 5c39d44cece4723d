/** The stores of a cluster's directory that one suite tests: in memory, on one etcd, and on three. */
import type { DirectoryStore, HostRecord } from "../../src/discovery/store.ts";
import { ClusterStore } from "../../src/discovery/cluster-store.ts";
import { MemoryDirectory } from "../../src/discovery/memory-directory.ts";
import { memoryCluster } from "../../src/discovery/memory-store.ts";
import { encodeEntry } from "../../src/discovery/remote-entry.ts";
import type { Change } from "../../src/discovery/store.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
import { noDetails } from "../../src/discovery/details.ts";
import { etcd } from "../../src/etcd.ts";
import { EtcdServers } from "./etcd-servers.ts";
import { TcpRelay } from "./tcp-relay.ts";

/** One directory, and what can happen to it. */
export interface Directory extends AsyncDisposable {
  /** The access of one host, over a network of its own. */
  store(host: string): Promise<DirectoryStore>;
  /** "answers": what the host sends arrives, and it hears nothing. */
  cut(host: string, what?: "all" | "answers"): void;
  mend(host: string): void;
  /** Forgets the past. */
  compact(): Promise<void>;
  /** Nobody answers any more, and nothing that was stored is lost. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Loses everything, and is there again. */
  wipe(): Promise<void>;
}

/** A place for directories, each unlike the others. */
export interface Place extends AsyncDisposable {
  directory(): Directory;
}

export class MemoryPlace implements Place {
  directory(): Directory {
    return new InMemory();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class InMemory implements Directory {
  readonly #directory = new MemoryDirectory();
  readonly #stores: DirectoryStore[] = [];

  async store(host: string): Promise<DirectoryStore> {
    const store = await ClusterStore.open(memoryCluster(this.#directory, host));
    this.#stores.push(store);
    return store;
  }

  cut(host: string, what?: "all" | "answers"): void {
    this.#directory.cut(host, what);
  }

  mend(host: string): void {
    this.#directory.mend(host);
  }

  async compact(): Promise<void> {
    this.#directory.compact();
  }

  async stop(): Promise<void> {
    this.#directory.stop();
  }

  async start(): Promise<void> {
    this.#directory.start();
  }

  async wipe(): Promise<void> {
    this.#directory.wipe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#stores.map((store) => store[Symbol.asyncDispose]()));
    this.#directory[Symbol.dispose]();
  }
}

export class EtcdPlace implements Place {
  readonly servers: EtcdServers;

  constructor(servers: EtcdServers) {
    this.servers = servers;
  }

  static async start(count: number): Promise<EtcdPlace> {
    return new EtcdPlace(await EtcdServers.start(count));
  }

  directory(): EtcdDirectory {
    return new EtcdDirectory(this.servers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.servers[Symbol.asyncDispose]();
  }
}

let spaces = 0;

export class EtcdDirectory implements Directory {
  readonly servers: EtcdServers;
  readonly space: string;
  readonly #stack = new AsyncDisposableStack();
  readonly #relays = new Map<string, TcpRelay[]>();

  constructor(servers: EtcdServers) {
    this.servers = servers;
    this.space = `test-${++spaces}`;
  }

  async store(host: string): Promise<DirectoryStore> {
    const urls = this.relays(host).map(({ port }) => `http://127.0.0.1:${port}`);
    return this.#stack.use(await ClusterStore.open(etcd(urls, { space: this.space })));
  }

  /** In front of each server, for one host. */
  relays(host: string): TcpRelay[] {
    let relays = this.#relays.get(host);
    if (relays === undefined) {
      relays = this.servers.ports.map((port) => new TcpRelay(port));
      this.#relays.set(host, relays);
      for (const relay of relays) this.#stack.use(relay);
    }
    return relays;
  }

  cut(host: string, what: "all" | "answers" = "all"): void {
    for (const relay of this.relays(host)) relay.swallow(...(what === "all" ? [] : (["back"] as const)));
  }

  mend(host: string): void {
    for (const relay of this.relays(host)) relay.mend();
  }

  compact(): Promise<void> {
    return this.servers.compact();
  }

  stop(): Promise<void> {
    return this.servers.kill(...this.servers.all);
  }

  start(): Promise<void> {
    return this.servers.up(...this.servers.all);
  }

  async wipe(): Promise<void> {
    await this.stop();
    for (const index of this.servers.all) this.servers.wipe(index);
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The record of a host, with a registrar of its own. */
export function recordOf(host: string, registry = `unix:///run/${host}`): HostRecord {
  const registrar = { name: "root", uuid: crypto.randomUUID(), pid: 1, host };
  return { host, registrar, registry };
}

/** An actor to be published. */
export function put(host: string, uuid: string, name: string = uuid, order = 0): Change {
  const id = { name, uuid, pid: 4_711, host };
  const details = { ...noDetails, metadata: { zone: "a" }, version: "1.2.3", startedAt: 1_700_000_000_000 };
  const stored = new RegistryTable().register(id, [`unix://${host}/run/${uuid}.sock`], undefined, details);
  return { type: "put", uuid, value: encodeEntry(stored, order) };
}

export function remove(uuid: string): Change {
  return { type: "remove", uuid };
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
