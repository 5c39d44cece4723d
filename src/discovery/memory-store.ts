/** A host's access to a `MemoryDirectory`: the directory of a cluster for tests, and for several hosts in one process. */
import { StoreUnavailableError } from "../errors.ts";
import { ClusterStore } from "./cluster-store.ts";
import { holderOf, type MemoryDirectory } from "./memory-directory.ts";
import { MemoryFollower } from "./memory-follower.ts";
import { MemoryLease } from "./memory-lease.ts";
import type {
  DirectoryStore,
  Holder,
  HostLease,
  HostRecord,
  OpenOptions,
  Sink,
  StoreOptions,
} from "./store.ts";
import { checkSuccession } from "./succession.ts";

const defaultTimeoutMs = 5_000;

/** The option `cluster` of a root on `host`. */
export function memoryCluster(directory: MemoryDirectory, host: string, ttlMs = 6_000): ClusterStore {
  const open = (): Promise<DirectoryStore> => Promise.resolve(new MemoryStore(directory, host));
  return new ClusterStore(descriptionOf(host), ttlMs, open);
}

function descriptionOf(host: string): string {
  return `a directory in memory, for host ${host}`;
}

export class MemoryStore implements DirectoryStore {
  readonly description: string;
  readonly #directory: MemoryDirectory;
  readonly #host: string;
  readonly #ended = new AbortController();
  readonly #leases = new Set<HostLease>();
  /** The hosts that this store has had a lease of. */
  readonly #held = new Set<string>();

  /** `host` is what `directory.cut` knows it by. */
  constructor(directory: MemoryDirectory, host: string) {
    this.description = descriptionOf(host);
    this.#directory = directory;
    this.#host = host;
  }

  async open(host: HostRecord, { ttlMs, ...options }: OpenOptions): Promise<HostLease> {
    const lease = await this.#ask(options, () => {
      const former = this.#directory.hosts.get(host.host)?.record;
      if (former !== undefined) checkSuccession(host, former, this.#held.has(host.host));
      return new MemoryLease(this.#directory, (bounds, work) => this.#ask(bounds, work), host, ttlMs);
    });
    lease.keep();
    this.#held.add(host.host);
    this.#leases.add(lease);
    return lease;
  }

  holder(name: string, options: StoreOptions = {}): Promise<Holder | null> {
    return this.#ask(options, () => {
      const claim = this.#directory.claims.get(name);
      return claim === undefined ? null : holderOf(claim);
    });
  }

  follow(sink: Sink, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, this.#ended.signal]);
    return new MemoryFollower(this.#directory, this.#host, sink, until).run();
  }

  async #ask<T>({ signal, timeoutMs = defaultTimeoutMs }: StoreOptions, work: () => T): Promise<T> {
    const ends = AbortSignal.any([this.#ended.signal, ...(signal === undefined ? [] : [signal])]);
    const until = performance.now() + timeoutMs;
    let answer: { readonly value: T } | undefined;
    for (;;) {
      await Promise.resolve();
      signal?.throwIfAborted();
      if (this.#ended.signal.aborted) throw new StoreUnavailableError(`${this.description} is closed`);
      const { turn } = this.#directory;
      const cut = this.#directory.cutOf(this.#host);
      if (cut !== "all") answer ??= { value: work() };
      if (cut === undefined && answer !== undefined) return answer.value;
      const left = until - performance.now();
      if (left <= 0) throw new StoreUnavailableError(`${this.description} can't be reached`);
      await this.#directory.change(turn, ends, left);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lease of this.#leases) lease.abandon();
    this.#ended.abort();
  }
}
