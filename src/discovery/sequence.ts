/**
 * An ordered list that may be very long. An array looks at every element to find one, and moves all that come after it: a
 * hundred thousand instances of a name, added one by one, would take minutes. Here each of these steps concerns one part of
 * the list alone.
 */

/** A part with twice as many is divided. */
const partSize = 64;

export class Sequence<T, K = T> {
  readonly #keyOf: (item: T) => K;
  /** None of them is empty. */
  readonly #parts: T[][] = [];
  /** The part that each key is in, once there are several. */
  #partOf: Map<K, T[]> | undefined;
  #size = 0;

  /** `keyOf`: what tells the elements apart. */
  constructor(keyOf: (item: T) => K, items: Iterable<T> = []) {
    this.#keyOf = keyOf;
    for (const item of items) this.push(item);
  }

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#parts[0]?.[0];
  }

  get last(): T | undefined {
    return this.#parts.at(-1)?.at(-1);
  }

  get(key: K): T | undefined {
    const part = this.#find(key);
    return part?.[this.#indexIn(part, key)];
  }

  /** The element that comes after that of the key. */
  following(key: K): T | undefined {
    const part = this.#find(key);
    if (part === undefined) return undefined;
    const at = this.#indexIn(part, key);
    return at + 1 < part.length ? part[at + 1] : this.#parts[this.#parts.indexOf(part) + 1]?.[0];
  }

  /** Adds an element at the end. */
  push(item: T): void {
    const part = this.#parts.at(-1);
    if (part === undefined || part.length >= partSize) this.#addPart(this.#parts.length, [item]);
    else this.#insert(part, part.length, item);
    this.#size++;
  }

  /** Adds an element before that of the key `next`; at the end, if there is none. */
  insertBefore(next: K, item: T): void {
    const part = this.#find(next);
    if (part === undefined) return this.push(item);
    this.#insert(part, this.#indexIn(part, next), item);
    this.#size++;
  }

  /** Adds an element before the first for which `isAfter` is true. It must be true for all that come after that one. */
  insertInOrder(item: T, isAfter: (other: T) => boolean): void {
    const before = partition(this.#parts, ([first]) => isAfter(first!));
    const part = this.#parts[Math.max(0, before - 1)];
    if (part === undefined) return this.push(item);
    this.#insert(part, partition(part, isAfter), item);
    this.#size++;
  }

  /** Puts `item` in the place of the element of the key. False if there is none. */
  replace(key: K, item: T): boolean {
    const part = this.#find(key);
    if (part === undefined) return false;
    part[this.#indexIn(part, key)] = item;
    if (this.#partOf?.delete(key) === true) this.#partOf.set(this.#keyOf(item), part);
    return true;
  }

  /** False if there is none of that key. */
  delete(key: K): boolean {
    const part = this.#find(key);
    if (part === undefined) return false;
    part.splice(this.#indexIn(part, key), 1);
    if (part.length === 0) this.#parts.splice(this.#parts.indexOf(part), 1);
    this.#partOf?.delete(key);
    this.#size--;
    return true;
  }

  toArray(): T[] {
    const all: T[] = [];
    for (const part of this.#parts) for (const item of part) all.push(item);
    return all;
  }

  #find(key: K): T[] | undefined {
    if (this.#partOf !== undefined) return this.#partOf.get(key);
    const [part] = this.#parts;
    return part !== undefined && this.#indexIn(part, key) >= 0 ? part : undefined;
  }

  #indexIn(part: readonly T[], key: K): number {
    for (let at = 0; at < part.length; at++) if (this.#keyOf(part[at]!) === key) return at;
    return -1;
  }

  #insert(part: T[], at: number, item: T): void {
    if (at === part.length) part.push(item);
    else part.splice(at, 0, item);
    this.#partOf?.set(this.#keyOf(item), part);
    if (part.length >= 2 * partSize) this.#addPart(this.#parts.indexOf(part) + 1, part.splice(partSize));
  }

  #addPart(at: number, part: T[]): void {
    this.#parts.splice(at, 0, part);
    if (this.#partOf !== undefined) this.#note(part);
    else if (this.#parts.length > 1) {
      this.#partOf = new Map();
      for (const one of this.#parts) this.#note(one);
    }
  }

  #note(part: T[]): void {
    for (const item of part) this.#partOf!.set(this.#keyOf(item), part);
  }
}

/** How many come before the first for which `isAfter` is true. */
function partition<T>(list: readonly T[], isAfter: (item: T) => boolean): number {
  let from = 0;
  let to = list.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (isAfter(list[middle]!)) to = middle;
    else from = middle + 1;
  }
  return from;
}
