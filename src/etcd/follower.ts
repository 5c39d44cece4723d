/**
 * Brings a directory in etcd to one sink: loads it, and then watches it from the revision of the load.
 *
 * The cursor moves with events only, never with an answer to a progress request, which etcd may send ahead of events
 * (etcd-io/etcd#15220). Each watch that is opened again first makes sure that the store is still the same one, and hasn't gone
 * back in time.
 */
import type { Revision } from "../discovery/remote-entry.ts";
import { asError, FrameError } from "../errors.ts";
import { logger } from "../log.ts";
import type { RemoteAddition, RemoteChange, Sink } from "../discovery/store.ts";
import type { EtcdClient } from "./client.ts";
import { after, type Keys } from "./keys.ts";
import {
  decodeEvent,
  decodeRange,
  encodeRange,
  type KeyValue,
  methods,
  type RangeAnswer,
  type WatchAnswer,
} from "./messages.ts";
import { Freshness } from "./freshness.ts";
import { additionOf, changeOf } from "./records.ts";
import { Status, StatusError } from "./status.ts";
import { etcdTiming } from "./timing.ts";
import { watch } from "./watch.ts";

const log = logger("discovery");
/** Pages of 10,000 stalled the event loop for 300 ms. */
const pageKeys = 1_000;
/** So many of a page are read in one turn. */
const handedKeys = 250;
/** How long a page may take: the next one needs it. */
const pageTimeoutMs = 30_000;
/** So many events are handed on in one turn, and all of one revision. */
const batchEvents = 1_000;

/** Everything has to be loaded again. */
class Doubt extends Error {
  override readonly name = "Doubt";
}

/** What the sink has. */
interface Cursor {
  at: Revision;
  readonly cluster: number;
  /** Empty until the directory is used for the first time. */
  identity: string;
}

export class Follower {
  readonly #client: EtcdClient;
  readonly #keys: Keys;
  readonly #sink: Sink;
  readonly #signal: AbortSignal;
  readonly #freshness: Freshness;
  readonly #onDoubt: () => void;
  #cursor: Cursor | undefined;
  #hasWatched = false;
  /** What the sink threw. */
  #fault: { readonly error: unknown } | undefined;
  /** When everything will be loaded again, because a host's record contradicts what was received. */
  #reloadAt: number | undefined;
  /** Such loads in a row, and when the last one began. */
  #reloads = 0;
  #reloadedAt = Number.NEGATIVE_INFINITY;

  /** `onDoubt` is called when the store isn't what it was: what was written to it may be gone. */
  constructor(
    client: EtcdClient,
    keys: Keys,
    sink: Sink,
    signal: AbortSignal,
    onDoubt: () => void = () => {},
  ) {
    this.#onDoubt = onDoubt;
    this.#client = client;
    this.#keys = keys;
    this.#sink = sink;
    this.#signal = signal;
    this.#freshness = new Freshness(sink);
  }

  /** Until the abort. @throws whatever the sink throws */
  async run(): Promise<void> {
    const signal = this.#signal;
    try {
      this.#guarded(() => this.#freshness.begin());
      for (let tries = 0; !signal.aborted; tries++) {
        if (await this.#round()) tries = -1;
        else await this.#client.pause(tries, signal, etcdTiming.longestPauseMs);
      }
    } catch (error) {
      if (this.#fault !== undefined) throw this.#fault.error;
      if (!signal.aborted) throw error;
    } finally {
      this.#freshness.end();
    }
  }

  /** Loads if need be, and watches until that ends; whether the watch ever worked. */
  async #round(): Promise<boolean> {
    this.#hasWatched = false;
    try {
      if (this.#cursor === undefined) await this.#load();
      else await this.#recognise(this.#cursor);
      await this.#watch(this.#cursor!);
    } catch (error) {
      if (this.#fault !== undefined || this.#signal.aborted) throw error;
      log.info?.(`${this.#client.description}: following was interrupted: ${asError(error).message}`);
      if (error instanceof Doubt) {
        this.#cursor = undefined;
        this.#onDoubt();
      }
      if (error instanceof FrameError) {
        this.#client.distrust(error);
        this.#hasWatched = false;
      }
    }
    this.#freshness.interrupt();
    return this.#hasWatched;
  }

  async #load(): Promise<void> {
    const sentAt = performance.now();
    const { hosts, hostsEnd } = this.#keys;
    const first = await this.#page(hosts, hostsEnd, 0);
    const load = { identity: "", failure: undefined as unknown };
    const pages = this.#pages(first, load);
    const { revision: at, cluster } = first.header;
    this.#reloadAt = undefined;
    try {
      await this.#sink.load(pages, at);
    } catch (error) {
      if (load.failure === undefined) this.#fault = { error };
      throw load.failure ?? error;
    }
    this.#cursor = { at, cluster, identity: load.identity };
    this.#guarded(() => this.#freshness.prove(sentAt));
  }

  /**
   * Something was missed, or a host writes what isn't true. The first load is due at once; if that doesn't help, the next
   * ones wait longer each time, and what comes meanwhile is taken as before.
   */
  #contradicted(): void {
    if (this.#reloadAt !== undefined) return;
    const { reloadMs, longestReloadMs } = etcdTiming;
    const now = performance.now();
    if (now > this.#reloadedAt + 2 * longestReloadMs) this.#reloads = 0;
    const pause = this.#reloads === 0 ? 0 : Math.min(reloadMs * 2 ** (this.#reloads - 1), longestReloadMs);
    this.#reloadAt = Math.max(now, this.#reloadedAt + pause);
  }

  /** @throws {Doubt} when everything has to be loaded again */
  #checkReload(): void {
    const now = performance.now();
    if (this.#reloadAt === undefined || now < this.#reloadAt) return;
    this.#reloads++;
    this.#reloadedAt = now;
    throw new Doubt("a host's record contradicts what was received");
  }

  /** `hosts`: the first page of the hosts' records. */
  async *#pages(
    hosts: RangeAnswer,
    load: { identity: string; failure: unknown },
  ): AsyncIterable<readonly RemoteAddition[]> {
    const { revision } = hosts.header;
    let from = this.#keys.start;
    try {
      for (const to of [...(await this.#parts(hosts)), this.#keys.end]) {
        for await (const { pairs } of this.#range(from, to, revision))
          for (let at = 0; at < pairs.length; at += handedKeys)
            yield this.#additions(pairs.slice(at, at + handedKeys), load);
        from = to;
      }
    } catch (error) {
      load.failure = error;
      throw error;
    }
  }

  #additions(pairs: readonly KeyValue[], load: { identity: string }): RemoteAddition[] {
    const additions: RemoteAddition[] = [];
    for (const pair of pairs) {
      if (this.#isIdentity(pair)) load.identity = identityOf(pair);
      const addition = additionOf(this.#keys, pair);
      if (addition !== undefined) additions.push(addition);
    }
    return additions;
  }

  /**
   * Keys that part the directory: between two of them is about a page. A server looks at all keys of a range for each page of
   * it. If it were one range for all, the pages of a large directory would take it so long that many hosts that load at once
   * would never get theirs in time.
   */
  async #parts(first: RangeAnswer): Promise<Uint8Array[]> {
    const { hosts, hostsEnd } = this.#keys;
    const parts: Uint8Array[] = [];
    let size = 0;
    const take = ({ pairs }: RangeAnswer): void => {
      for (const pair of pairs) {
        const addition = additionOf(this.#keys, pair);
        if (addition?.type !== "host") continue;
        const { host, content } = addition.host;
        const count = content?.count ?? pageKeys;
        if (size > 0 && size + count > pageKeys) {
          parts.push(this.#keys.entries(host));
          size = 0;
        }
        size += count;
      }
    };
    take(first);
    const last = first.pairs.at(-1);
    if (first.more && last !== undefined)
      for await (const page of this.#range(after(last.key), hostsEnd, first.header.revision)) take(page);
    return [...parts.toSorted((one, other) => Buffer.compare(one, other)), hosts];
  }

  async *#range(key: Uint8Array, end: Uint8Array, revision: Revision): AsyncIterable<RangeAnswer> {
    let from = key;
    for (;;) {
      const page = await this.#page(from, end, revision);
      yield page;
      const last = page.pairs.at(-1);
      if (!page.more || last === undefined) return;
      from = after(last.key);
    }
  }

  async #page(key: Uint8Array, end: Uint8Array, revision: Revision): Promise<RangeAnswer> {
    const request = encodeRange({ key, end, limit: pageKeys, revision });
    const options = { timeoutMs: pageTimeoutMs, signal: this.#signal, expect: [Status.outOfRange] };
    try {
      return await this.#client.call(methods.range, request, decodeRange, options);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      throw new Doubt(error.message, { cause: error });
    }
  }

  /** @throws {Doubt} if the store isn't the one that was loaded, or is older */
  async #recognise(cursor: Cursor): Promise<void> {
    const request = encodeRange({ key: this.#keys.identity });
    const options = { signal: this.#signal };
    const { header, pairs } = await this.#client.call(methods.range, request, decodeRange, options);
    const { at, cluster } = cursor;
    if (header.cluster !== cluster) throw new Doubt("another cluster is there now");
    if (header.revision < at)
      throw new Doubt(`the store went back from revision ${at} to ${header.revision}`);
    this.#identify(pairs[0], cursor);
  }

  /** @throws {Doubt} if the directory was made again */
  #identify(pair: KeyValue | undefined, cursor: Cursor): void {
    const found = pair === undefined ? "" : identityOf(pair);
    if (found === cursor.identity) return;
    if (cursor.identity !== "" || pair === undefined || pair.created <= cursor.at)
      throw new Doubt("another directory is there now");
    cursor.identity = found;
  }

  /** Returns or throws when the watch ends. @throws {Doubt} */
  async #watch(cursor: Cursor): Promise<void> {
    const range = { from: this.#keys.start, end: this.#keys.end, start: cursor.at + 1 };
    for await (const { answer, askedAt } of watch(this.#client, range, this.#freshness, this.#signal)) {
      if (answer.compacted > 0) throw new Doubt(`what was missed is compacted up to ${answer.compacted}`);
      if (answer.header.cluster !== cursor.cluster) throw new Doubt("another cluster answers");
      if (answer.events.length > 0) await this.#take(answer, cursor);
      this.#checkReload();
      if (askedAt === undefined) continue;
      this.#hasWatched = true;
      this.#guarded(() => this.#freshness.prove(askedAt));
    }
  }

  /** Hands events on, in batches of whole revisions. */
  async #take(answer: WatchAnswer, cursor: Cursor): Promise<void> {
    let batch: RemoteChange[] = [];
    let at = cursor.at;
    let taken = 0;
    for (const reader of answer.events) {
      const event = decodeEvent(reader);
      const { pair } = event;
      if (pair.changed !== at && batch.length >= batchEvents) {
        this.#hand(batch, at, cursor);
        batch = [];
      }
      // a stall of the event loop would be worse than a later turn
      if (++taken % batchEvents === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      at = pair.changed;
      if (this.#isIdentity(pair)) this.#identify(event.isDeleted ? undefined : pair, cursor);
      const change = changeOf(this.#keys, event);
      if (change !== undefined) batch.push(change);
    }
    this.#hand(batch, at, cursor);
  }

  #hand(batch: readonly RemoteChange[], at: Revision, cursor: Cursor): void {
    if (batch.length > 0 && !this.#guarded(() => this.#sink.change(batch, at))) this.#contradicted();
    cursor.at = at;
  }

  #isIdentity({ key }: KeyValue): boolean {
    return key.length === this.#keys.identity.length && Buffer.compare(key, this.#keys.identity) === 0;
  }

  /** Calls the sink. What it throws ends everything. */
  #guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#fault = { error };
      throw error;
    }
  }
}

/** A directory that is made again has another one. */
function identityOf({ value, created }: KeyValue): string {
  return `${Buffer.from(value).toString("hex")}@${created}`;
}
