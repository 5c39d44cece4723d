/**
 * The caller's end of a stream or dialog: what has arrived, what may be sent, and how it ended. The user-facing ends
 * (`stream-reader.ts`, `dialog.ts`) are built on it.
 */
import { type Bounds, startTimer } from "../../deadline.ts";
import { ContextCancelledError, TimeoutError, TransportClosedError } from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import type { Kind } from "../../wire/messages.ts";
import { type Credit, type FlowChannel, Inbox, type Keeping, Outbox } from "../flow.ts";
import { ambientTask } from "../task.ts";

/** How an exchange ended: with the callee's result, or an error. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** What an exchange needs from its connection. */
export interface ExchangePort {
  /** The callee. */
  readonly peerId: ActorId;
  readonly channel: FlowChannel & { readonly buffered: Keeping | undefined };
  /** Sends a message; returns the bytes of its frame. */
  put(id: number, name: string, message: unknown): number;
  putEnd(id: number): void;
  /** Grants the callee more credit. */
  allowItems(id: number, messages: number, bytes: number): void;
  cancelRequest(id: number, reason: string): void;
  /** Stops waiting for the reply; if it still comes, it is ignored. */
  abandon(id: number): void;
}

export class Exchange {
  readonly kind: typeof Kind.stream | typeof Kind.open;
  readonly name: string;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  /** Settles with the started value, or with the end if that comes first. */
  readonly started: Promise<unknown>;
  /** Resolves, and never rejects, once the callee is known to have ended. */
  readonly ended: Promise<Outcome>;
  readonly #port: ExchangePort;
  readonly #id: number;
  readonly #self: ActorId;
  readonly #stopBoundMs: number;
  readonly #started = Promise.withResolvers<unknown>();
  readonly #ended = Promise.withResolvers<Outcome>();
  #outcome: Outcome | undefined;
  #cancelled: { readonly reason: unknown } | undefined;
  #undo: (() => void)[] = [];

  constructor(
    port: ExchangePort,
    kind: typeof Kind.stream | typeof Kind.open,
    name: string,
    id: number,
    self: ActorId,
    credit: Credit,
    stopBoundMs: number,
  ) {
    this.kind = kind;
    this.name = name;
    this.#port = port;
    this.#id = id;
    this.#self = self;
    this.#stopBoundMs = stopBoundMs;
    const { channel } = port;
    this.inbox = new Inbox(
      credit,
      (messages, bytes) => port.allowItems(id, messages, bytes),
      channel.buffered,
    );
    this.outbox = new Outbox(channel, (value) => port.put(id, name, value));
    this.started = this.#started.promise;
    this.ended = this.#ended.promise;
    this.started.catch(() => {}); // a stream doesn't wait for it
  }

  /** The outcome, once it's known. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Whether this side has cancelled it. */
  get wasCancelled(): boolean {
    return this.#cancelled !== undefined;
  }

  /** Maps the callee's acknowledgement of this side's cancel back to the reason of that cancel. */
  asTold(error: unknown): unknown {
    const acknowledged = error instanceof ContextCancelledError && error.canceller.uuid === this.#self.uuid;
    return acknowledged && this.#cancelled !== undefined ? this.#cancelled.reason : error;
  }

  /** Cancels the exchange when `signal` is aborted, or the task that the running code belongs to. */
  follow(signal: AbortSignal | undefined): void {
    const task = ambientTask();
    if (task !== undefined) this.#undo.push(task.onAbort((reason) => this.cancel(reason)));
    if (signal === undefined) return;
    const onAbort = (): void => this.cancel(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#undo.push(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
  }

  onStarted(value: unknown): void {
    this.#started.resolve(value);
  }

  onItem(value: unknown, bytes: number): void {
    if (this.#cancelled === undefined) this.inbox.push(value, bytes);
  }

  onItemEnd(): void {
    this.inbox.finish(undefined);
  }

  onResult(value: unknown): void {
    this.#conclude({ value });
  }

  onError(error: unknown): void {
    this.#conclude({ error });
  }

  /**
   * Asks the callee to stop. Readers and writers on this side end immediately, with `reason`; `ended` resolves when the
   * callee has acknowledged.
   */
  cancel(reason: unknown): void {
    if (this.#outcome !== undefined || this.#cancelled !== undefined) return;
    this.#cancelled = { reason };
    this.#port.cancelRequest(this.#id, reasonText(reason));
    this.inbox.drop();
    this.inbox.fail(reason);
    this.outbox.close(reason);
    this.#started.reject(reason);
  }

  /** Tells the callee that no more messages will come. */
  sendEnd(): void {
    if (this.#outcome === undefined && this.#cancelled === undefined) this.#port.putEnd(this.#id);
  }

  /** The error for a cancel by this side. */
  ownCancel(reason?: string): ContextCancelledError {
    return new ContextCancelledError(this.#self, reason);
  }

  /**
   * Cancels the exchange unless it's over, and waits until the callee has ended.
   *
   * @throws {TimeoutError} with stage "stop" when the callee ignores the cancel for `stopGraceMs` plus `stopTermMs`
   */
  async stop(reason: unknown): Promise<Outcome> {
    this.cancel(reason);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, this.#stopBoundMs, undefined);
    const outcome = await Promise.race([this.ended, promise]);
    clearTimeout(timer);
    if (outcome !== undefined) return outcome;
    this.#port.abandon(this.#id);
    const who = describeActor(this.#port.peerId);
    const error = new TimeoutError(
      "stop",
      `${this.name} on ${who} has ignored its cancel for ${this.#stopBoundMs} ms and still runs there`,
    );
    this.#conclude({ error });
    throw error;
  }

  /** Waits for `work`; cancels the exchange if that takes longer than `bounds.timeout`. */
  async bounded<T>(work: Promise<T>, bounds: Bounds | undefined, what: string): Promise<T> {
    const timeout = bounds?.timeout;
    if (timeout === undefined) return await work;
    const timer = startTimer(timeout, () => {
      const who = describeActor(this.#port.peerId);
      this.cancel(
        new TimeoutError("call", `${what} of ${this.name} on ${who} took longer than ${timeout} ms`),
      );
    });
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  }

  #conclude(outcome: Outcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    for (const undo of this.#undo.splice(0)) undo();
    if ("error" in outcome) {
      this.#started.reject(outcome.error);
      this.inbox.fail(outcome.error);
      this.outbox.close(outcome.error);
    } else {
      this.#started.resolve(undefined);
      this.inbox.finish(outcome.value);
      this.outbox.close(new TransportClosedError(`${this.name} has returned and accepts no more messages`));
    }
    this.#ended.resolve(outcome);
  }
}

/** The text of a reason, as sent to the callee. */
function reasonText(reason: unknown): string {
  if (reason instanceof ContextCancelledError) return reason.reason ?? "";
  if (reason instanceof Error) return reason.message;
  return typeof reason === "string" ? reason : "";
}
