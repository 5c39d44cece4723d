/** A list that may be very long, as the result of a function or of a request. */

/**
 * What a function returns in place of such a list. It is sent in parts, with other work in between (`parts.ts`), and the
 * caller gets an array.
 */
export class LongList {
  readonly #begin: () => readonly unknown[];
  readonly #show: (item: unknown) => unknown;
  #items: readonly unknown[] | undefined;

  private constructor(begin: () => readonly unknown[], show: (item: unknown) => unknown) {
    this.#begin = begin;
    this.#show = show;
  }

  /** A list of what `show` makes of each of the items that `begin` gives when its turn comes. They must not change. */
  static of<T>(begin: () => readonly T[], show: (item: T) => unknown): LongList {
    return new LongList(begin, (item) => show(item as T));
  }

  get length(): number {
    return this.#all.length;
  }

  /** The elements from one place to another, of which `to` isn't one. */
  slice(from: number, to: number): unknown[] {
    return this.#all.slice(from, to).map((item) => this.#show(item));
  }

  get #all(): readonly unknown[] {
    return (this.#items ??= this.#begin());
  }
}
