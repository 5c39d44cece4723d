/**
 * The registrar's table: which actors are registered under each name, in which order. A pure state machine: no sockets,
 * no clock.
 *
 * A registration can only be changed with the object that `register` or `update` returned; the connection that registered
 * it keeps that. Each change has a revision, one higher than the one before. A draining actor is still registered, but no
 * name leads to it.
 */
import type { Details } from "../actor/details.ts";
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { noDetails } from "./details.ts";
import { NameRecord, Names } from "./names.ts";
import { Sequence } from "./sequence.ts";
import {
  comparePlaces,
  DetailedRegistration,
  isDraining,
  MirroredRegistration,
  type RemoteActor,
  StoredRegistration,
} from "./stored-registration.ts";

/** Whether `stored` belongs after `mirrored`. */
function isAfter(stored: StoredRegistration, mirrored: MirroredRegistration): boolean {
  if (!(stored instanceof MirroredRegistration)) return true;
  return comparePlaces(stored, mirrored) > 0;
}

/** Whether two registrations of one actor have the same place in the order of its name. */
function isSamePlace(a: StoredRegistration, b: StoredRegistration): boolean {
  if (!(a instanceof MirroredRegistration)) return !(b instanceof MirroredRegistration);
  return b instanceof MirroredRegistration && comparePlaces(a, b) === 0;
}

const none: readonly never[] = Object.freeze([]);

export class RegistryTable {
  readonly #names: Names;
  /** Registered, but not to be found: those that are draining, by name. */
  readonly #draining = new Map<string, Set<StoredRegistration>>();
  /** One copy shared by all registrations of a host: each id from the wire brings its own (`memory.1000000`). */
  #host = "";
  #size = 0;
  #nameCount = 0;
  #revision = 0;

  /** `names` holds what it keeps, and may hold who is interested in it (`Interests`). */
  constructor(names: Names = new Names()) {
    this.#names = names;
  }

  get size(): number {
    return this.#size;
  }

  /** The number of names that lead to an actor. */
  get names(): number {
    return this.#nameCount;
  }

  get revision(): number {
    return this.#revision;
  }

  /**
   * Adds an actor after the others of its name. With `former`, its own earlier registration, it keeps that one's place;
   * one that was draining has none.
   */
  register(
    id: ActorId,
    addrs: readonly Address[],
    former?: StoredRegistration,
    details?: Details,
  ): StoredRegistration {
    if (id.host !== this.#host) this.#host = id.host;
    const revision = ++this.#revision;
    const stored =
      details === undefined || details === noDetails
        ? new StoredRegistration(id, this.#host, addrs, revision)
        : new DetailedRegistration(id, this.#host, addrs, revision, details);
    if (former === undefined) this.#add(stored);
    else this.#change(former, stored);
    return stored;
  }

  /**
   * Adds an actor of another host, before those that are registered here. With `former`, an earlier registration of the same
   * actor, it takes over from that one.
   */
  mirror(actor: RemoteActor, former?: StoredRegistration): MirroredRegistration {
    const stored = new MirroredRegistration(actor, ++this.#revision);
    if (former === undefined) this.#add(stored);
    else this.#change(former, stored);
    return stored;
  }

  /** Changes the details of a registration, which keeps its place; returns the one that takes over from it. */
  update(former: StoredRegistration, details: Details): StoredRegistration {
    return this.register(former.id, former.addrs, former, details);
  }

  /** Removes a registration. Returns the revision of the change, or 0 when it wasn't there. */
  unregister(stored: StoredRegistration): number {
    return this.#remove(stored) ? ++this.#revision : 0;
  }

  /** The draining registrations of a name. */
  draining(name: string): readonly StoredRegistration[] {
    return Array.from(this.#draining.get(name) ?? none);
  }

  /** The registrations of a name, in the order of registration: a copy. */
  all(name: string): readonly StoredRegistration[] {
    const found = this.#names.find(name);
    if (found === undefined) return none;
    if (!(found instanceof NameRecord)) return [found];
    return found.several?.toArray() ?? (found.last === undefined ? none : [found.last]);
  }

  /** The last registration of a name. */
  last(name: string): StoredRegistration | undefined {
    const found = this.#names.find(name);
    return found instanceof NameRecord ? found.last : found;
  }

  /** All of a name that has several. */
  several(name: string): Sequence<StoredRegistration> | undefined {
    return this.#names.record(name)?.several;
  }

  /** The registration that comes after this one among those of its name. */
  following(stored: StoredRegistration): StoredRegistration | undefined {
    return this.several(stored.name)?.following(stored);
  }

  /** The first registration of a name. */
  first(name: string): StoredRegistration | undefined {
    return this.several(name)?.first ?? this.last(name);
  }

  /** Every registration, name by name, and then those that are draining: a copy. */
  entries(): StoredRegistration[] {
    const all: StoredRegistration[] = [];
    for (const found of this.#names.values()) {
      if (!(found instanceof NameRecord)) all.push(found);
      else if (found.several !== undefined) for (const stored of found.several.toArray()) all.push(stored);
      else if (found.last !== undefined) all.push(found.last);
    }
    for (const list of this.#draining.values()) for (const stored of list) all.push(stored);
    return all;
  }

  #add(stored: StoredRegistration): void {
    this.#size++;
    if (isDraining(stored)) {
      const list = this.#draining.get(stored.name);
      if (list === undefined) this.#draining.set(stored.name, new Set([stored]));
      else list.add(stored);
      return;
    }
    const found = this.#names.find(stored.name);
    const last = found instanceof NameRecord ? found.last : found;
    if (last === undefined) {
      this.#nameCount++;
      this.#setLast(found, stored);
      return;
    }
    const record = this.#names.need(stored.name);
    const list = (record.several ??= new Sequence(itself, [last]));
    if (stored instanceof MirroredRegistration) list.insertInOrder(stored, (other) => isAfter(other, stored));
    else list.push(stored);
    record.last = list.last;
  }

  #setLast(found: StoredRegistration | NameRecord | undefined, stored: StoredRegistration): void {
    if (found instanceof NameRecord) found.last = stored;
    else this.#names.set(stored);
  }

  #change(former: StoredRegistration, stored: StoredRegistration): void {
    const staysInPlace = !isDraining(former) && !isDraining(stored) && isSamePlace(former, stored);
    if (staysInPlace && this.#replace(former, stored)) return;
    this.#remove(former);
    this.#add(stored);
  }

  /** False when it isn't there. */
  #remove(stored: StoredRegistration): boolean {
    const { name } = stored;
    const draining = this.#draining.get(name);
    if (draining?.delete(stored) === true) {
      // it had no place among those of its name
      if (draining.size === 0) this.#draining.delete(name);
      this.#size--;
      return true;
    }
    const found = this.#names.find(name);
    if (found === undefined) return false;
    if (!(found instanceof NameRecord)) {
      if (found !== stored) return false;
      this.#nameCount--;
      this.#names.delete(name);
    } else if (found.several === undefined) {
      if (found.last !== stored) return false;
      this.#nameCount--;
      found.last = undefined;
    } else {
      if (!found.several.delete(stored)) return false;
      found.last = found.several.last;
      if (found.several.size === 1) {
        found.several = undefined;
        this.#names.tidy(found);
      }
    }
    this.#size--;
    return true;
  }

  #replace(former: StoredRegistration, stored: StoredRegistration): boolean {
    const found = this.#names.find(former.name);
    const isThere = found instanceof NameRecord && found.several?.replace(former, stored) === true;
    const isLast = former === (found instanceof NameRecord ? found.last : found);
    if (isLast) this.#setLast(found, stored);
    return isLast || isThere;
  }
}

function itself(stored: StoredRegistration): StoredRegistration {
  return stored;
}
