/**
 * What waits for an answer, by the id of its request. Ids count up, and most requests are answered before many others are made:
 * each of those has a slot of its own, found by the end of its id, and the few that take longer are in a map. With 64 calls in
 * flight, a map for all of them costs a tenth of the caller's time (row `rpc.unix.64`).
 */

/** A power of two, and more than the calls in flight that the row has. */
const slots = 128;
/** The id of a slot that is free. */
const none = -1;

export class Pending<T> {
  /** The id in each slot, or `none`. Both are made with the first request: many peers are never asked. */
  #ids: number[] = [];
  #found: (T | undefined)[] = [];
  #inSlots = 0;
  /** Those that had to leave their slots to later ones. */
  readonly #late = new Map<number, T>();

  get size(): number {
    return this.#inSlots + this.#late.size;
  }

  get(id: number): T | undefined {
    const slot = id & (slots - 1);
    return this.#ids[slot] === id ? this.#found[slot] : this.#late.get(id);
  }

  /** `id` must be greater than all before it. */
  set(id: number, one: T): void {
    if (this.#ids.length === 0) {
      this.#ids = Array.from({ length: slots }, () => none);
      this.#found = Array.from({ length: slots }, () => undefined);
    }
    const slot = id & (slots - 1);
    const former = this.#ids[slot]!;
    if (former === none) this.#inSlots++;
    else this.#late.set(former, this.#found[slot]!);
    this.#ids[slot] = id;
    this.#found[slot] = one;
  }

  /** Returns false if there is none. */
  delete(id: number): boolean {
    const slot = id & (slots - 1);
    if (this.#ids[slot] !== id) return this.#late.delete(id);
    this.#ids[slot] = none;
    this.#found[slot] = undefined;
    this.#inSlots--;
    return true;
  }

  clear(): void {
    this.#ids = [];
    this.#found = [];
    this.#inSlots = 0;
    this.#late.clear();
  }

  /** The id of the oldest; where some had to leave their slots, of the one that did so first. Undefined if there is none. */
  get oldest(): number | undefined {
    const [late] = this.#late.keys();
    if (late !== undefined || this.#inSlots === 0) return late;
    return Math.min(...this.#ids.filter((id) => id !== none));
  }

  /** All of them, in the order of their ids. */
  entries(): [id: number, one: T][] {
    const late = Array.from(this.#late);
    const others = this.#ids.flatMap((id, slot) =>
      id === none ? [] : [[id, this.#found[slot]!] as [number, T]],
    );
    return [...late, ...others].toSorted(([a], [b]) => a - b);
  }
}
