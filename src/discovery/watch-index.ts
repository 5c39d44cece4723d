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
   * Adds the watchers of the name to `found`, a set for each of its patterns. The sets are live: they show later changes. Returns the
   * number of probes that it took to find them.
   */
  find(name: string, found: ReadonlySet<Watcher>[]): number {
    let probes = 1;
    const exact = this.#exact.get(name);
    if (exact !== undefined) found.push(exact);
    for (const length of this.#lengths) {
      if (length > name.length) break;
      probes++;
      const watchers = this.#prefixes.get(name.slice(0, length));
      if (watchers !== undefined) found.push(watchers);
    }
    return probes;
  }

  /** Calls `visit` for each watcher of the name, which may add and remove watchers meanwhile. */
  visit(name: string, visit: (watcher: Watcher) => void): void {
    const found: ReadonlySet<Watcher>[] = [];
    this.find(name, found);
    for (const watchers of found) watchers.forEach(visit);
  }

  #count(length: number, change: 1 | -1): void {
    const count = (this.#prefixesOfLength.get(length) ?? 0) + change;
    if (count > 0) this.#prefixesOfLength.set(length, count);
    else this.#prefixesOfLength.delete(length);
    if (count === 0 || (count === 1 && change === 1))
      this.#lengths = Array.from(this.#prefixesOfLength.keys()).toSorted((a, b) => a - b);
  }
}
