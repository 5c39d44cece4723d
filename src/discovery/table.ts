/**
 * The registrar's table: which actors are registered under each name, in which order. A pure state machine: no sockets,
 * no clock.
 *
 * A registration can only be changed with the object that `register` returned; the connection that registered it keeps
 * that. Each change has a revision, one higher than the one before.
 */
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";

/**
 * A registration as the table keeps it. Flat, because a table may hold a million of them: six fields take 64 B, a
 * seventh makes it 80 (`memory.1000000`).
 */
export class StoredRegistration {
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
  /** The last registration of each name, in a map of its own: finding it reads no other object (`table.*`). */
  readonly #last = new Map<string, StoredRegistration>();
  /** All registrations of the few names that have several, in the order of registration. */
  readonly #several = new Map<string, StoredRegistration[]>();
  /** One copy shared by all registrations of a host: each id from the wire brings its own (`memory.1000000`). */
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
   * Adds an actor after the others of its name. With `former`, its own earlier registration, it keeps that one's place.
   */
  register(id: ActorId, addrs: readonly Address[], former?: StoredRegistration): StoredRegistration {
    if (id.host !== this.#host) this.#host = id.host;
    const stored = new StoredRegistration(id, this.#host, addrs, ++this.#revision);
    if (former !== undefined && this.#replace(former, stored)) return stored;
    const { name } = stored;
    const last = this.#last.get(name);
    if (last !== undefined) {
      const list = this.#several.get(name);
      if (list === undefined) this.#several.set(name, [last, stored]);
      else list.push(stored);
    }
    this.#last.set(name, stored);
    this.#size++;
    return stored;
  }

  /** Removes a registration. Returns the revision of the change, or 0 when it wasn't there. */
  unregister(stored: StoredRegistration): number {
    const { name } = stored;
    const list = this.#several.get(name);
    if (list === undefined) {
      if (this.#last.get(name) !== stored) return 0;
      this.#last.delete(name);
    } else {
      const at = list.indexOf(stored);
      if (at < 0) return 0;
      list.splice(at, 1);
      this.#last.set(name, list[list.length - 1]!);
      if (list.length === 1) this.#several.delete(name);
    }
    this.#size--;
    return ++this.#revision;
  }

  /** The registrations of a name, in the order of registration. */
  all(name: string): readonly StoredRegistration[] {
    const last = this.#last.get(name);
    return last === undefined ? none : (this.#several.get(name) ?? [last]);
  }

  /** The last registration of a name. */
  last(name: string): StoredRegistration | undefined {
    return this.#last.get(name);
  }

  /** The first registration of a name. */
  first(name: string): StoredRegistration | undefined {
    return this.#several.get(name)?.[0] ?? this.#last.get(name);
  }

  /** Every registration, name by name. */
  *entries(): IterableIterator<StoredRegistration> {
    for (const [name, last] of this.#last) {
      const list = this.#several.get(name);
      if (list === undefined) yield last;
      else yield* list;
    }
  }

  #replace(former: StoredRegistration, stored: StoredRegistration): boolean {
    const { name } = stored;
    const list = this.#several.get(name);
    const at = list?.indexOf(former) ?? -1;
    if (at >= 0) list![at] = stored;
    const isLast = this.#last.get(name) === former;
    if (isLast) this.#last.set(name, stored);
    return isLast || at >= 0;
  }
}
