/** Shares one stream among many local readers. */
import { Deadline } from "../deadline.ts";
import { type End, Subscriber } from "./subscriber.ts";
import { ambientTask, inTask, type Task } from "./task.ts";

const defaultCapacity = 64;
/** The longest that disposal waits for the source to end. */
const disposeMs = 3_000;

/**
 * Passes each value of one source to every subscriber. Disposing it ends the source: a stream or a dialog is cancelled
 * immediately, and has ended at the callee when disposal returns. A source that can't be asked to end (such as the
 * callee's own end of a dialog) is merely no longer read.
 */
export interface Broadcast<T> extends AsyncDisposable {
  /**
   * Returns a reader of all values from now on. A reader that falls more than `capacity` values behind still gets the
   * values queued for it, then a `LaggedError`, and is unsubscribed; it never slows the others.
   */
  subscribe(): AsyncIterable<T>;
}

/**
 * Reads `source` once, starting with the first subscription, for any number of subscribers. When the source ends or
 * fails, so do they. The source belongs to the task that creates the broadcast and is cancelled with it; cancelling a
 * subscriber only unsubscribes it.
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

class Broadcaster<T> implements Broadcast<T> {
  readonly #source: AsyncIterable<T>;
  readonly #capacity: number;
  readonly #subscribers = new Set<Subscriber<T>>();
  /**
   * All subscribers share the source, so it belongs to the task that made the broadcast, not to the first subscriber.
   */
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
    // a source that can't be asked to end may stay silent indefinitely: don't wait for it
    if (asked === undefined) return;
    const ended = Promise.all([asked, this.#reading]);
    // a local generator that waits forever can't be ended from outside: its `return` queues after its `next`
    await new Deadline({ timeout: disposeMs }, "end of a broadcast's source").race("stop", ended);
  }

  /**
   * Asks the source to end: through its iterator, or by disposing it if the iterator has no `return`, as with a
   * dialog.
   */
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
