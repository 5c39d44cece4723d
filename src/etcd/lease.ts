/**
 * A host's lease in etcd.
 *
 * Each write changes the host's key `w/<host>` from the number of the write before to its own, in the same transaction. So
 * a write that is repeated after a timeout isn't done twice, one that arrives late isn't done at all, and a registrar whose
 * lease is gone, or that has a successor, can't write any more.
 */
import { HostContent } from "../discovery/host-content.ts";
import type { Revision } from "../discovery/remote-entry.ts";
import { transactionsOf } from "../discovery/transactions.ts";
import { StoreUnavailableError } from "../errors.ts";
import { logger } from "../log.ts";
import type { Change, Claim, Holder, HostLease, HostRecord, StoreOptions } from "../discovery/store.ts";
import { type ClaimsLease, HostClaims, textOf } from "./claims.ts";
import type { EtcdClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import {
  type Condition,
  decodeKeepAlive,
  decodeNothing,
  decodeRange,
  decodeTransaction,
  encodeLease,
  encodeRange,
  encodeTransaction,
  type KeyValue,
  methods,
  type Operation,
  type TransactionAnswer,
} from "./messages.ts";
import { encodeHost } from "./records.ts";
import { Status } from "./status.ts";
import { attemptMs, etcdTiming } from "./timing.ts";

const log = logger("discovery");
/** How long `release` waits for the store by default: what isn't revoked lapses. */
const releaseTimeoutMs = 2_000;
/** In one transaction. */
const maxRemovals = 100;
const encoder = new TextEncoder();

/** A lease that was granted, and is the host's. */
export interface OpenedLease {
  readonly id: number;
  readonly host: HostRecord;
  readonly epoch: number;
  readonly ttlMs: number;
  /** Under which earlier registrars of the host may have left something. */
  readonly formerLeases: readonly number[];
  readonly validUntil: number;
}

/** The value of `w/<host>` before the first write, and of `x/<host>` in the first round. */
export const firstNumber: Uint8Array = encoder.encode("0");

/** A write that may have been done: no answer came. */
interface Doubtful {
  readonly mark: string;
  readonly onDone: () => void;
}

export class EtcdLease implements HostLease {
  readonly epoch: number;
  readonly lost: Promise<void>;
  validUntil: number;
  readonly #client: EtcdClient;
  readonly #keys: Keys;
  readonly #opened: OpenedLease;
  readonly #content = new HostContent();
  readonly #lose: () => void;
  readonly #ended = new AbortController();
  /** Under which there may still be something. */
  #formerLeases: readonly number[];
  #isSettled = false;
  /** The revision of the last write. */
  #at: Revision = 0;
  /** The number of the last write, and the value of `w/<host>` as far as we know. */
  #writes = 0;
  #mark = "0";
  #doubtful: Doubtful[] = [];
  readonly #claims: HostClaims;
  #last: Promise<unknown> = Promise.resolve();
  #renewal: Timer | undefined;

  constructor(client: EtcdClient, keys: Keys, opened: OpenedLease) {
    this.#client = client;
    this.#keys = keys;
    this.#opened = opened;
    this.epoch = opened.epoch;
    this.validUntil = opened.validUntil;
    this.#formerLeases = opened.formerLeases;
    ({ promise: this.lost, resolve: this.#lose } = Promise.withResolvers<void>());
    const lease: ClaimsLease = {
      id: opened.id,
      host: opened.host.host,
      isOurs: this.#isOurs,
      transact: (...transaction) => this.#transact(...transaction),
      checkOurs: (pair) => this.#checkOurs(pair),
      gone: () => this.#gone(),
    };
    this.#claims = new HostClaims(lease, keys);
    this.#renewIn(this.#untilRenewal);
    this.#renewFormer();
  }

  apply(changes: readonly Change[], options: StoreOptions = {}): Promise<Revision> {
    return this.#inOrder(async () => {
      this.#ended.signal.throwIfAborted();
      if (this.#doubtful.length > 0) await this.#resolveDoubts(options);
      for (const part of transactionsOf(this.#content.needed(changes, this.#isSettled))) {
        const operations = part.map((change) => this.#operationOf(change));
        await this.#write(operations, () => this.#content.apply(part), options);
      }
      return this.#at;
    });
  }

  settle(options: StoreOptions = {}): Promise<void> {
    return this.#inOrder(async () => {
      for (const lease of this.#formerLeases) {
        await this.#revoke(lease, options);
      }
      this.#formerLeases = [];
      this.#isSettled = true;
      await this.#writeRecord(options);
    });
  }

  /**
   * Finds out, in the background, whether the store still has what this host has written. If it was restored from an earlier
   * copy, or somebody has removed something, the lease is lost: then everything is published again.
   */
  verify(): void {
    this.#inOrder(async () => {
      if (this.#ended.signal.aborted) return;
      if (this.#doubtful.length > 0) await this.#resolveDoubts({});
      const { host } = this.#opened.host;
      const { found, counts } = await this.#transact(
        [],
        [
          { read: this.#keys.lastWrite(host) },
          { read: this.#keys.host(host) },
          { count: this.#keys.entries(host), end: this.#keys.entriesEnd(host) },
        ],
        [],
        {},
      );
      const [lastWrite, record] = found;
      const [, , count = 0] = counts;
      const expected = this.#isSettled ? this.#content.summary.count : count;
      if (lastWrite?.lease !== this.#opened.id || textOf(lastWrite) !== this.#mark || count < expected) {
        log.warn?.(`the store doesn't have any more what host ${host} has written`);
        this.#gone();
        return;
      }
      if (record === undefined) await this.#writeRecord({});
      if (count > expected) await this.#removeForeign();
    }).catch((error: unknown) => log.debug?.(`what this host has written wasn't verified: ${String(error)}`));
  }

  claim(name: string, uuid: string, options: StoreOptions = {}): Promise<Claim | Holder> {
    return this.#claims.claim(name, uuid, options);
  }

  unclaim(name: string, uuid: string, options: StoreOptions = {}): Promise<void> {
    return this.#claims.unclaim(name, uuid, options);
  }

  async release(options: StoreOptions = {}): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.abandon();
    try {
      await this.#revoke(this.#opened.id, { timeoutMs: releaseTimeoutMs, ...options });
    } catch (error) {
      log.info?.(`the entries of this host stay in the directory until they lapse: ${String(error)}`);
    }
  }

  abandon(): void {
    this.#ended.abort(new StoreUnavailableError(`the lease of host ${this.#opened.host.host} was given up`));
    clearTimeout(this.#renewal);
  }

  get #isOurs(): Condition {
    return { key: this.#keys.lastWrite(this.#opened.host.host), is: "lease", value: this.#opened.id };
  }

  #operationOf(change: Change): Operation {
    const key = this.#keys.entry(this.#opened.host.host, change.uuid);
    return change.type === "remove"
      ? { remove: key }
      : { put: key, value: change.value, lease: this.#opened.id };
  }

  /** Finds out whether writes that failed were done, so that they needn't be repeated. */
  #resolveDoubts(options: StoreOptions): Promise<void> {
    // what doesn't change anything is a write too, and puts an end to those that are still on their way
    return this.#write([], () => {}, options);
  }

  /** Does the operations once, and then calls `onDone`; that may be later if this throws. */
  async #write(operations: readonly Operation[], onDone: () => void, options: StoreOptions): Promise<void> {
    const { id, host } = this.#opened;
    const key = this.#keys.lastWrite(host.host);
    const mark = String(++this.#writes);
    const put: Operation = { put: key, value: encoder.encode(mark), lease: id };
    for (;;) {
      const isNext: Condition = { key, is: "value", value: encoder.encode(this.#mark) };
      let answer: TransactionAnswer;
      try {
        answer = await this.#transact([isNext, this.#isOurs], [...operations, put], [{ read: key }], options);
      } catch (error) {
        this.#doubtful.push({ mark, onDone });
        throw error;
      }
      if (answer.succeeded) return this.#advance(mark, answer.header.revision, onDone);
      const [lastWrite] = answer.found;
      this.#checkOurs(lastWrite);
      const seen = textOf(lastWrite);
      if (seen === mark) return this.#advance(mark, lastWrite!.changed, onDone);
      const done = this.#doubtful.find((one) => one.mark === seen);
      if (done === undefined) throw this.#gone();
      this.#advance(seen, lastWrite!.changed, done.onDone);
    }
  }

  #advance(mark: string, at: Revision, onDone: () => void): void {
    this.#mark = mark;
    this.#at = at;
    // those that weren't done until now never will be
    this.#doubtful = [];
    onDone();
  }

  async #writeRecord(options: StoreOptions): Promise<void> {
    // else the record could leave out what was done unheard
    if (this.#doubtful.length > 0) await this.#resolveDoubts(options);
    const { id, host, ttlMs } = this.#opened;
    const content = this.#isSettled ? this.#content.summary : null;
    const value = encodeHost({
      ...host,
      epoch: this.epoch,
      ttlMs,
      content,
      formerLeases: this.#formerLeases,
    });
    this.#content.isDirty = false;
    const put = { put: this.#keys.host(host.host), value, lease: id };
    try {
      await this.#write([put], () => {}, options);
    } catch (error) {
      this.#content.isDirty = true;
      throw error;
    }
  }

  async #transact(
    conditions: readonly Condition[],
    then: readonly Operation[],
    otherwise: readonly Operation[],
    options: StoreOptions,
    onRepeat?: () => void,
  ): Promise<TransactionAnswer> {
    const { signal } = this.#ended;
    signal.throwIfAborted();
    const until = options.signal === undefined ? signal : AbortSignal.any([options.signal, signal]);
    const request = encodeTransaction(conditions, then, otherwise);
    return await this.#client.call(methods.transaction, request, decodeTransaction, {
      timeoutMs: options.timeoutMs,
      signal: until,
      onRepeat,
    });
  }

  async #revoke(lease: number, options: StoreOptions): Promise<void> {
    try {
      const expect = [Status.notFound];
      await this.#client.call(methods.revoke, encodeLease(lease), decodeNothing, { ...options, expect });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** `pair`: the host's last write, as it was found. @throws {StoreUnavailableError} if it isn't this lease's */
  #checkOurs(pair: KeyValue | undefined): void {
    if (pair?.lease !== this.#opened.id) throw this.#gone();
  }

  #gone(): StoreUnavailableError {
    const gone = new StoreUnavailableError(`the lease of host ${this.#opened.host.host} is gone`);
    if (!this.#ended.signal.aborted) {
      this.#ended.abort(gone);
      clearTimeout(this.#renewal);
      this.#lose();
    }
    return gone;
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#renewal);
    if (this.#ended.signal.aborted) return;
    this.#renewal = setTimeout(() => void this.#renew(0), ms);
    this.#renewal.unref();
  }

  /** Renews the lease, and goes on doing so: after a failure soon, and with growing patience. */
  async #renew(tries: number): Promise<void> {
    const { id, ttlMs } = this.#opened;
    const timeoutMs = attemptMs(tries);
    const { signal } = this.#ended;
    const sentAt = performance.now();
    try {
      const bounds = { timeoutMs, totalMs: timeoutMs, signal };
      const left = await this.#client.attempt(methods.keepAlive, encodeLease(id), decodeKeepAlive, bounds);
      if (left <= 0) {
        this.#gone();
        return;
      }
      this.validUntil = sentAt + ttlMs;
      this.#renewIn(this.#untilRenewal);
      this.#renewFormer();
      this.#refreshRecord();
      this.verify();
    } catch (error) {
      if (signal.aborted) return;
      log.info?.(`a renewal of this host's lease failed: ${String(error)}`);
      await this.#client.pause(tries, signal, ttlMs).catch(() => {});
      if (!signal.aborted) void this.#renew(tries + 1);
    }
  }

  /** A third of the ttl after the last one was sent, or now. */
  get #untilRenewal(): number {
    return Math.max(0, this.validUntil - (2 * this.#opened.ttlMs) / 3 - performance.now());
  }

  /** The leases of earlier registrars stay until this one has settled: those that come back are still to be found. */
  #renewFormer(): void {
    const { signal } = this.#ended;
    const bounds = { timeoutMs: etcdTiming.attemptMs, isFair: false, signal };
    for (const lease of this.#formerLeases)
      this.#client
        .attempt(methods.keepAlive, encodeLease(lease), decodeKeepAlive, bounds)
        .catch((error: unknown) => {
          if (!signal.aborted) log.debug?.(`a former lease of this host wasn't renewed: ${String(error)}`);
        });
  }

  /** Removes what stands among this host's entries and isn't its own. */
  async #removeForeign(): Promise<void> {
    const { host } = this.#opened.host;
    const range = { key: this.#keys.entries(host), end: this.#keys.entriesEnd(host), isKeysOnly: true };
    const { signal } = this.#ended;
    const { pairs } = await this.#client.call(methods.range, encodeRange(range), decodeRange, { signal });
    const foreign = pairs.filter(({ key }) => {
      const place = this.#keys.read(key);
      return place.kind !== "entry" || !this.#content.has(place.uuid);
    });
    if (foreign.length === 0) return;
    const what = foreign.length === 1 ? "an entry" : `${foreign.length} entries`;
    log.warn?.(`removing ${what} of host ${host} from the store that it hasn't written`);
    for (let at = 0; at < foreign.length; at += maxRemovals) {
      const removals = foreign.slice(at, at + maxRemovals).map(({ key }) => ({ remove: key }));
      await this.#write(removals, () => {}, {});
    }
  }

  /** Brings the record's count and digest up to date. */
  #refreshRecord(): void {
    if (!this.#isSettled || !this.#content.isDirty) return;
    this.#inOrder(async () => {
      if (this.#content.isDirty) await this.#writeRecord({});
    }).catch((error: unknown) => log.info?.(`this host's record wasn't written: ${String(error)}`));
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof Error && "status" in error && error.status === Status.notFound;
}
