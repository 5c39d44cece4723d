/**
 * Who is interested in which names: peers, to which every change of such a name is pushed, and watchers in this process,
 * each called once at the next change. Pure: no sockets, no clock.
 */

import { NameRecord, type Names } from "./names.ts";

export class Interests<Peer, Change> {
  readonly #names: Names;
  readonly #maxNames: number;
  readonly #deliver: (peer: Peer, change: Change) => void;
  /** What each peer has taken an interest in. */
  readonly #taken = new Map<Peer, Set<NameRecord>>();

  /**
   * `maxNames` bounds the interests of one peer, so that no peer can fill the memory. `deliver` pushes a change to a peer, which
   * must not be a set.
   */
  constructor(names: Names, maxNames: number, deliver: (peer: Peer, change: Change) => void) {
    this.#names = names;
    this.#maxNames = maxNames;
    this.#deliver = deliver;
  }

  /** The peers that have taken an interest and haven't left. */
  get peers(): Iterable<Peer> {
    return this.#taken.keys();
  }

  has(peer: Peer, name: string): boolean {
    const record = this.#names.record(name);
    return record !== undefined && this.#taken.get(peer)?.has(record) === true;
  }

  /** How many peers are interested in the name. */
  count(name: string): number {
    const { interested, detailed } = this.#names.record(name) ?? {};
    const brief = interested instanceof Set ? interested.size : interested === undefined ? 0 : 1;
    return brief + (detailed?.size ?? 0);
  }

  /**
   * From now on pushes changes of the name to the peer, in their detailed form once that was asked for. False when it has
   * `maxNames` other interests already.
   */
  take(peer: Peer, name: string, isDetailed = false): boolean {
    let taken = this.#taken.get(peer);
    if (taken === undefined) this.#taken.set(peer, (taken = new Set()));
    const record = this.#names.need(name);
    taken.add(record);
    if (taken.size > this.#maxNames) {
      taken.delete(record);
      this.#names.tidy(record);
      return false;
    }
    const { interested, detailed } = record;
    if (isDetailed) {
      this.#remove(peer, record);
      if (detailed === undefined) record.detailed = new Set([peer]);
      else detailed.add(peer);
    } else if (detailed?.has(peer) === true) return true;
    else if (interested === undefined) record.interested = peer;
    else if (interested instanceof Set) interested.add(peer);
    else if (interested !== peer) record.interested = new Set([interested, peer]);
    return true;
  }

  /** Ends a peer's interest in a name. */
  drop(peer: Peer, name: string): void {
    const record = this.#names.record(name);
    if (record === undefined || this.#taken.get(peer)?.delete(record) !== true) return;
    this.#remove(peer, record);
    this.#names.tidy(record);
  }

  /** Ends all interests of a peer that is gone. */
  leave(peer: Peer): void {
    for (const record of this.#taken.get(peer) ?? []) {
      this.#remove(peer, record);
      this.#names.tidy(record);
    }
    this.#taken.delete(peer);
  }

  /**
   * Pushes a change of the name to all that are interested, to one of them with each step, then wakes its watchers. Undefined if
   * there are none: mostly so. `change` and `detailed` are made only if needed. Without `change` it concerns the details alone.
   *
   * Peers may come and go between the steps. One that comes may get the change as well, ahead of the answer to its lookup; one
   * that asks for details meanwhile may get it twice.
   */
  push(
    name: string,
    change: (() => Change) | undefined,
    detailed: (() => Change) | undefined = change,
  ): Generator<void> | undefined {
    const record = this.#names.record(name);
    if (record === undefined) return undefined;
    const isWanted = record.interested ?? record.detailed ?? record.watchers;
    return isWanted === undefined ? undefined : this.#pushing(record, change, detailed);
  }

  *#pushing(
    record: NameRecord,
    change: (() => Change) | undefined,
    detailed: (() => Change) | undefined,
  ): Generator<void> {
    const interested = change && record.interested;
    if (interested !== undefined) {
      const made = change!();
      const peers = interested instanceof Set ? (interested as Set<Peer>) : [interested as Peer];
      for (const peer of peers) yield this.#deliver(peer, made);
    }
    const thorough = record.detailed as Set<Peer> | undefined;
    if (thorough !== undefined && detailed !== undefined) {
      const made = detailed();
      for (const peer of thorough) yield this.#deliver(peer, made);
    }
    this.#wake(record);
  }

  /** Calls `onChange` once, at the next change of the name; returns the function that calls it off. */
  watch(name: string, onChange: () => void): () => void {
    const record = this.#names.need(name);
    const watchers = (record.watchers ??= new Set());
    watchers.add(onChange);
    return () => {
      watchers.delete(onChange);
      if (watchers.size > 0 || record.watchers !== watchers) return;
      record.watchers = undefined;
      this.#names.tidy(record);
    };
  }

  /** Wakes every watcher, though nothing has changed: there will be no more changes. */
  wakeAll(): void {
    const all = Array.from(this.#names.values());
    for (const record of all) if (record instanceof NameRecord) this.#wake(record);
  }

  #remove(peer: Peer, record: NameRecord): void {
    const { interested, detailed } = record;
    if (interested instanceof Set) interested.delete(peer);
    if (interested === peer || (interested instanceof Set && interested.size === 0))
      record.interested = undefined;
    if (detailed?.delete(peer) === true && detailed.size === 0) record.detailed = undefined;
  }

  #wake(record: NameRecord): void {
    const { watchers } = record;
    if (watchers === undefined) return;
    record.watchers = undefined;
    this.#names.tidy(record);
    for (const watcher of watchers) watcher();
  }
}
