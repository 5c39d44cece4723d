/**
 * What this actor knows of one registrar's table: the names that it asked for, kept current by the registrar's pushes.
 * Pure: no I/O, no clock. When the connection to the registrar ends, the whole cache is thrown away with it.
 */
import type { Instance } from "./instance.ts";

/** What a registrar knows of a name, in the order of registration. */
export type Instances = readonly Instance[];

/** A name that is kept current, or is being asked for. */
export interface CachedName {
  /** Undefined until the registrar has answered; an empty list is a known miss. */
  list: Instances | undefined;
  /** The answer, while it is awaited. */
  asking: Promise<Instances> | undefined;
  /** Used since the last sweep; spares it once. */
  used: boolean;
  /** Somebody waits for a change of it. */
  waiters: Set<() => void> | undefined;
}

export class NameCache {
  readonly #names = new Map<string, CachedName>();
  readonly #limit: number;
  readonly #onEvict: (name: string) => void;
  /** Of those, the ones with a list: only they count, so that a name costs no search for room while it is asked for. */
  #known = 0;

  /** `onEvict` gives the interest in a name back to the registrar. */
  constructor(limit: number, onEvict: (name: string) => void) {
    this.#limit = limit;
    this.#onEvict = onEvict;
  }

  /** How many names are known. */
  get size(): number {
    return this.#known;
  }

  /** Whether the name is known; does not count as a use. */
  has(name: string): boolean {
    return this.#names.get(name)?.list !== undefined;
  }

  /** The instances of a name in the order of registration, or undefined when the cache does not know the name. */
  get(name: string): Instances | undefined {
    const known = this.#names.get(name);
    if (known === undefined) return undefined;
    known.used = true;
    return known.list;
  }

  /** The entry of a name that is known or asked for. */
  find(name: string): CachedName | undefined {
    return this.#names.get(name);
  }

  /** Makes the entry of a name that is going to be asked for; it is not evicted while `asking` is set. */
  begin(name: string): CachedName {
    const entry = { list: undefined, asking: undefined, used: true, waiters: undefined };
    this.#names.set(name, entry);
    return entry;
  }

  /** The registrar's answer: from now on its pushes keep the name current. */
  answer(entry: CachedName, list: Instances): void {
    if (entry.list === undefined && ++this.#known > this.#limit) this.#evict();
    entry.list = list;
    this.#wake(entry);
  }

  /** Nothing was learnt of a name that was asked for. */
  giveUp(name: string, entry: CachedName): void {
    entry.asking = undefined;
    if (entry.list === undefined && this.#names.get(name) === entry) this.#names.delete(name);
  }

  /** A pushed change: an actor registered, or changed its addresses. Returns whether the name is known. */
  added(name: string, instance: Instance): boolean {
    const known = this.#names.get(name);
    if (known?.list === undefined) return false;
    const at = known.list.findIndex((one) => one.id.uuid === instance.id.uuid);
    // lists are replaced, never changed: a lookup under way keeps the one that it has
    known.list = at < 0 ? [...known.list, instance] : known.list.with(at, instance);
    this.#wake(known);
    return true;
  }

  /** A pushed change: an actor is gone. Returns whether the name is known. */
  removed(name: string, uuid: string): boolean {
    const known = this.#names.get(name);
    if (known?.list === undefined) return false;
    known.list = known.list.filter((one) => one.id.uuid !== uuid);
    this.#wake(known);
    return true;
  }

  /** The registrar does not keep this name current: it is asked for again. */
  drop(name: string): void {
    const known = this.#names.get(name);
    if (known?.list === undefined) return;
    known.list = undefined;
    this.#known--;
    if (known.asking === undefined) this.#names.delete(name);
    this.#wake(known);
  }

  /**
   * Has `onChange` called once, at the next change of a known name; it is not evicted meanwhile. Returns the function
   * that takes it back.
   */
  watch(name: string, onChange: () => void): () => void {
    const known = this.#names.get(name);
    if (known?.list === undefined) {
      onChange();
      return () => {};
    }
    (known.waiters ??= new Set()).add(onChange);
    return () => known.waiters?.delete(onChange);
  }

  /** Ends it: everybody who waits is woken, and finds the cache replaced. */
  clear(): void {
    const all = Array.from(this.#names.values());
    this.#names.clear();
    this.#known = 0;
    for (const known of all) this.#wake(known);
  }

  #wake(known: CachedName): void {
    const { waiters } = known;
    known.waiters = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter();
  }

  /** Second chance: the oldest name that was not used since it was last passed over goes. */
  #evict(): void {
    for (let passes = 0; passes < 2; passes++) {
      for (const [name, known] of this.#names) {
        if (known.list === undefined || known.asking !== undefined) continue;
        if (known.waiters !== undefined && known.waiters.size > 0) continue;
        if (known.used) {
          known.used = false;
          continue;
        }
        this.#names.delete(name);
        this.#known--;
        this.#onEvict(name);
        return;
      }
    }
  }
}
