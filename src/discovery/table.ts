/**
 * The registrar's table: who is registered under which name, in which order. A pure state machine: no sockets, no
 * clock.
 *
 * Whoever registers an entry (a connection) holds what `register` returned: only with that can it be changed. Each
 * change has a revision, one higher than the one before.
 */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";

/**
 * One registered actor. Flat, because a table may hold a million of them: six fields are 64 B, a seventh makes it 80
 * (`memory.1000000`).
 */
export class Entry {
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  readonly host: string;
  readonly addrs: readonly Address[];
  readonly revision: number;

  constructor(id: ActorId, host: string, addrs: readonly Address[], revision: number) {
    this.name = id.name;
    this.uuid = id.uuid;
    this.pid = id.pid;
    this.host = host;
    this.addrs = addrs;
    this.revision = revision;
  }

  get id(): ActorId {
    return { name: this.name, uuid: this.uuid, pid: this.pid, host: this.host };
  }
}

const none: readonly never[] = Object.freeze([]);

export class RegistryTable {
  /** Most names have one entry, which then stands for the list. */
  readonly #byName = new Map<string, Entry | Entry[]>();
  /** Kept once for all entries that have it: each id from the wire comes with a copy (`memory.1000000`). */
  #host = "";
  #size = 0;
  #revision = 0;

  get size(): number {
    return this.#size;
  }

  get names(): number {
    return this.#byName.size;
  }

  get revision(): number {
    return this.#revision;
  }

  /**
   * Adds an actor behind the others of its name. With `former`, its own earlier entry, it keeps that entry's place.
   */
  register(id: ActorId, addrs: readonly Address[], former?: Entry): Entry {
    if (id.host !== this.#host) this.#host = id.host;
    const entry = new Entry(id, this.#host, addrs, ++this.#revision);
    const found = this.#byName.get(id.name);
    if (former !== undefined && this.#replace(found, former, entry)) return entry;
    this.#size++;
    if (found === undefined) this.#byName.set(id.name, entry);
    else if (Array.isArray(found)) found.push(entry);
    else this.#byName.set(id.name, [found, entry]);
    return entry;
  }

  /** Removes an entry. Returns the revision of the change, or 0 when it was not there. */
  unregister(entry: Entry): number {
    const found = this.#byName.get(entry.name);
    if (found === entry) {
      this.#byName.delete(entry.name);
    } else {
      const at = Array.isArray(found) ? found.indexOf(entry) : -1;
      if (at < 0) return 0;
      const list = found as Entry[];
      list.splice(at, 1);
      if (list.length === 1) this.#byName.set(entry.name, list[0]!);
    }
    this.#size--;
    return ++this.#revision;
  }

  /** The entries of a name, in the order of registration. */
  all(name: string): readonly Entry[] {
    const found = this.#byName.get(name);
    return found === undefined ? none : Array.isArray(found) ? found : [found];
  }

  /** The last registered of a name. */
  last(name: string): Entry | undefined {
    const found = this.#byName.get(name);
    return Array.isArray(found) ? found[found.length - 1] : found;
  }

  /** The first registered of a name. */
  first(name: string): Entry | undefined {
    const found = this.#byName.get(name);
    return Array.isArray(found) ? found[0] : found;
  }

  /** Every entry, name by name. */
  *entries(): IterableIterator<Entry> {
    for (const found of this.#byName.values()) {
      if (Array.isArray(found)) yield* found;
      else yield found;
    }
  }

  #replace(found: Entry | Entry[] | undefined, former: Entry, entry: Entry): boolean {
    if (found === former) {
      this.#byName.set(entry.name, entry);
      return true;
    }
    const at = Array.isArray(found) ? found.indexOf(former) : -1;
    if (at < 0) return false;
    (found as Entry[])[at] = entry;
    return true;
  }
}
