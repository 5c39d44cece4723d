/** A list that may be very long, as the result of a function or of a request. */

/**
 * What a function returns in place of such a list. It is sent in parts, with other work in between (`parts.ts`), and the
 * caller gets an array.
 */
export class LongList {
  readonly length: number;
  /** Makes the elements from one place to another, of which `to` isn't one. */
  readonly slice: (from: number, to: number) => unknown[];

  constructor(length: number, slice: (from: number, to: number) => unknown[]) {
    this.length = length;
    this.slice = slice;
  }

  /** A list of what `show` makes of each of them. They must not change. */
  static of<T>(items: readonly T[], show: (item: T) => unknown): LongList {
    return new LongList(items.length, (from, to) => items.slice(from, to).map(show));
  }
}
