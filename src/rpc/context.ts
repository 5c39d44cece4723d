/** Dialogs, the callee's end: the first parameter of an exported function that is opened instead of run. */
import { ContextCancelledError, TransportClosedError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import type { Inbox, Outbox } from "./flow.ts";
import type { Task } from "./task.ts";
import type { Context, ContextTypes } from "./types.ts";

/** What a context needs of its session. */
export interface ContextHost {
  readonly self: ActorId;
  readonly name: string;
  sendStarted(value: unknown): void;
  sendEnd(): void;
}

export class ServedContext implements Context<Required<ContextTypes>> {
  readonly caller: ActorId;
  readonly #host: ContextHost;
  readonly #task: Task;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  #started = false;
  #ended = false;

  constructor(host: ContextHost, task: Task, caller: ActorId, inbox: Inbox, outbox: Outbox) {
    this.#host = host;
    this.#task = task;
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.caller = caller;
    task.onAbort((reason) => {
      outbox.close(reason);
      inbox.drop();
      inbox.fail(reason);
    });
  }

  get signal(): AbortSignal {
    return this.#task.signal;
  }

  async started(value?: unknown): Promise<void> {
    this.#check("started");
    if (this.#started) throw new TypeError(`${this.#host.name}: started() was called twice`);
    this.#host.sendStarted(value);
    this.#started = true;
  }

  async send(value: unknown): Promise<void> {
    this.#checkSending("send");
    await this.#outbox.send(value);
  }

  trySend(value: unknown): boolean {
    this.#checkSending("trySend");
    return this.#outbox.trySend(value);
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#task.aborted) this.#host.sendEnd();
  }

  cancel(reason?: string): void {
    this.#task.abort(new ContextCancelledError(this.#host.self, reason));
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined> {
    return { next: () => this.#inbox.next() as Promise<IteratorResult<unknown, undefined>> };
  }

  #checkSending(verb: string): void {
    this.#check(verb);
    if (!this.#started) throw new TypeError(`${this.#host.name}: ${verb}() before started()`);
    if (this.#ended) throw new TransportClosedError(`${this.#host.name}: ${verb}() after end()`);
  }

  #check(verb: string): void {
    if (!this.#task.aborted) return;
    const { reason } = this.#task;
    throw reason instanceof Error
      ? reason
      : new TransportClosedError(`${this.#host.name}: ${verb}() after the end`, { cause: reason });
  }
}
