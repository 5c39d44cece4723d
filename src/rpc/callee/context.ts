/** The callee's end of a dialog: the first parameter of an exported function that is opened instead of run. */
import { ContextCancelledError, TransportClosedError } from "../../errors.ts";
import type { ActorId } from "../../identity.ts";
import type { Inbox, Outbox } from "../flow.ts";
import { drainingSignal, type Task } from "../task.ts";
import type { Context, ContextTypes } from "../types.ts";
import { check, type Schema, type Schemas } from "./validated.ts";

/** What a context needs from its session. */
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
  #schemas: Schemas | undefined;
  /** Settles when all messages so far have been checked. */
  #checked: Promise<unknown> = Promise.resolve();
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

  /** Sets the schemas that check all values sent and received from now on. */
  useSchemas(schemas: Schemas | undefined): void {
    this.#schemas = schemas;
  }

  get signal(): AbortSignal {
    return this.#task.signal;
  }

  get draining(): AbortSignal {
    return drainingSignal(this.#task);
  }

  async started(value?: unknown): Promise<void> {
    this.#check("started");
    if (this.#started) throw new TypeError(`${this.#host.name}: started() was called twice`);
    this.#started = true;
    const { name } = this.#host;
    this.#host.sendStarted(await check(this.#schemas?.started, value, `started value of ${name}`));
  }

  async send(value: unknown): Promise<void> {
    this.#checkSending("send");
    const schema = this.#schemas?.send;
    if (schema === undefined) {
      await this.#outbox.send(value);
      return;
    }
    // a check may be slow, but messages must leave in the order of the calls
    const before = this.#checked;
    const checked = check(schema, value, `message of ${this.#host.name}`);
    this.#checked = Promise.allSettled([before, checked]);
    await before;
    await this.#outbox.send(await checked);
  }

  /** Doesn't apply a schema, since that may have to wait. */
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
    const schema = this.#schemas?.receive;
    const next = () => (schema === undefined ? this.#inbox.next() : this.#nextChecked(schema));
    return { next: next as () => Promise<IteratorResult<unknown, undefined>> };
  }

  /** A message that doesn't match the schema ends the dialog with an error, which the caller, who sent it, receives. */
  async #nextChecked(schema: Schema): Promise<IteratorResult<unknown, unknown>> {
    const step = await this.#inbox.next();
    if (step.done) return step;
    return { done: false, value: await check(schema, step.value, `message to ${this.#host.name}`) };
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
