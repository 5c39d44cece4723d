/** The caller's end of a stream: reads a generator of another actor with `for await`. */
import type { Bounds } from "../../deadline.ts";
import { asError, ContextCancelledError, TransportClosedError } from "../../errors.ts";
import { logger } from "../../log.ts";
import type { Exchange } from "./exchange.ts";
import { toldTo } from "../remote-error.ts";

const log = logger("rpc");

/**
 * Reads a stream. Sends nothing before the first `next`. If the loop is left early, in any way, the generator in the
 * other actor ends, including its `finally`, before execution continues after the loop.
 */
export class StreamReader implements AsyncGenerator<unknown, unknown, undefined> {
  readonly #open: () => Exchange;
  readonly #bounds: Bounds | undefined;
  #exchange: Exchange | undefined;
  #done = false;

  constructor(open: () => Exchange, bounds: Bounds | undefined) {
    this.#open = open;
    this.#bounds = bounds;
  }

  /** A value that has already arrived costs one promise: no microtask turn and no deadline (row `stream.small`). */
  next(): Promise<IteratorResult<unknown, unknown>> {
    const item = this.#done ? undefined : this.#exchange?.inbox.take();
    return item === undefined ? this.#wait() : Promise.resolve({ done: false, value: item.value });
  }

  async #wait(): Promise<IteratorResult<unknown, unknown>> {
    if (this.#done) return { done: true, value: undefined };
    try {
      const exchange = (this.#exchange ??= this.#open());
      const step = await exchange.bounded(exchange.inbox.next(), this.#bounds, "the next value");
      if (step.done) this.#done = true;
      return step;
    } catch (error) {
      this.#done = true;
      // aborted or timed out on this side: wait until the generator has ended before reporting it
      if (this.#exchange?.wasCancelled) await this.#stopQuietly(this.#exchange, error);
      throw toldTo(error);
    }
  }

  async return(value?: unknown): Promise<IteratorResult<unknown, unknown>> {
    await this.#stop();
    return { done: true, value: await value };
  }

  async throw(error: unknown): Promise<IteratorResult<unknown, unknown>> {
    await this.#stop();
    throw error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #stop(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.outcome !== undefined) return;
    const reason = exchange.ownCancel("the reader left");
    const outcome = await exchange.stop(reason);
    if (!("error" in outcome)) return;
    // the cancel was our own, and a dead peer's generator is over too; report only errors from its clean-up
    const { error } = outcome;
    if (!(error instanceof ContextCancelledError || error instanceof TransportClosedError)) throw error;
  }

  /** Waits for the callee to end after an abort on this side. Its errors are only logged: the reader gets `reason`. */
  async #stopQuietly(exchange: Exchange, reason: unknown): Promise<void> {
    try {
      await exchange.stop(reason);
    } catch (error) {
      log.warn?.(asError(error).message);
    }
  }
}
