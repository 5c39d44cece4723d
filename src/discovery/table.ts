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
  /** The last entry of each name; its own map, so that finding it reads no entry (`table.*`). */
  readonly #last = new Map<string, Entry>();
  /** All entries of the names that have several, in the order of registration: few do. */
  readonly #several = new Map<string, Entry[]>();
  /** Kept once for all entries that have it: each id from the wire comes with a copy (`memory.1000000`). */
  #host = "";
  #size = 0;
  #revision = 0;

  get size(): number {
    return this.#size;
  }

  get names(): number {
    return this.#last.size;
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
    if (former !== undefined && this.#replace(former, entry)) return entry;
    const { name } = entry;
    const last = this.#last.get(name);
    if (last !== undefined) {
      const list = this.#several.get(name);
      if (list === undefined) this.#several.set(name, [last, entry]);
      else list.push(entry);
    }
    this.#last.set(name, entry);
    this.#size++;
    return entry;
  }

  /** Removes an entry. Returns the revision of the change, or 0 when it was not there. */
  unregister(entry: Entry): number {
    const { name } = entry;
    const list = this.#several.get(name);
    if (list === undefined) {
      if (this.#last.get(name) !== entry) return 0;
      this.#last.delete(name);
    } else {
      const at = list.indexOf(entry);
      if (at < 0) return 0;
      list.splice(at, 1);
      this.#last.set(name, list[list.length - 1]!);
      if (list.length === 1) this.#several.delete(name);
    }
    this.#size--;
    return ++this.#revision;
  }

  /** The entries of a name, in the order of registration. */
  all(name: string): readonly Entry[] {
    const last = this.#last.get(name);
    return last === undefined ? none : (this.#several.get(name) ?? [last]);
  }

  /** The last registered of a name. */
  last(name: string): Entry | undefined {
    return this.#last.get(name);
  }

  /** The first registered of a name. */
  first(name: string): Entry | undefined {
    return this.#several.get(name)?.[0] ?? this.#last.get(name);
  }

  /** Every entry, name by name. */
  *entries(): IterableIterator<Entry> {
    for (const [name, last] of this.#last) {
      const list = this.#several.get(name);
      if (list === undefined) yield last;
      else yield* list;
    }
  }

  #replace(former: Entry, entry: Entry): boolean {
    const { name } = entry;
    const list = this.#several.get(name);
    const at = list?.indexOf(former) ?? -1;
    if (at >= 0) list![at] = entry;
    const isLast = this.#last.get(name) === former;
    if (isLast) this.#last.set(name, entry);
    return isLast || at >= 0;
  }
}
