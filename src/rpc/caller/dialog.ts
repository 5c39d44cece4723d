/** The caller's end of a dialog. */
import type { Bounds } from "../../deadline.ts";
import { asError, ContextCancelledError, TransportClosedError } from "../../errors.ts";
import { logger } from "../../log.ts";
import type { Exchange } from "./exchange.ts";
import { toldTo } from "../remote-error.ts";
import type { Dialog } from "../types.ts";

const log = logger("rpc");

/**
 * Waits until the callee calls `started`.
 *
 * @throws what the callee throws or cancels with before that; by then its function has ended
 */
export async function openDialog(exchange: Exchange, bounds: Bounds | undefined): Promise<OpenDialog> {
  try {
    const started = await exchange.bounded(exchange.started, bounds, "the start");
    return new OpenDialog(exchange, started, bounds);
  } catch (error) {
    try {
      await exchange.stop(error);
    } catch (unstoppable) {
      log.warn?.(asError(unstoppable).message);
    }
    throw toldTo(error);
  }
}

export class OpenDialog implements Dialog<unknown, unknown, unknown, unknown> {
  readonly started: unknown;
  readonly #exchange: Exchange;
  readonly #bounds: Bounds | undefined;
  readonly #result: Promise<unknown>;
  /** Whether the user has read `result`, which reports an error. */
  #resultRead = false;
  /** The error that the iteration has reported. */
  #told: { readonly error: unknown } | undefined;
  #ended = false;

  constructor(exchange: Exchange, started: unknown, bounds: Bounds | undefined) {
    this.#exchange = exchange;
    this.started = started;
    this.#bounds = bounds;
    this.#result = this.#awaitResult();
    this.#result.catch(() => {}); // reported by `result`, or at the end of the block
  }

  get result(): Promise<unknown> {
    this.#resultRead = true;
    return this.#result;
  }

  async send(value: unknown): Promise<void> {
    this.#checkSending("send");
    await this.#exchange.bounded(this.#exchange.outbox.send(value), this.#bounds, "a send");
  }

  trySend(value: unknown): boolean {
    this.#checkSending("trySend");
    return this.#exchange.outbox.trySend(value);
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#exchange.sendEnd();
  }

  cancel(reason?: string): void {
    this.#exchange.cancel(this.#exchange.ownCancel(reason));
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    return {
      next: () => {
        const item = this.#exchange.inbox.take();
        return item === undefined ? this.#nextMessage() : Promise.resolve({ done: false, value: item.value });
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exchange = this.#exchange;
    const over = exchange.outcome !== undefined;
    const outcome = await exchange.stop(exchange.ownCancel("the dialog's block was left"));
    if (!("error" in outcome)) return;
    const { error } = outcome;
    // don't report this side's own cancel, or what `result` or the iteration has reported or will report
    if (exchange.wasCancelled && error instanceof ContextCancelledError) return;
    if (this.#resultRead && over) return;
    if (this.#told?.error === error) return;
    throw error;
  }

  async #nextMessage(): Promise<IteratorResult<unknown, undefined>> {
    const { inbox } = this.#exchange;
    try {
      const step = await this.#exchange.bounded(inbox.next(), this.#bounds, "the next message");
      // the callee's result is available from `result`
      return step.done ? { done: true, value: undefined } : step;
    } catch (error) {
      this.#told = { error };
      throw toldTo(error);
    }
  }

  async #awaitResult(): Promise<unknown> {
    const outcome = await this.#exchange.ended;
    if ("error" in outcome) throw this.#exchange.asTold(outcome.error);
    return outcome.value;
  }

  #checkSending(verb: string): void {
    if (this.#ended) throw new TransportClosedError(`${this.#exchange.name}: ${verb}() after end()`);
  }
}
