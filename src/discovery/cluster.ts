/**
 * A registrar's part in a cluster: it publishes what is registered here under a lease in a shared directory, and keeps what
 * other hosts publish in its table. Loaded by registrars that have the option `cluster`.
 *
 * Nothing on this host waits for the store. While that can't be reached, what is known of other hosts stays as it is, and
 * those who ask are told that it may be behind.
 */
import type { Runtime } from "../actor/runtime.ts";
import { Deadline, sleep, timing } from "../deadline.ts";
import { asError, HostTakenError, StoreUnavailableError, TimeoutError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { Kind } from "../wire/messages.ts";
import { type ClaimsHost, ClusterClaims } from "./cluster-claims.ts";
import { ClusterStore } from "./cluster-store.ts";
import { Mirror, type MirrorTarget } from "./mirror.ts";
import { Publisher } from "./publisher.ts";
import type { RegistrarService, SharedTable } from "./registrar.ts";
import { retryPause } from "./retry.ts";
import type { Staleness } from "./staleness.ts";
import type { DirectoryStore, Holder, HostLease, HostRecord } from "./store.ts";
import type { MirroredRegistration, RemoteActor, StoredRegistration } from "./stored-registration.ts";

const log = logger("discovery");

/** How long to leave a store alone that has failed, and a host that another registry has. With jitter. */
const retryMs = 500;
/** How old the store's last sign of life may be: it gives one every second. */
const silentMs = 4_000;
/** How long an orderly end waits for the store. */
const leaveMs = 1_000;

export class Cluster implements SharedTable, MirrorTarget, ClaimsHost {
  readonly host: string;
  /** Resolves when that is so for the first time, or has taken too long. */
  readonly arrived: Promise<void>;
  /** Resolves when this host publishes, too; rejects if its first attempt to do so fails. */
  readonly joined: Promise<void>;
  readonly #service: RegistrarService;
  readonly #cluster: ClusterStore;
  readonly #record: HostRecord;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal = this.#stop.signal;
  readonly #publisher: Publisher;
  readonly #mirror: Mirror = new Mirror(this);
  readonly claims: ClusterClaims = new ClusterClaims(this, this.#signal);
  readonly #loaded = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();
  /** Those who have asked for something, and so are told of the staleness. */
  readonly #told = new Set<Session>();
  readonly #undo: () => void;
  readonly #running: Promise<void>;
  #lease: HostLease | undefined;
  /** Whether it is stale only because the store has given no sign of life for long. */
  #isSilent = false;
  #staleness: Staleness | undefined;
  /** When all was here, by the store's last sign of life; undefined if there was none, or the store gives none. */
  #provenAt: number | undefined;
  /** What the log has said last of the store. */
  #trouble: string | undefined;

  /** Begins to share the table of `service`. */
  constructor(
    service: RegistrarService,
    runtime: Runtime,
    cluster: ClusterStore,
    registryAddrs: readonly Address[],
  ) {
    this.host = runtime.id.host;
    this.#publisher = new Publisher(this.host, this.#signal);
    this.#service = service;
    this.#cluster = cluster;
    this.#record = { host: this.host, registrar: runtime.id, registry: registryAddrs.toSorted().join(",") };
    this.#staleness = {
      sinceMs: performance.now(),
      reason: `${cluster.description} has not been read yet`,
    };
    this.arrived = Promise.race([
      this.#loaded.promise,
      sleep(timing.firstLoadMs, this.#signal).catch(() => {}),
    ]);
    this.joined = Promise.all([this.#loaded.promise, this.#opened.promise]).then(() => {});
    this.joined.catch(() => {});
    this.#undo = runtime.watchSessions((session) => this.#told.delete(session));
    service.share(this);
    this.#running = this.#run().catch((error: unknown) => {
      log.error?.(`the cluster: ${asError(error).stack}`);
    });
  }

  /**
   * Waits for the first state, but not long; with `isRequired` until this host publishes, too.
   *
   * @throws {StoreUnavailableError | HostTakenError} with `isRequired`, if the store can't be reached before the deadline
   */
  async settle(isRequired: boolean, deadline: Deadline): Promise<void> {
    try {
      await deadline.race("wait", isRequired ? this.joined : this.arrived);
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      throw new StoreUnavailableError(`requireCluster: ${this.trouble}`, { cause: error });
    }
    const { staleness } = this;
    if (staleness !== undefined) log.warn?.(`going on without other hosts: ${this.trouble}`);
  }

  /** Undefined while all that other hosts publish is here. */
  get staleness(): Staleness | undefined {
    this.#noticeSilence();
    return this.#staleness;
  }

  get trouble(): string {
    return this.#trouble ?? this.staleness?.reason ?? `${this.#cluster.description} is not ready`;
  }

  get stats(): { mirrored: number; hosts: number; stale: boolean } {
    const hosts = Array.from(this.#mirror.hosts()).length;
    return { mirrored: this.#mirror.size, hosts, stale: this.staleness !== undefined };
  }

  holder(name: string): Holder | undefined {
    return this.#mirror.holder(name);
  }

  // what the registrar reports

  yield(uuid: string): MirroredRegistration | undefined {
    return this.#mirror.yield(uuid);
  }

  put(stored: StoredRegistration): void {
    this.#publisher.put(stored);
  }

  remove(stored: StoredRegistration): boolean {
    const { uuid } = stored;
    this.#publisher.remove(uuid);
    const show = (actor: RemoteActor): MirroredRegistration => this.#service.showRemote(actor, stored);
    return this.#mirror.standIn(uuid, show) !== undefined;
  }

  /** A peer asks for something: from now on it knows whether the answers may be behind. */
  onQuestion(session: Session): void {
    // if so, the peer hears of it before it has its answer
    this.#noticeSilence();
    if (this.#told.has(session)) return;
    this.#told.add(session);
    this.#tell(session);
  }

  // what the mirror reports

  isRegistered(uuid: string): boolean {
    return this.#publisher.has(uuid);
  }

  show(actor: RemoteActor, former: MirroredRegistration | undefined): MirroredRegistration {
    return this.#service.showRemote(actor, former);
  }

  hide(stored: MirroredRegistration): void {
    this.#service.hideRemote(stored);
  }

  get idle(): Promise<void> | undefined {
    return this.#service.idle;
  }

  onClaim(name: string): void {
    this.#service.onElsewhere(name);
    this.claims.recheck(name);
  }

  onStale(sinceMs: number): void {
    this.#isSilent = false;
    if (this.#staleness !== undefined) return;
    const reason = `${this.#cluster.description} can't be reached`;
    log.warn?.(`${reason}: what is known of other hosts may be behind`);
    this.#setStaleness({ sinceMs, reason });
  }

  onFresh(): void {
    this.#loaded.resolve();
    if (this.#staleness === undefined) return;
    this.#isSilent = false;
    // a long load is a sign of life, too
    if (this.#provenAt !== undefined) this.#provenAt = performance.now();
    const { mirrored, hosts } = this.stats;
    log.info?.(`${this.#cluster.description}: other hosts: ${hosts}, with ${mirrored} actors`);
    this.#setStaleness(undefined);
  }

  onProven(atMs: number): void {
    // asked before this process was stopped, or before a long load
    if (performance.now() - atMs > silentMs) {
      this.#provenAt ??= atMs;
      return;
    }
    if (this.#isSilent) this.onFresh();
    this.#provenAt = atMs;
  }

  /**
   * Leaves the cluster in order. The entries of this host go at once, unless others are registered here: for these the next
   * registrar of this host takes the entries over.
   */
  async leave(): Promise<void> {
    const lease = this.#lease;
    const deadline = new Deadline({ timeout: leaveMs }, "leaving of the cluster");
    if (lease !== undefined && this.#publisher.size === 0) await lease.release({ timeoutMs: leaveMs });
    else if (lease !== undefined)
      await deadline.race("stop", this.#publisher.published ?? Promise.resolve()).catch(() => {});
    this.end();
    // what still runs there is noted in the log
    await deadline.race("stop", this.#running).catch(() => {});
  }

  /** Stops sharing. What this host has published stays for the next registrar, or until it lapses. */
  end(): void {
    if (this.#signal.aborted) return;
    this.#lease?.abandon();
    this.#lease = undefined;
    this.#publisher.use(undefined);
    this.claims.use(undefined);
    this.claims.refuse("this actor is no longer the registrar");
    this.#stop.abort();
    this.#mirror.close();
    this.#undo();
    this.#loaded.resolve();
    this.#opened.reject(new StoreUnavailableError("this actor is no longer the registrar"));
  }

  async #run(): Promise<void> {
    let store: DirectoryStore;
    try {
      store = await ClusterStore.open(this.#cluster);
    } catch (error) {
      this.#fail(error);
      return;
    }
    try {
      await Promise.all([this.#follow(store), this.#publish(store)]);
    } finally {
      await store[Symbol.asyncDispose]();
    }
  }

  async #follow(store: DirectoryStore): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        await store.follow(this.#mirror, this.#signal);
      } catch (error) {
        if (this.#signal.aborted) return;
        log.error?.(`cannot follow ${store.description}: ${asError(error).stack}`);
        await retryPause(retryMs, this.#signal);
      }
    }
  }

  /** Keeps a lease for this host, and what is registered here under it. */
  async #publish(store: DirectoryStore): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        const { ttlMs } = this.#cluster;
        await this.#publishUnder(await store.open(this.#record, { ttlMs, signal: this.#signal }));
      } catch (error) {
        if (this.#signal.aborted) return;
        this.#fail(error);
        await retryPause(retryMs, this.#signal);
      }
    }
  }

  /** Until the lease is lost, or this ends. */
  async #publishUnder(lease: HostLease): Promise<void> {
    if (this.#signal.aborted) return lease.abandon();
    this.#trouble = undefined;
    this.#lease = lease;
    this.#opened.resolve();
    this.#publisher.use(lease);
    this.claims.use(lease);
    void this.#settleLease(lease);
    const ended = Promise.withResolvers<void>();
    const onAbort = (): void => ended.resolve();
    this.#signal.addEventListener("abort", onAbort, { once: true });
    await Promise.race([lease.lost, ended.promise]);
    this.#signal.removeEventListener("abort", onAbort);
    if (this.#signal.aborted) return;
    log.warn?.(`the lease of this host in ${this.#cluster.description} is gone: publishing all again`);
    this.#lease = undefined;
    this.#publisher.use(undefined);
    this.claims.use(undefined);
  }

  /** Takes back what an earlier lease has left, once all that were registered before are back and published. */
  async #settleLease(lease: HostLease): Promise<void> {
    await this.#publisher.whole;
    await this.#service.awaited();
    while (lease === this.#lease) {
      try {
        await this.#publisher.whole;
        // else a name that is held here could go to another host, with the claim of an earlier lease
        await this.claims.confirmed;
        if (lease === this.#lease) await lease.settle();
        return;
      } catch (error) {
        log.info?.(`cannot settle the lease: ${asError(error).message}`);
        await retryPause(retryMs, this.#signal);
      }
    }
  }

  #fail(thrown: unknown): void {
    const error = asError(thrown);
    this.#opened.reject(error);
    this.claims.refuse(error.message);
    if (error.message === this.#trouble) return;
    this.#trouble = error.message;
    const isExpected = error instanceof StoreUnavailableError || error instanceof HostTakenError;
    log.warn?.(`other hosts don't see this one: ${isExpected ? error.message : error.stack}`);
  }

  /** This process may have been stopped, and not have heard yet what it has missed. */
  #noticeSilence(): void {
    const provenAt = this.#provenAt;
    if (this.#staleness !== undefined || provenAt === undefined) return;
    if (performance.now() - provenAt <= silentMs) return;
    this.onStale(provenAt);
    this.#isSilent = true;
  }

  #setStaleness(staleness: Staleness | undefined): void {
    this.#staleness = staleness;
    for (const session of this.#told) this.#tell(session);
  }

  #tell({ peer: { channel } }: Session): void {
    const staleness = this.#staleness;
    channel.post(
      staleness === undefined
        ? [Kind.store, null]
        : [Kind.store, Math.round(performance.now() - staleness.sinceMs), staleness.reason],
    );
  }
}
