/**
 * The directory that the registrars of many machines share. Types only: `etcd/` implements it on etcd, `memory-store.ts`
 * within one process, and `test/conformance/store.test.ts` holds both to it.
 *
 * Each registrar publishes the actors of its host under one lease, and follows what the others publish. When a host dies,
 * its lease ends, and all that it published goes at once. Values are opaque to a store: `remote-entry.ts` makes and reads
 * them.
 */
import type { ActorId } from "../identity.ts";
import type { RemoteEntry, Revision } from "./remote-entry.ts";

export type { Revision } from "./remote-entry.ts";

export interface DirectoryStore extends AsyncDisposable {
  /** For messages: `etcd at https://e1:2379, space "default"`. */
  readonly description: string;
  /**
   * Opens a lease for `host` and enters the host's record. Nothing is published yet: `apply` the whole table next.
   *
   * If an earlier registrar of the same registry left a lease behind, what it published stays visible, until the new one
   * calls `settle` or the old lease lapses. Entries and claims that are put again move to the new lease.
   *
   * @throws {StoreUnavailableError} at the deadline, with the last failure as its cause
   * @throws {HostTakenError} if a registrar of another registry has a live lease of this host; or, when this store had one,
   *   any other registrar: two machines have the same id
   * @throws the reason of `signal`; it has no effect once the lease is open
   */
  open(host: HostRecord, options: OpenOptions): Promise<HostLease>;
  /**
   * Hands `sink` the whole state, and then each change once, in order, until `signal` is aborted; then it resolves. Whenever
   * there might be a gap (the store compacted its history, went back in time, or is another one now), it loads everything
   * again. It never gives up: as long as the store can't be reached, the sink is stale.
   *
   * @throws whatever the sink throws
   */
  follow(sink: Sink, signal: AbortSignal): Promise<void>;
  /**
   * The holder of a claim, or null; never an older answer than that of the store at the time of asking.
   *
   * @throws {StoreUnavailableError} at the deadline
   */
  holder(name: string, options?: StoreOptions): Promise<Holder | null>;
  /** Ends everything that uses this store: leases are abandoned, followers resolve. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StoreOptions {
  /** Aborting rejects with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
  /** The deadline in milliseconds; default 5,000. `apply` and `settle` have it for each transaction, not for all of them. */
  readonly timeoutMs?: number | undefined;
}

export interface OpenOptions extends StoreOptions {
  /** How long the host's entries outlive its last renewal, in milliseconds, from 1,000 in whole seconds. It is renewed every third of that. */
  readonly ttlMs: number;
}

/** Who publishes for a host. */
export interface HostRecord {
  /** `hostId()`, 16 hex digits. */
  readonly host: string;
  /** The registrar. */
  readonly registrar: ActorId;
  /**
   * Tells the registries of one host apart, such as those of two users: the registry's addresses. A registrar of the same
   * registry succeeds one that is dead; one of another registry is refused as long as that lives.
   */
  readonly registry: string;
}

/** A host's lease, and all that it holds: entries and claims. It is renewed until it is released, abandoned or lost. */
export interface HostLease {
  /** One more with each lease of the host. */
  readonly epoch: number;
  /**
   * Until when the store certainly keeps the lease, in milliseconds of `performance.now()`: when the last acknowledged
   * renewal was sent, plus the ttl.
   */
  readonly validUntil: number;
  /**
   * Resolves when the store says that the lease is gone, because it lapsed or another registrar succeeded. Open a new one and
   * apply the whole table again. It doesn't resolve while the store can't be reached, nor after `release` or `abandon`.
   */
  readonly lost: Promise<void>;
  /**
   * Makes the changes, in order, in transactions of at most 100; one after the other if called again meanwhile. Of several
   * changes of one actor only the last is made, and none that is published already. After a failure some of them may have
   * been made: repeat them all.
   *
   * @returns the revision of the last one
   * @throws {StoreUnavailableError} at the deadline, or because the lease is gone; then `lost` resolves too
   * @throws {LimitError} if a value is larger than the store takes
   */
  apply(changes: readonly Change[], options?: StoreOptions): Promise<Revision>;
  /**
   * Removes what an earlier lease of this host published and this one has not put again. Call it, once, when the whole table
   * has been applied: from then on, the host's record says how many entries there are.
   *
   * @throws {StoreUnavailableError} as `apply`; call it again then
   */
  settle(options?: StoreOptions): Promise<void>;
  /**
   * Claims a name for `uuid`, if no one holds it. A claim by the same `uuid` is granted again with the same fence, so after a
   * timeout ask again. If the claim was made under an earlier lease of this host, it moves to this one.
   *
   * @throws {StoreUnavailableError} as `apply`; the claim may have been granted
   */
  claim(name: string, uuid: string, options?: StoreOptions): Promise<Claim | Holder>;
  /** Gives a claim back; does nothing if `uuid` doesn't hold it. @throws {StoreUnavailableError} as `apply` */
  unclaim(name: string, uuid: string, options?: StoreOptions): Promise<void>;
  /** Ends the lease: all entries and claims of this host go at once. If the store can't be reached in time, they lapse instead. Idempotent; never rejects. */
  release(options?: StoreOptions): Promise<void>;
  /** Stops renewing, and leaves the entries to a successor, or else to lapse. */
  abandon(): void;
}

/** What `apply` does to one of the host's entries. `value` is made by `encodeEntry`. */
export type Change =
  | { readonly type: "put"; readonly uuid: string; readonly value: Uint8Array }
  | { readonly type: "remove"; readonly uuid: string };

/** A granted claim. */
export interface Claim {
  readonly type: "granted";
  /** Grows with each claim of the name: a fencing token. */
  readonly fence: Revision;
}

/** Who holds a name that was not granted. */
export interface Holder {
  readonly type: "held";
  readonly uuid: string;
  readonly host: string;
  readonly fence: Revision;
}

/** Receives what a store holds. If `load` or `change` throws, that ends `follow`; `stale` and `fresh` must not throw. */
export interface Sink {
  /**
   * The whole state at a revision, in pages; hosts come after all entries, claims after all hosts. Mark what comes, and when
   * the pages end, sweep what didn't. If iterating throws, sweep nothing: another load follows.
   */
  load(pages: AsyncIterable<readonly RemoteAddition[]>, at: Revision): Promise<void>;
  /**
   * One or more complete revisions, in order; `at` is the last one. All that ends with a lease comes in one batch.
   *
   * @returns false if what the sink holds contradicts a host's record: then everything is loaded again, but not over and over
   */
  change(batch: readonly RemoteChange[], at: Revision): boolean;
  /**
   * What the sink holds may be behind, since then (`performance.now()`). Called before the first load, and again whenever the
   * store has not proven for a while that nothing is missing.
   */
  stale(sinceMs: number): void;
  /** It is complete again, and was so after `stale` at the time of the store's last sign of life. */
  fresh(): void;
  /**
   * It was complete at that time (`performance.now()`), and the store goes on to say so, at least every few seconds. A process
   * that was stopped hears `stale` late: it can tell by this that it may be behind.
   */
  proven?(atMs: number): void;
}

export type RemoteAddition =
  | { readonly type: "put"; readonly entry: RemoteEntry }
  | { readonly type: "host"; readonly host: RemoteHost }
  | { readonly type: "claim"; readonly name: string; readonly holder: Holder };

export type RemoteChange =
  | RemoteAddition
  | { readonly type: "remove"; readonly host: string; readonly uuid: string }
  | { readonly type: "hostGone"; readonly host: string }
  | { readonly type: "unclaim"; readonly name: string };

/** A host, and how much it published. */
export interface RemoteHost extends HostRecord {
  readonly epoch: number;
  readonly ttlMs: number;
  /**
   * How many entries the host had when this was written, and the `entryDigest` of all of them combined by exclusive or; null
   * until it has published its whole table under a new lease. It is written at most every third of the ttl. So compare it when
   * it comes as a change, with what came before it; one that is loaded may be older than the entries.
   */
  readonly content: { readonly count: number; readonly digest: number } | null;
}
