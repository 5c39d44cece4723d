/** The directory of a cluster on etcd: `DirectoryStore` over one client. */
import { checkSuccession } from "../discovery/succession.ts";
import type {
  DirectoryStore,
  Holder,
  HostLease,
  HostRecord,
  OpenOptions,
  Sink,
  StoreOptions,
} from "../discovery/store.ts";
import { StoreUnavailableError } from "../errors.ts";
import { logger } from "../log.ts";
import { type ClientOptions, defaultTimeoutMs, EtcdClient } from "./client.ts";
import { Follower } from "./follower.ts";
import { Keys } from "./keys.ts";
import { EtcdLease, firstNumber, type OpenedLease } from "./lease.ts";
import {
  type Condition,
  decodeNothing,
  decodeRange,
  decodeTransaction,
  encodeGrant,
  encodeRange,
  encodeTransaction,
  type KeyValue,
  methods,
} from "./messages.ts";
import { decodeHolder, decodeHost, encodeHost, type StoredHost } from "./records.ts";
import { Status, StatusError } from "./status.ts";

const log = logger("discovery");
/** A successor of many registrars that died one after the other knows so many of their leases; older ones lapse. */
const maxFormerLeases = 8;

export class EtcdStore implements DirectoryStore {
  readonly description: string;
  readonly #client: EtcdClient;
  readonly #keys: Keys;
  readonly #ended = new AbortController();
  readonly #leases = new Set<EtcdLease>();
  readonly #followers = new Set<Promise<void>>();
  /** The hosts that this store has had a lease of. */
  readonly #held = new Set<string>();

  constructor(options: ClientOptions, space: string) {
    this.description = options.description;
    this.#client = new EtcdClient(options);
    this.#keys = new Keys(space);
  }

  async open(
    host: HostRecord,
    { ttlMs, signal, timeoutMs = defaultTimeoutMs }: OpenOptions,
  ): Promise<HostLease> {
    const until = performance.now() + timeoutMs;
    const left = (): StoreOptions => ({ signal, timeoutMs: Math.max(0, until - performance.now()) });
    await this.#identify(left());
    const former = await this.#host(host, left());
    // if what follows fails, it lapses
    const { id, sentAt } = await this.#grant(ttlMs, left());
    const opened = await this.#enter({ host, id, ttlMs, validUntil: sentAt + ttlMs }, former, left());
    const lease = new EtcdLease(this.#client, this.#keys, opened);
    this.#leases.add(lease);
    this.#held.add(host.host);
    void lease.lost.then(() => this.#leases.delete(lease));
    return lease;
  }

  async holder(name: string, options: StoreOptions = {}): Promise<Holder | null> {
    const pair = await this.#read(this.#keys.claim(name), options);
    return pair === undefined ? null : decodeHolder(pair);
  }

  async follow(sink: Sink, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, this.#ended.signal]);
    const verify = (): void => this.#leases.forEach((lease) => lease.verify());
    const following = new Follower(this.#client, this.#keys, sink, until, verify).run();
    const settled = following.catch(() => {});
    this.#followers.add(settled);
    try {
      await following;
    } finally {
      this.#followers.delete(settled);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lease of this.#leases) lease.abandon();
    this.#leases.clear();
    this.#ended.abort();
    this.#client.close();
    await Promise.all(this.#followers);
  }

  /** Gives the directory its identity if it has none. */
  async #identify(options: StoreOptions): Promise<void> {
    const key = this.#keys.identity;
    const identity = { put: key, value: crypto.getRandomValues(new Uint8Array(8)), lease: 0 };
    const isNew: Condition = { key, is: "created", value: 0 };
    const request = encodeTransaction([isNew], [identity], []);
    await this.#client.call(methods.transaction, request, decodeNothing, options);
  }

  /** The host's key, if it has one. @throws {HostTakenError} if it belongs to another registry */
  async #host(host: HostRecord, options: StoreOptions): Promise<KeyValue | undefined> {
    const pair = await this.#read(this.#keys.host(host.host), options);
    this.#succeed(host, pair);
    return pair;
  }

  async #grant(ttlMs: number, options: StoreOptions): Promise<{ id: number; sentAt: number }> {
    // exact as a number, and unlike any other
    const id = 1 + Math.floor(Math.random() * (Number.MAX_SAFE_INTEGER - 1));
    const sentAt = performance.now();
    try {
      const request = encodeGrant(id, Math.ceil(ttlMs / 1_000));
      const expect = [Status.failedPrecondition];
      await this.#client.call(methods.grant, request, decodeNothing, { ...options, expect });
    } catch (error) {
      // "lease already exists": an earlier attempt was answered too late
      if (!(error instanceof StatusError)) throw error;
    }
    return { id, sentAt };
  }

  /** Makes a lease the host's. */
  async #enter(
    lease: Pick<OpenedLease, "host" | "id" | "ttlMs" | "validUntil">,
    first: KeyValue | undefined,
    options: StoreOptions,
  ): Promise<OpenedLease> {
    const { host, id, ttlMs } = lease;
    const key = this.#keys.host(host.host);
    let former = first;
    for (;;) {
      const before = this.#succeed(host, former);
      const formerLeases = leasesOf(former, before);
      const epoch = (before?.epoch ?? 0) + 1;
      const value = encodeHost({ ...host, epoch, ttlMs, content: null, formerLeases });
      const isSame: Condition = { key, is: "changed", value: former?.changed ?? 0 };
      const numbers = [this.#keys.lastWrite(host.host), this.#keys.claimRound(host.host)];
      const puts = [
        { put: key, value, lease: id },
        ...numbers.map((number) => ({ put: number, value: firstNumber, lease: id })),
      ];
      const request = encodeTransaction([isSame], puts, [{ read: key }]);
      const answer = await this.#client.call(methods.transaction, request, decodeTransaction, options);
      const [now] = answer.found;
      if (answer.succeeded || now?.lease === id) return { ...lease, epoch, formerLeases };
      former = now;
    }
  }

  /**
   * The record that the host's key holds. One that can't be read and that nobody keeps is replaced.
   *
   * @throws {HostTakenError} if it belongs to another registry
   * @throws {StoreUnavailableError} if it can't be read, and somebody keeps it
   */
  #succeed(host: HostRecord, pair: KeyValue | undefined): StoredHost | undefined {
    if (pair === undefined) return undefined;
    let before: StoredHost;
    try {
      before = decodeHost(host.host, pair.value);
    } catch (error) {
      const text = `the record of host ${host.host} in ${this.description} can't be read`;
      if (pair.lease !== 0)
        throw new StoreUnavailableError(`${text}: does another version of furrow keep it?`, { cause: error });
      log.warn?.(`${text}, and nobody keeps it: replacing it`);
      return undefined;
    }
    checkSuccession(host, before, this.#held.has(host.host));
    return before;
  }

  async #read(key: Uint8Array, options: StoreOptions): Promise<KeyValue | undefined> {
    const answer = await this.#client.call(methods.range, encodeRange({ key }), decodeRange, options);
    return answer.pairs[0];
  }
}

function leasesOf(pair: KeyValue | undefined, host: StoredHost | undefined): number[] {
  if (pair === undefined || host === undefined) return [];
  return [...host.formerLeases, pair.lease].filter((lease) => lease > 0).slice(-maxFormerLeases);
}
