/** One stream, many local readers. */
import { Deadline } from "../deadline.ts";
import { LaggedError } from "../errors.ts";
import { ambientTask, inTask, type Task } from "./task.ts";

const defaultCapacity = 64;
/** How long disposal waits for the source to end. */
const disposeMs = 3_000;

/**
 * Hands each value of one source to every subscriber. Dispose it to end the source: a stream and a dialog are cancelled at
 * once, and have ended there when it returns. A source that can't be asked to end (a dialog at its callee) is only left.
 */
export interface Broadcast<T> extends AsyncDisposable {
  /**
   * A reader of all values from now on. One that falls more than `capacity` values behind gets a `LaggedError` after
   * those that it has, and is out; it never slows the others.
   */
  subscribe(): AsyncIterable<T>;
}

/**
 * Reads `source` once, from the first subscription on, for any number of subscribers. The end of the source, or its
 * error, is theirs as well. The source belongs to the task that makes the broadcast, and is cancelled with it; a
 * subscriber that is cancelled only leaves.
 *
 * @throws {RangeError} when `capacity` is not a positive integer
 */
export function broadcast<T>(
  source: AsyncIterable<T>,
  options: { readonly capacity?: number } = {},
): Broadcast<T> {
  const { capacity = defaultCapacity } = options;
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new RangeError(`capacity must be a positive integer, got ${String(capacity)}`);
  }
  return new Broadcaster(source, capacity);
}

/** How a subscriber's values end. */
type End = { readonly error?: unknown };

class Broadcaster<T> implements Broadcast<T> {
  readonly #source: AsyncIterable<T>;
  readonly #capacity: number;
  readonly #subscribers = new Set<Subscriber<T>>();
  /** The source is all subscribers': it belongs to where the broadcast was made, not to whoever is first. */
  readonly #owner: Task | undefined = ambientTask();
  #iterator: AsyncIterator<T> | undefined;
  #reading: Promise<void> | undefined;
  #end: End | undefined;

  constructor(source: AsyncIterable<T>, capacity: number) {
    this.#source = source;
    this.#capacity = capacity;
  }

  subscribe(): AsyncIterable<T> {
    const subscriber = new Subscriber<T>(this.#capacity, () => this.#subscribers.delete(subscriber));
    if (this.#end !== undefined) {
      subscriber.finish(this.#end);
      return subscriber;
    }
    this.#subscribers.add(subscriber);
    this.#reading ??= inTask(this.#owner, () => this.#read());
    return subscriber;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#finish({});
    const asked = this.#endSource();
    // who cannot be asked to end is only left: it may have nothing to say for as long as it likes
    if (asked === undefined) return;
    const ended = Promise.all([asked, this.#reading]);
    // a generator of this process that waits for ever cannot be ended from outside: `return` queues behind its `next`
    await new Deadline({ timeout: disposeMs }, "end of a broadcast's source").race("stop", ended);
  }

  /** Asks the source to end: by its iterator, or as a whole where that cannot be asked, as with a dialog. */
  #endSource(): PromiseLike<unknown> | undefined {
    const iterator = this.#iterator;
    if (iterator?.return !== undefined) return iterator.return();
    return (this.#source as Partial<AsyncDisposable>)[Symbol.asyncDispose]?.();
  }

  async #read(): Promise<void> {
    try {
      const iterator = (this.#iterator = this.#source[Symbol.asyncIterator]());
      for (;;) {
        const step = await iterator.next();
        if (step.done || this.#end !== undefined) break;
        for (const subscriber of this.#subscribers) subscriber.push(step.value);
      }
      this.#finish({});
    } catch (error) {
      this.#finish({ error });
    }
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    for (const subscriber of this.#subscribers) subscriber.finish(end);
    this.#subscribers.clear();
  }
}

/** One reader's queue. */
class Subscriber<T> implements AsyncIterableIterator<T> {
  readonly #capacity: number;
  readonly #leave: () => void;
  readonly #values: T[] = [];
  readonly #readers: PromiseWithResolvers<IteratorResult<T>>[] = [];
  #end: End | undefined;

  constructor(capacity: number, leave: () => void) {
    this.#capacity = capacity;
    this.#leave = leave;
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
      this.finish({ error: new LaggedError(`a subscriber is more than ${this.#capacity} values behind`) });
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
