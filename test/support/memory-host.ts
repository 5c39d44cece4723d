/** A host of a cluster without processes: a table, what it publishes and what it mirrors, over a directory in memory. */
import type { MemoryDirectory } from "../../src/discovery/memory-directory.ts";
import { MemoryStore } from "../../src/discovery/memory-store.ts";
import { Mirror, type MirrorTarget } from "../../src/discovery/mirror.ts";
import { Publisher } from "../../src/discovery/publisher.ts";
import type { HostLease } from "../../src/discovery/store.ts";
import type {
  MirroredRegistration,
  RemoteActor,
  StoredRegistration,
} from "../../src/discovery/stored-registration.ts";
import { RegistryTable } from "../../src/discovery/table.ts";
import type { Details } from "../../src/actor/details.ts";

export class MemoryHost implements MirrorTarget, AsyncDisposable {
  readonly table: RegistryTable = new RegistryTable();
  readonly host: string;
  readonly store: MemoryStore;
  readonly mirror: Mirror = new Mirror(this);
  readonly publisher: Publisher;
  /** `+uuid` up, `~uuid` changed, `-uuid` down, of the actors of other hosts. */
  readonly events: string[] = [];
  readonly claims: string[] = [];
  isStale = true;
  lease: HostLease | undefined;
  #changesLeft = Infinity;
  #idle: Promise<void> | undefined;
  readonly #stop = new AbortController();
  readonly #followed: Promise<void>;
  readonly #own = new Map<string, StoredRegistration>();

  constructor(directory: MemoryDirectory, host: string) {
    this.host = host;
    this.store = new MemoryStore(directory, host);
    this.publisher = new Publisher(host, this.#stop.signal);
    this.#followed = this.store.follow(this.mirror, this.#stop.signal);
  }

  async open(ttlMs = 60_000): Promise<HostLease> {
    const registrar = { name: "registrar", uuid: `r-${this.host}`, pid: 1, host: this.host };
    const record = { host: this.host, registrar, registry: "unix:///r" };
    this.lease = await this.store.open(record, { ttlMs });
    this.publisher.use(this.lease);
    await this.publisher.whole;
    await this.lease.settle();
    return this.lease;
  }

  register(name: string, uuid: string, details?: Partial<Details>, host: string = this.host): void {
    const former = this.#own.get(uuid) ?? this.mirror.yield(uuid);
    const own = former?.details;
    const merged = {
      version: null,
      metadata: {},
      parent: null,
      startedAt: 1,
      functions: [],
      ...own,
      ...details,
    };
    const full: Details = { state: "ready", ...merged };
    const stored = this.table.register({ name, uuid, pid: 7, host }, [`tcp://${host}:1`], former, full);
    this.#own.set(uuid, stored);
    this.publisher.put(stored);
  }

  unregister(uuid: string): void {
    const stored = this.#own.get(uuid);
    if (stored === undefined) return;
    this.#own.delete(uuid);
    this.publisher.remove(uuid);
    if (this.mirror.standIn(uuid, (actor) => this.table.mirror(actor, stored)) === undefined)
      this.table.unregister(stored);
  }

  get own(): readonly string[] {
    return Array.from(this.#own.keys());
  }

  /** What is in the table, as lines: name, uuid, host, metadata, state. */
  get shown(): string[] {
    const lines = Array.from(this.table.entries(), ({ name, uuid, host, details }) =>
      [name, uuid, host, JSON.stringify(details.metadata), details.state].join(" "),
    );
    return lines.toSorted();
  }

  isRegistered(uuid: string): boolean {
    return this.#own.has(uuid);
  }

  /** After so many more changes it isn't idle before that has resolved. */
  idleAfter(changes: number, idle: Promise<void> | undefined): void {
    this.#changesLeft = changes;
    this.#idle = idle;
    void idle?.then(() => (this.#idle = undefined));
  }

  get idle(): Promise<void> | undefined {
    return this.#changesLeft > 0 ? undefined : this.#idle;
  }

  show(actor: RemoteActor, former: MirroredRegistration | undefined): MirroredRegistration {
    this.#changesLeft--;
    this.events.push(`${former === undefined ? "+" : "~"}${actor.uuid}`);
    return this.table.mirror(actor, former);
  }

  hide(stored: MirroredRegistration): void {
    this.events.push(`-${stored.uuid}`);
    if (this.table.unregister(stored) === 0) throw new Error(`${stored.uuid} was not in the table`);
  }

  onClaim(name: string): void {
    this.claims.push(name);
  }

  onStale(): void {
    this.isStale = true;
  }

  onFresh(): void {
    this.isStale = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.mirror.close();
    await this.store[Symbol.asyncDispose]();
    await this.#followed;
  }
}
