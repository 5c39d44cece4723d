/** A host's lease in a `MemoryDirectory`. */
import { StoreUnavailableError } from "../errors.ts";
import { HostContent } from "./host-content.ts";
import type { Grant, MemoryDirectory } from "./memory-directory.ts";
import type { Revision } from "./remote-entry.ts";
import type { Change, Claim, Holder, HostLease, HostRecord, StoreOptions } from "./store.ts";
import { transactionsOf } from "./transactions.ts";

/** Does `work` in the directory as soon as it can be reached, and answers if the answer gets through. */
export type Ask = <T>(options: StoreOptions, work: () => T) => Promise<T>;

export class MemoryLease implements HostLease {
  readonly epoch: number;
  readonly lost: Promise<void>;
  validUntil: number;
  readonly #directory: MemoryDirectory;
  readonly #askStore: Ask;
  readonly #host: HostRecord;
  readonly #grant: Grant;
  readonly #former: readonly number[];
  readonly #content = new HostContent();
  readonly #lose: () => void;
  #at: Revision = 0;
  #isSettled = false;
  #isEnded = false;
  #timer: Timer | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** Enters the host. It lapses unless `keep` is called. */
  constructor(directory: MemoryDirectory, ask: Ask, host: HostRecord, ttlMs: number) {
    this.#directory = directory;
    this.#askStore = ask;
    this.#host = host;
    this.epoch = (directory.hosts.get(host.host)?.record.epoch ?? 0) + 1;
    ({ promise: this.lost, resolve: this.#lose } = Promise.withResolvers<void>());
    this.#former = leasesOf(directory, host.host);
    this.#grant = directory.grant(ttlMs);
    this.validUntil = performance.now() + ttlMs;
    this.#putHost();
    this.#renewFormer();
  }

  /** Renews it from now on. */
  keep(): void {
    this.#timer = setTimeout(() => void this.#renew(), this.#grant.ttlMs / 3);
    this.#timer.unref();
  }

  apply(changes: readonly Change[], options: StoreOptions = {}): Promise<Revision> {
    return this.#inOrder(async () => {
      if (this.#isEnded) throw this.#gone();
      for (const part of transactionsOf(this.#content.needed(changes, this.#isSettled))) {
        this.#at = await this.#ask(options, () => {
          this.#content.apply(part);
          return this.#directory.apply(this.#host.host, this.#grant.id, part);
        });
      }
      return this.#at;
    });
  }

  settle(options: StoreOptions = {}): Promise<void> {
    return this.#inOrder(() =>
      this.#ask(options, () => {
        for (const lease of this.#former) this.#directory.revoke(lease);
        this.#isSettled = true;
        this.#putHost();
      }),
    );
  }

  claim(name: string, uuid: string, options: StoreOptions = {}): Promise<Claim | Holder> {
    return this.#ask(options, () => this.#directory.claim(name, uuid, this.#host.host, this.#grant.id));
  }

  unclaim(name: string, uuid: string, options: StoreOptions = {}): Promise<void> {
    return this.#ask(options, () => this.#directory.unclaim(name, uuid));
  }

  async release(options: StoreOptions = {}): Promise<void> {
    if (this.#isEnded) return;
    this.abandon();
    try {
      await this.#askStore(options, () => this.#directory.revoke(this.#grant.id));
    } catch {
      // it lapses
    }
  }

  abandon(): void {
    this.#isEnded = true;
    clearTimeout(this.#timer);
  }

  /** Those that come back are still to be found. */
  #renewFormer(): void {
    for (const lease of this.#former) this.#directory.renew(lease);
  }

  #putHost(): void {
    const content = this.#isSettled ? this.#content.summary : null;
    const record = { ...this.#host, epoch: this.epoch, ttlMs: this.#grant.ttlMs, content };
    this.#directory.putHost(record, this.#grant.id);
    this.#content.isDirty = false;
  }

  async #renew(): Promise<void> {
    const sentAt = performance.now();
    try {
      await this.#ask({ timeoutMs: this.#grant.ttlMs }, () => {
        this.#directory.renew(this.#grant.id);
        if (!this.#isSettled) this.#renewFormer();
        if (this.#isSettled && this.#content.isDirty) this.#putHost();
      });
      this.validUntil = sentAt + this.#grant.ttlMs;
    } catch {
      // out of reach, or lost
    }
    if (!this.#isEnded) this.keep();
  }

  /** As the store does, if the lease is still there. */
  #ask<T>(options: StoreOptions, work: () => T): Promise<T> {
    return this.#askStore(options, () => {
      if (!this.#isEnded && this.#directory.owns(this.#grant.id, this.#host.host)) return work();
      if (!this.#isEnded) this.#lose();
      this.abandon();
      throw this.#gone();
    });
  }

  #gone(): StoreUnavailableError {
    return new StoreUnavailableError(`the lease of host ${this.#host.host} is gone`);
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** The leases under which a host has published. */
function leasesOf(directory: MemoryDirectory, host: string): number[] {
  const leases = new Set<number>();
  for (const all of [directory.entries, directory.hosts, directory.claims])
    for (const one of all.values()) if (one.host === host) leases.add(one.lease);
  return Array.from(leases);
}
