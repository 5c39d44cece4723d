/**
 * The caller's end of a stream or dialog: what has arrived, what may be sent, and how it ended. The verbs that users see
 * (`stream.ts`, `dialog.ts`) stand on it.
 */
import { type Bounds, startTimer } from "../../deadline.ts";
import { ContextCancelledError, TimeoutError, TransportClosedError } from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import { type Credit, type FlowChannel, Inbox, type Keeping, Outbox } from "../flow.ts";
import { ambientTask } from "../task.ts";

/** How an exchange ended: the callee's result, or why there is none. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** What an exchange needs of its connection. */
export interface ExchangePort {
  /** The callee. */
  readonly peerId: ActorId;
  readonly channel: FlowChannel & { readonly buffered: Keeping | undefined };
  /** Sends a message; returns the bytes of its frame. */
  put(id: number, name: string, message: unknown): number;
  putEnd(id: number): void;
  /** Lets the callee send more. */
  allowItems(id: number, messages: number, bytes: number): void;
  cancelRequest(id: number, reason: string): void;
  /** Waits no longer for the answer, which will be ignored. */
  abandon(id: number): void;
}

export class Exchange {
  readonly name: string;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  /** Settles at the first of: the started value, the end. */
  readonly started: Promise<unknown>;
  /** Resolves, never rejects, when the callee's end is known: nothing of it runs any more. */
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

  /** `bounds.signal` and the ambient task cancel it; `bounds.timeout` is for those who wait. */
  constructor(
    port: ExchangePort,
    name: string,
    id: number,
    self: ActorId,
    credit: Credit,
    stopBoundMs: number,
  ) {
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
    this.started.catch(() => {}); // a stream has no started value to wait for
  }

  /** The outcome, once there is one. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Whether this side has cancelled it. */
  get wasCancelled(): boolean {
    return this.#cancelled !== undefined;
  }

  /** The error as this side has to hear it: the acknowledgement of its own cancel is the reason of that. */
  asTold(error: unknown): unknown {
    const acknowledged = error instanceof ContextCancelledError && error.canceller.uuid === this.#self.uuid;
    return acknowledged && this.#cancelled !== undefined ? this.#cancelled.reason : error;
  }

  /** Ties it to a signal and to the task that the running code belongs to: their abort cancels it. */
  follow(signal: AbortSignal | undefined): void {
    const task = ambientTask();
    if (task !== undefined) this.#undo.push(task.onAbort((reason) => this.cancel(reason)));
    if (signal === undefined) return;
    const onAbort = (): void => this.cancel(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#undo.push(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
  }

  /** The session's side. */
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
   * Asks the callee to stop. Readers and writers here end at once, with `reason`; `ended` tells when the callee has
   * acknowledged.
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

  /** Tells the callee that no more messages come. */
  sendEnd(): void {
    if (this.#outcome === undefined && this.#cancelled === undefined) this.#port.putEnd(this.#id);
  }

  /** The error of a cancel by this side. */
  ownCancel(reason?: string): ContextCancelledError {
    return new ContextCancelledError(this.#self, reason);
  }

  /**
   * Cancels it if it is not over, and waits for the callee to have ended.
   *
   * @throws {TimeoutError} with stage "stop" when the callee ignores the cancel for longer than the stop bounds
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

  /** `work`, unless it takes longer than the bounds' timeout: then the exchange is cancelled. */
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
      this.outbox.close(new TransportClosedError(`${this.name} has returned: it takes no more messages`));
    }
    this.#ended.resolve(outcome);
  }
}

/** The words that the callee hears for a reason. */
function reasonText(reason: unknown): string {
  if (reason instanceof ContextCancelledError) return reason.reason ?? "";
  if (reason instanceof Error) return reason.message;
  return typeof reason === "string" ? reason : "";
}
