/**
 * Who is interested in which names: peers, to which every change of such a name is pushed, and watchers in this process,
 * each called once at the next change. Pure: no sockets, no clock.
 */

import { NameRecord, type Names } from "./names.ts";

export class Interests<Peer, Change> {
  readonly #names: Names;
  readonly #maxNames: number;
  readonly #deliver: (peer: Peer, change: Change) => void;
  /**
   * What each peer has taken an interest in, in no order; the record has the peer's place there. A set of so many takes longer
   * to grow than all else that the registrar does for an interest (row `lookup.registrar.unix.64`).
   */
  readonly #taken = new Map<Peer, NameRecord[]>();

  /**
   * `maxNames` bounds the interests of one peer, so that no peer can fill the memory. `deliver` pushes a change to a peer, which
   * must not be a map.
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
    return record !== undefined && placeOf(record, peer) !== undefined;
  }

  /** How many peers are interested in the name. */
  count(name: string): number {
    const { interested, detailed } = this.#names.record(name) ?? {};
    const brief = interested instanceof Map ? interested.size : interested === undefined ? 0 : 1;
    return brief + (detailed?.size ?? 0);
  }

  /**
   * From now on pushes changes of the name to the peer, in their detailed form once that was asked for. Returns what is kept of the
   * name; undefined when the peer has `maxNames` other interests already.
   */
  take(peer: Peer, name: string, isDetailed = false): NameRecord | undefined {
    let taken = this.#taken.get(peer);
    if (taken === undefined) this.#taken.set(peer, (taken = []));
    const record = this.#names.need(name);
    const known = placeOf(record, peer);
    if (known === undefined && taken.length >= this.#maxNames) {
      this.#names.tidy(record);
      return undefined;
    }
    const place = known ?? taken.push(record) - 1;
    if (isDetailed) {
      removeBrief(record, peer);
      (record.detailed ??= new Map()).set(peer, place);
    } else if (known === undefined) addBrief(record, peer, place);
    return record;
  }

  /** Ends a peer's interest in a name. */
  drop(peer: Peer, name: string): void {
    const record = this.#names.record(name);
    const place = record && placeOf(record, peer);
    if (record === undefined || place === undefined) return;
    const taken = this.#taken.get(peer)!;
    const last = taken.pop()!;
    if (last !== record) {
      taken[place] = last;
      setPlace(last, peer, place);
    }
    this.#remove(peer, record);
  }

  /** Ends all interests of a peer that is gone. */
  leave(peer: Peer): void {
    for (const record of this.#taken.get(peer) ?? []) this.#remove(peer, record);
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
      const peers =
        interested instanceof Map ? (interested as Map<Peer, number>).keys() : [interested as Peer];
      for (const peer of peers) yield this.#deliver(peer, made);
    }
    const thorough = record.detailed as Map<Peer, number> | undefined;
    if (thorough !== undefined && detailed !== undefined) {
      const made = detailed();
      for (const peer of thorough.keys()) yield this.#deliver(peer, made);
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
    removeBrief(record, peer);
    const { detailed } = record;
    if (detailed?.delete(peer) === true && detailed.size === 0) record.detailed = undefined;
    this.#names.tidy(record);
  }

  #wake(record: NameRecord): void {
    const { watchers } = record;
    if (watchers === undefined) return;
    record.watchers = undefined;
    this.#names.tidy(record);
    for (const watcher of watchers) watcher();
  }
}

/** Where the record is among those that the peer has taken; undefined if it isn't. */
function placeOf(record: NameRecord, peer: unknown): number | undefined {
  const { interested, detailed } = record;
  if (interested === peer) return record.place;
  return (interested instanceof Map ? interested.get(peer) : undefined) ?? detailed?.get(peer);
}

function setPlace(record: NameRecord, peer: unknown, place: number): void {
  const { interested, detailed } = record;
  if (interested === peer) record.place = place;
  else if (detailed?.has(peer) === true) detailed.set(peer, place);
  else (interested as Map<unknown, number>).set(peer, place);
}

function addBrief(record: NameRecord, peer: unknown, place: number): void {
  const { interested } = record;
  if (interested === undefined) {
    record.interested = peer;
    record.place = place;
  } else if (interested instanceof Map) interested.set(peer, place);
  else
    record.interested = new Map([
      [interested, record.place],
      [peer, place],
    ]);
}

function removeBrief(record: NameRecord, peer: unknown): void {
  const { interested } = record;
  if (interested instanceof Map) interested.delete(peer);
  if (interested === peer || (interested instanceof Map && interested.size === 0))
    record.interested = undefined;
}
