/**
 * What this actor knows of one registrar's table: the names it has asked for, kept current by the registrar's pushes.
 * Pure: no I/O, no clock. The cache is void once the connection to its registrar ends.
 */
import { CachedName } from "./cached-name.ts";
import { type Answered, type Found, type FoundRegistration, isDetailed } from "./registration.ts";

/** How many names a search for room spares at most because they were used: then it takes the next one. */
const mostSpared = 64;

export class NameCache {
  readonly #names = new Map<string, CachedName>();
  readonly #limit: number;
  readonly #onEvict: (name: string) => void;
  /** How many of them are known. Only these count, so that a name being asked for never triggers a search for room. */
  #known = 0;
  /** The known names that nobody waits for, in a ring: the oldest is next to this one, which is none. */
  readonly #ring = new CachedName("");

  /** `onEvict` tells the registrar to stop pushing changes of a name. */
  constructor(limit: number, onEvict: (name: string) => void) {
    this.#limit = limit;
    this.#onEvict = onEvict;
    this.#ring.previous = this.#ring.next = this.#ring;
  }

  /** How many names are known. */
  get size(): number {
    return this.#known;
  }

  /** Whether the name is known; doesn't count as a use. */
  has(name: string): boolean {
    return this.#names.get(name)?.isKnown === true;
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
    const entry = new CachedName(name);
    this.#names.set(name, entry);
    return entry;
  }

  /** Takes the registrar's answer: from now on its pushes keep the name current. */
  answer(entry: CachedName, answered: Answered): void {
    if (!entry.isKnown) {
      this.#known++;
      // two, if there are more than that: a search may have found none
      for (let n = 0; n < 2 && this.#known > this.#limit; n++) this.#evict();
      this.#mayEvict(entry);
    } else if (entry.isDetailed && (typeof answered === "string" || !isDetailed(answered))) {
      // kept current with details: an answer without them has nothing to add
      return;
    }
    entry.set(answered);
    this.#wake(entry);
  }

  /** Ends a request that brought no answer, unless another one is in progress. */
  giveUp(name: string, entry: CachedName): void {
    if (entry.asking === undefined && !entry.isKnown && this.#names.get(name) === entry)
      this.#names.delete(name);
  }

  /**
   * Applies a pushed change: an actor registered, or changed its addresses. A new one comes before that of the uuid
   * `before`, or last. Returns whether the name is known.
   */
  added(name: string, found: FoundRegistration, before?: string | null): boolean {
    const known = this.#names.get(name);
    if (known?.isKnown !== true) return false;
    known.put(found, before);
    this.#wake(known);
    return true;
  }

  /** Applies a pushed change: an actor is gone. Returns whether the name is known. */
  removed(name: string, uuid: string): boolean {
    const known = this.#names.get(name);
    if (known?.isKnown !== true) return false;
    known.remove(uuid);
    this.#wake(known);
    return true;
  }

  /** Forgets a name that the registrar doesn't keep current: the next lookup asks again. */
  drop(name: string): void {
    const known = this.#names.get(name);
    if (known?.isKnown !== true) return;
    known.set(undefined);
    this.#known--;
    this.#mustStay(known);
    if (known.asking === undefined) this.#names.delete(name);
    this.#wake(known);
  }

  /**
   * Calls `onChange` once, at the next change of a known name, which isn't evicted meanwhile; at once when the name
   * isn't known. Returns the function that calls it off.
   */
  watch(name: string, onChange: () => void): () => void {
    const known = this.#names.get(name);
    if (known?.isKnown !== true) {
      onChange();
      return () => {};
    }
    if (known.waiters === undefined) this.#mustStay(known);
    const waiters = (known.waiters ??= new Set());
    waiters.add(onChange);
    return () => {
      waiters.delete(onChange);
      if (waiters.size > 0 || known.waiters !== waiters) return;
      known.waiters = undefined;
      this.#mayEvict(known);
      if (this.#known > this.#limit) this.#evict();
    };
  }

  /** Forgets everything, and wakes all watchers: the cache's registrar is gone. */
  clear(): void {
    const all = Array.from(this.#names.values());
    this.#names.clear();
    this.#known = 0;
    this.#ring.previous = this.#ring.next = this.#ring;
    for (const known of all) this.#wake(known);
  }

  #wake(known: CachedName): void {
    const { waiters } = known;
    if (waiters === undefined) return;
    known.waiters = undefined;
    if (known.isKnown && this.#names.get(known.name) === known) this.#mayEvict(known);
    for (const waiter of waiters) waiter();
  }

  #mayEvict(entry: CachedName): void {
    const last = this.#ring.previous!;
    entry.previous = last;
    entry.next = this.#ring;
    last.next = this.#ring.previous = entry;
  }

  #mustStay(entry: CachedName): void {
    const { previous, next } = entry;
    if (previous === undefined || next === undefined) return;
    previous.next = next;
    next.previous = previous;
    entry.previous = entry.next = undefined;
  }

  /**
   * Second chance: evicts the oldest name that wasn't used since the last time it was its turn. None, if somebody waits for each
   * of them: then there are as many as that.
   */
  #evict(): void {
    for (let spared = 0; spared < 2 * mostSpared; spared++) {
      const entry = this.#ring.next!;
      if (entry === this.#ring) return;
      this.#mustStay(entry);
      if (entry.asking !== undefined || (entry.used && spared < mostSpared)) {
        entry.used = false;
        this.#mayEvict(entry);
        continue;
      }
      this.#names.delete(entry.name);
      this.#known--;
      this.#onEvict(entry.name);
      return;
    }
  }
}
