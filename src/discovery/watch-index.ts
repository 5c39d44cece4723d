/**
 * Which watchers a name concerns. Pure: no sockets, no clock.
 *
 * A name is looked up once as itself, and once for each distinct *length* of the prefixes that are watched. So watches
 * that don't match cost it nothing, however many there are: 10,000 watches of prefixes of one length take one probe.
 */
import { readPattern } from "./pattern.ts";

export class WatchIndex<Watcher> {
  readonly #exact = new Map<string, Set<Watcher>>();
  readonly #prefixes = new Map<string, Set<Watcher>>();
  /** The lengths of the prefixes in use, in ascending order, and how many prefixes have each. */
  #lengths: number[] = [];
  readonly #prefixesOfLength = new Map<number, number>();
  #size = 0;

  /** The number of watches. */
  get size(): number {
    return this.#size;
  }

  /** Adds a watcher of a valid pattern. */
  add(pattern: string, watcher: Watcher): void {
    const { text, isPrefix } = readPattern(pattern);
    const watched = isPrefix ? this.#prefixes : this.#exact;
    let watchers = watched.get(text);
    if (watchers === undefined) {
      watched.set(text, (watchers = new Set()));
      if (isPrefix) this.#count(text.length, 1);
    }
    if (watchers.has(watcher)) return;
    watchers.add(watcher);
    this.#size++;
  }

  remove(pattern: string, watcher: Watcher): void {
    const { text, isPrefix } = readPattern(pattern);
    const watched = isPrefix ? this.#prefixes : this.#exact;
    const watchers = watched.get(text);
    if (watchers?.delete(watcher) !== true) return;
    this.#size--;
    if (watchers.size > 0) return;
    watched.delete(text);
    if (isPrefix) this.#count(text.length, -1);
  }

  /**
   * Calls `visit` for each watcher of the name, which may add and remove watchers meanwhile. Returns the number of probes
   * that it took to find them.
   */
  visit(name: string, visit: (watcher: Watcher) => void): number {
    let probes = 1;
    this.#exact.get(name)?.forEach(visit);
    const lengths = this.#lengths;
    for (const length of lengths) {
      if (length > name.length) break;
      probes++;
      this.#prefixes.get(name.slice(0, length))?.forEach(visit);
    }
    return probes;
  }

  /** The watchers of the name, as they are when it comes to each of them. */
  *watchers(name: string): Generator<Watcher> {
    yield* this.#exact.get(name) ?? [];
    for (const length of this.#lengths) {
      if (length > name.length) return;
      yield* this.#prefixes.get(name.slice(0, length)) ?? [];
    }
  }

  /** How many watchers the name has. */
  count(name: string): number {
    let count = this.#exact.get(name)?.size ?? 0;
    for (const length of this.#lengths) {
      if (length > name.length) break;
      count += this.#prefixes.get(name.slice(0, length))?.size ?? 0;
    }
    return count;
  }

  #count(length: number, change: 1 | -1): void {
    const count = (this.#prefixesOfLength.get(length) ?? 0) + change;
    if (count > 0) this.#prefixesOfLength.set(length, count);
    else this.#prefixesOfLength.delete(length);
    // replaced, never changed: a visit under way keeps the one it has
    if (count === 0 || (count === 1 && change === 1))
      this.#lengths = Array.from(this.#prefixesOfLength.keys()).toSorted((a, b) => a - b);
  }
}
