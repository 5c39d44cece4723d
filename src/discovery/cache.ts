/**
 * What this actor knows of one registrar's table: the names it has asked for, kept current by the registrar's pushes.
 * Pure: no I/O, no clock. The cache is void once the connection to its registrar ends.
 */
import { type Found, type FoundRegistration, isDetailed } from "./registration.ts";

/** A name that is kept current, or is being asked for. */
export interface CachedName {
  /** Undefined until the registrar has answered. An empty list is a known miss. */
  list: Found | undefined;
  /** The list may lack some that a new registrar still waited for: whoever wants all has to ask again. */
  isPartial: boolean;
  /** The registrar's answer, while it is pending. */
  asking: Promise<Found> | undefined;
  /** Used since the last sweep; spares it once. */
  used: boolean;
  /** Called at the next change. */
  waiters: Set<() => void> | undefined;
}

export class NameCache {
  readonly #names = new Map<string, CachedName>();
  readonly #limit: number;
  readonly #onEvict: (name: string) => void;
  /** How many of them have a list. Only these count, so that a name being asked for never triggers a search for room. */
  #known = 0;

  /** `onEvict` tells the registrar to stop pushing changes of a name. */
  constructor(limit: number, onEvict: (name: string) => void) {
    this.#limit = limit;
    this.#onEvict = onEvict;
  }

  /** How many names are known. */
  get size(): number {
    return this.#known;
  }

  /** Whether the name is known; doesn't count as a use. */
  has(name: string): boolean {
    return this.#names.get(name)?.list !== undefined;
  }

  /** The registrations of a name, in the order of registration, or undefined when the name isn't known. */
  get(name: string): Found | undefined {
    const known = this.#names.get(name);
    if (known === undefined) return undefined;
    known.used = true;
    return known.list;
  }

  /** The entry of a name that is known or being asked for. */
  find(name: string): CachedName | undefined {
    return this.#names.get(name);
  }

  /** Makes the entry of a name that is about to be asked for; it isn't evicted while `asking` is set. */
  begin(name: string): CachedName {
    const entry = { list: undefined, isPartial: false, asking: undefined, used: true, waiters: undefined };
    this.#names.set(name, entry);
    return entry;
  }

  /** Takes the registrar's answer: from now on its pushes keep the name current. */
  answer(entry: CachedName, list: Found): void {
    if (entry.list === undefined) {
      if (++this.#known > this.#limit) this.#evict();
    } else if (entry.list.length > 0 && isDetailed(entry.list) && !isDetailed(list)) {
      // kept current with details: an answer without them has nothing to add
      return;
    }
    entry.list = list;
    this.#wake(entry);
  }

  /** Ends a request that brought no answer, unless another one is in progress. */
  giveUp(name: string, entry: CachedName): void {
    if (entry.asking === undefined && entry.list === undefined && this.#names.get(name) === entry)
      this.#names.delete(name);
  }

  /**
   * Applies a pushed change: an actor registered, or changed its addresses. A new one comes before that of the uuid
   * `before`, or last. Returns whether the name is known.
   */
  added(name: string, found: FoundRegistration, before?: string | null): boolean {
    const known = this.#names.get(name);
    if (known?.list === undefined) return false;
    const at = known.list.findIndex((one) => one.id.uuid === found.id.uuid);
    // lists are replaced, never changed: a lookup in progress keeps the one it has
    known.list = at < 0 ? inserted(known.list, found, before) : known.list.with(at, found);
    this.#wake(known);
    return true;
  }

  /** Applies a pushed change: an actor is gone. Returns whether the name is known. */
  removed(name: string, uuid: string): boolean {
    const known = this.#names.get(name);
    if (known?.list === undefined) return false;
    known.list = known.list.filter((one) => one.id.uuid !== uuid);
    this.#wake(known);
    return true;
  }

  /** Forgets a name that the registrar doesn't keep current: the next lookup asks again. */
  drop(name: string): void {
    const known = this.#names.get(name);
    if (known?.list === undefined) return;
    known.list = undefined;
    this.#known--;
    if (known.asking === undefined) this.#names.delete(name);
    this.#wake(known);
  }

  /**
   * Calls `onChange` once, at the next change of a known name, which isn't evicted meanwhile; at once when the name
   * isn't known. Returns the function that calls it off.
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

  /** Forgets everything, and wakes all watchers: the cache's registrar is gone. */
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

  /** Second chance: evicts the oldest name unused since the last sweep. */
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

function inserted(list: Found, found: FoundRegistration, before: string | null | undefined): Found {
  const at = typeof before === "string" ? list.findIndex(({ id }) => id.uuid === before) : -1;
  return at < 0 ? [...list, found] : list.toSpliced(at, 0, found);
}
