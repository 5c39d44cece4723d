/**
 * Publishes the actors that are registered here in a directory that other hosts share: the whole table under each new
 * lease, and then what changes. It never holds anything up: a registration is acknowledged when the own table has it.
 *
 * Changes of one actor that have yet to be published become one. What is sent is what is true when it is sent.
 */
import { asError, LimitError } from "../errors.ts";
import { logger } from "../log.ts";
import { encodeEntry } from "./remote-entry.ts";
import { retryPause } from "./retry.ts";
import type { Change, HostLease } from "./store.ts";
import { isDraining, type StoredRegistration } from "./stored-registration.ts";

const log = logger("discovery");

const maxChanges = 100;
/** How long to leave a store alone that has refused changes. With jitter. */
const retryMs = 200;

/** An actor that is registered here. */
interface Own {
  stored: StoredRegistration;
  /** Its place among all of this host: others order instances by it. */
  order: number;
}

export class Publisher {
  readonly #own = new Map<string, Own>();
  #lastOrder = 0;
  /** The uuids of those that have changed since they were published, in the order of their last change. */
  #dirty = new Set<string>();
  /** Those that this lease has yet to have for the first time. */
  #missing = new Set<string>();
  #whole = Promise.withResolvers<void>();
  #lease: HostLease | undefined;
  #isRunning = false;
  #idle: PromiseWithResolvers<void> | undefined;
  readonly #host: string;
  readonly #signal: AbortSignal;

  /** `host`: this one. `signal` ends it. */
  constructor(host: string, signal: AbortSignal) {
    this.#host = host;
    this.#signal = signal;
  }

  /** How many actors are registered here. */
  get size(): number {
    return this.#own.size;
  }

  has(uuid: string): boolean {
    return this.#own.has(uuid);
  }

  /** An actor has registered here, or has changed. */
  put(stored: StoredRegistration): void {
    const { uuid } = stored;
    const own = this.#own.get(uuid);
    if (own === undefined) this.#own.set(uuid, { stored, order: ++this.#lastOrder });
    else {
      if (isDraining(own.stored) && !isDraining(stored)) own.order = ++this.#lastOrder;
      own.stored = stored;
    }
    this.#note(uuid);
  }

  /** An actor isn't registered here any more. */
  remove(uuid: string): void {
    if (this.#own.delete(uuid)) this.#note(uuid);
  }

  /** Publishes everything under this lease, and each change from now on. Undefined: there is no lease. */
  use(lease: HostLease | undefined): void {
    this.#lease = lease;
    this.#whole.resolve();
    if (lease === undefined) return;
    this.#whole = Promise.withResolvers();
    this.#dirty = new Set(this.#own.keys());
    this.#missing = new Set(this.#dirty);
    if (this.#missing.size === 0) this.#whole.resolve();
    if (!this.#isRunning) void this.#run();
  }

  /** Resolves when the lease in use has all actors that were registered when it came into use, or isn't in use any more. */
  get whole(): Promise<void> {
    return this.#whole.promise;
  }

  /** Resolves when everything is published; undefined when it is. Doesn't resolve without a lease. */
  get published(): Promise<void> | undefined {
    if (this.#dirty.size === 0 && !this.#isRunning) return undefined;
    return (this.#idle ??= Promise.withResolvers()).promise;
  }

  #note(uuid: string): void {
    // at the end, also if it is there already: changes are published in their order
    this.#dirty.delete(uuid);
    this.#dirty.add(uuid);
    if (!this.#isRunning && this.#lease !== undefined) void this.#run();
  }

  /** Until there is nothing to publish, or no lease. One transaction after the other. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    // what else this turn brings goes with it
    await Promise.resolve();
    for (let lease = this.#lease; lease !== undefined && this.#dirty.size > 0; lease = this.#lease) {
      if (this.#signal.aborted) break;
      await this.#publish(lease);
    }
    this.#isRunning = false;
    if (this.#dirty.size > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  async #publish(lease: HostLease): Promise<void> {
    const uuids: string[] = [];
    for (const uuid of this.#dirty) {
      if (uuids.length === maxChanges) break;
      uuids.push(uuid);
    }
    for (const uuid of uuids) this.#dirty.delete(uuid);
    try {
      await lease.apply(uuids.map((uuid) => this.#changeOf(uuid)));
    } catch (error) {
      if (lease !== this.#lease) return;
      if (error instanceof LimitError) return await this.#publishEach(lease, uuids);
      log.info?.(`cannot publish ${uuids.length} changes: ${asError(error).message}`);
      this.#putBack(uuids);
      return await retryPause(retryMs, this.#signal);
    }
    this.#done(lease, uuids);
  }

  /** One of them is too large for the store: leaves that one out. */
  async #publishEach(lease: HostLease, uuids: readonly string[]): Promise<void> {
    for (const [at, uuid] of uuids.entries()) {
      if (lease !== this.#lease) return;
      try {
        await lease.apply([this.#changeOf(uuid)]);
      } catch (error) {
        if (!(error instanceof LimitError)) {
          this.#putBack(uuids.slice(at));
          return await retryPause(retryMs, this.#signal);
        }
        log.error?.(`other hosts will not find an actor: ${error.message}`);
      }
      this.#done(lease, [uuid]);
    }
  }

  #done(lease: HostLease, uuids: readonly string[]): void {
    if (lease !== this.#lease || this.#missing.size === 0) return;
    for (const uuid of uuids) this.#missing.delete(uuid);
    if (this.#missing.size === 0) this.#whole.resolve();
  }

  /** Before all others, except for what has changed again meanwhile. */
  #putBack(uuids: readonly string[]): void {
    const later = this.#dirty;
    this.#dirty = new Set(uuids.filter((uuid) => !later.has(uuid)));
    for (const uuid of later) this.#dirty.add(uuid);
  }

  #changeOf(uuid: string): Change {
    const own = this.#own.get(uuid);
    if (own === undefined) return { type: "remove", uuid };
    return { type: "put", uuid, value: encodeEntry(own.stored, own.order, this.#host) };
  }
}
