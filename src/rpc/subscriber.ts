/** One reader's queue of values that others push: bounded, so that a slow reader neither fills memory nor slows the rest. */
import { LaggedError } from "../errors.ts";

/** How a subscriber's values end. */
export interface End {
  readonly error?: unknown;
}

/**
 * A reader that falls more than `capacity` values behind still gets the values queued for it, then a `LaggedError`, and
 * is unsubscribed with `leave`.
 */
export class Subscriber<T> implements AsyncIterableIterator<T> {
  readonly #capacity: number;
  readonly #leave: () => void;
  readonly #what: string;
  readonly #values: T[] = [];
  readonly #readers: PromiseWithResolvers<IteratorResult<T>>[] = [];
  #end: End | undefined;

  /** `what` names the reader in the error. */
  constructor(capacity: number, leave: () => void, what = "a subscriber") {
    this.#capacity = capacity;
    this.#leave = leave;
    this.#what = what;
  }

  push(value: T): void {
    if (this.#end !== undefined) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value });
    } else if (this.#values.length < this.#capacity) {
      this.#values.push(value);
    } else {
      this.#leave();
      this.finish({ error: new LaggedError(`${this.#what} is more than ${this.#capacity} values behind`) });
    }
  }

  finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const reader of this.#readers.splice(0)) this.next().then(reader.resolve, reader.reject);
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#values.length > 0) return Promise.resolve({ done: false, value: this.#values.shift() as T });
    if (this.#end === undefined) {
      const reader = Promise.withResolvers<IteratorResult<T>>();
      this.#readers.push(reader);
      return reader.promise;
    }
    const end = this.#end;
    this.#end = {};
    return "error" in end ? Promise.reject(end.error) : Promise.resolve({ done: true, value: undefined });
  }

  async return(): Promise<IteratorResult<T>> {
    this.#leave();
    this.finish({});
    this.#values.length = 0;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
