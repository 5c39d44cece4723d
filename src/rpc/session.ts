/**
 * Calls, streams and dialogs in both directions over one connection: what this side asked and waits for is kept here,
 * what it runs for the peer in `serving.ts`. When the connection ends, the first are rejected and the second aborted, in that same moment.
 */
import { type Bounds, startTimer } from "../deadline.ts";
import { FrameError, TimeoutError, TransportClosedError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { type ChannelEnd, closedError } from "../channel/channel.ts";
import type { Peer, PeerHandler } from "../channel/peer.ts";
import { sendCall, sendValue, toWire } from "../wire/encode.ts";
import { Kind, type Message, type MessageOf } from "../wire/messages.ts";
import { valueIn } from "../wire/values.ts";
import { Exchange } from "./exchange.ts";
import type { Permissions } from "./policy.ts";
import { decodeFailure, toldTo } from "./remote-error.ts";
import { sendFailure, Serving, type ServingHost } from "./serving.ts";
import type { Task } from "./task.ts";
import { ambientTask } from "./task.ts";

/** A cancel always fits: the reason is for people, and may be cut. */
const maxReasonChars = 4_096;

/** Who waits for the answer to a request; called in the moment that it arrives, before any message behind it. */
export interface Answer {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** A request of another layer, which the peer answers with result or error. */
export type Request = Writable<
  MessageOf<typeof Kind.register | typeof Kind.unregister | typeof Kind.lookup | typeof Kind.stop>
>;

/** What a session needs of its actor. */
export interface SessionHost extends ServingHost {
  /** Messages of the kinds that higher layers serve. Returns false when nobody does. */
  onService(session: Session, message: Message): boolean;
  onSessionEnd(session: Session): void;
}

export class Session implements PeerHandler {
  readonly peer: Peer<Session>;
  readonly #host: SessionHost;
  readonly #pending = new Map<number, Answer>();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #serving: Serving;
  #lastId = 0;

  constructor(peer: Peer<Session>, host: SessionHost) {
    this.peer = peer;
    this.#host = host;
    this.#serving = new Serving(peer, host);
  }

  /** What the peer may do here: as the policy says, unless a higher layer knows more of it. */
  get permissions(): Permissions {
    return this.#serving.permissions;
  }

  set permissions(permissions: Permissions) {
    this.#serving.permissions = permissions;
  }

  get isBusy(): boolean {
    return this.#pending.size > 0 || this.#serving.size > 0;
  }

  /** Bytes of messages that streams and dialogs have not read. */
  get unreadBytes(): number {
    let bytes = this.#serving.unreadBytes;
    for (const { inbox } of this.#exchanges.values()) bytes += inbox.unreadBytes;
    return bytes;
  }

  /** Calls, streams and dialogs under way, both ways. */
  get callsInFlight(): number {
    return this.#pending.size + this.#serving.size;
  }

  /**
   * Calls a function of the peer.
   *
   * @throws {EncodeError} when an argument cannot cross; nothing was sent
   * @throws {RemoteActorError} when it throws there
   * @throws {TransportClosedError} when the connection ends first: it may or may not have run
   * @throws {TimeoutError} with stage "call" when `timeout` passes; its task is aborted there
   */
  call(name: string, args: unknown[], bounds?: Bounds): Promise<unknown> {
    try {
      if (bounds !== undefined) bounds.signal?.throwIfAborted();
      const task = ambientTask();
      if (task?.aborted) throw task.reason;
      const id = ++this.#lastId;
      sendCall(this.peer.channel, id, name, args);
      if (bounds === undefined && task === undefined) return this.#answer(id);
      return this.#boundedAnswer(id, name, bounds ?? {}, task);
    } catch (error) {
      // an abort rejects with the signal's own reason, whatever it is
      return Promise.reject(error);
    }
  }

  /**
   * Opens a stream or a dialog; `kind` says which. It is cancelled by `bounds.signal`, and by the task that the running
   * code belongs to.
   *
   * @throws {EncodeError | TransportClosedError | LimitError} at once, when it cannot be sent
   */
  exchange(
    kind: typeof Kind.stream | typeof Kind.open,
    name: string,
    args: unknown[],
    bounds?: Bounds,
  ): Exchange {
    bounds?.signal?.throwIfAborted();
    const task = ambientTask();
    if (task?.aborted) throw task.reason;
    const { limits } = this.#host;
    const id = ++this.#lastId;
    const credit = { messages: limits.creditMessages, bytes: limits.creditBytes };
    const { value, rich } = toWire(args, "arguments of", name);
    this.peer.channel.send([kind, id, name, value, rich, credit.messages, credit.bytes]);
    const stopBoundMs = limits.stopGraceMs + limits.stopTermMs;
    const exchange = new Exchange(this, name, id, this.#host.id, credit, stopBoundMs);
    this.#exchanges.set(id, exchange);
    this.#pending.set(id, {
      resolve: (result) => {
        this.#exchanges.delete(id);
        exchange.onResult(result);
      },
      reject: (error) => {
        this.#exchanges.delete(id);
        exchange.onError(error);
      },
    });
    exchange.follow(bounds?.signal);
    return exchange;
  }

  /** The exchange's side: a message to the callee. Returns the bytes of its frame. */
  put(id: number, name: string, message: unknown): number {
    return sendValue(this.peer.channel, Kind.put, id, message, "message to", name);
  }

  putEnd(id: number): void {
    this.peer.channel.post([Kind.putEnd, id]);
  }

  allowItems(id: number, messages: number, bytes: number): void {
    if (this.#exchanges.has(id)) this.peer.channel.post([Kind.allowItems, id, messages, bytes]);
  }

  cancelRequest(id: number, reason: string): void {
    this.peer.channel.post([Kind.cancel, id, reason.slice(0, maxReasonChars)]);
  }

  /** Waits no longer for a request; its answer will be ignored. */
  abandon(id: number): void {
    this.#pending.delete(id);
    this.#exchanges.delete(id);
  }

  /** Sends a request of another layer, with its id put in, and returns the answer. Rejects as `call`. */
  request(message: Request): Promise<unknown> {
    return new Promise((resolve, reject) => this.ask(message, { resolve, reject }));
  }

  /**
   * As `request`, but the answer goes to `answer`.
   *
   * @throws {EncodeError | TransportClosedError | LimitError} at once, when it cannot be sent; `answer` hears nothing
   */
  ask(message: Request, answer: Answer): void {
    const id = ++this.#lastId;
    message[1] = id;
    this.peer.channel.send(message);
    this.#pending.set(id, answer);
  }

  /** Answers a request of another layer; with an error where the value is too large. */
  reply(id: number, value: unknown): void {
    const { channel } = this.peer;
    if (!channel.isOpen) return;
    try {
      channel.sendControl([Kind.result, id, value], true);
    } catch (error) {
      this.replyError(id, error);
    }
  }

  replyError(id: number, error: unknown): void {
    sendFailure(this.peer.channel, id, error, this.#host.id);
  }

  /** Aborts what runs for the peer, without ending the connection. */
  abortTasks(reason: Error): void {
    this.#serving.abort(reason);
  }

  /** Resolves when nothing runs for the peer any more, but for `except`: a task cannot wait for its own end. */
  async tasksEnded(except: Task | undefined): Promise<void> {
    await this.#serving.ended(except);
  }

  onMessage(message: Message, bytes: number): void {
    switch (message[0]) {
      case Kind.call:
        this.#serving.onCall(message);
        return;
      case Kind.result:
        this.#take(message[1])?.resolve(valueIn(message));
        return;
      case Kind.error:
        this.#take(message[1])?.reject(decodeFailure(message[2], this.peer.id));
        return;
      case Kind.cancel:
        this.#serving.onCancel(message);
        return;
      case Kind.item:
        this.#exchanges.get(message[1])?.onItem(valueIn(message), bytes);
        return;
      case Kind.put:
        this.#serving.onPut(message, bytes);
        return;
      case Kind.allowItems:
        this.#serving.onAllowItems(message);
        return;
      case Kind.allowPuts:
        this.#exchanges.get(message[1])?.outbox.allow(message[2], message[3]);
        return;
      case Kind.stream:
        this.#serving.onStream(message);
        return;
      case Kind.open:
        this.#serving.onOpen(message);
        return;
      case Kind.started:
        this.#exchanges.get(message[1])?.onStarted(valueIn(message));
        return;
      case Kind.itemEnd:
        this.#exchanges.get(message[1])?.onItemEnd();
        return;
      case Kind.putEnd:
        this.#serving.onPutEnd(message);
        return;
      default:
        if (!this.#host.onService(this, message)) {
          throw new FrameError(`a message of kind ${message[0]} is not expected here`);
        }
    }
  }

  onEnd(end: ChannelEnd): void {
    if (this.isBusy) this.#rejectAll(end);
    this.#host.onSessionEnd(this);
  }

  #rejectAll(end: ChannelEnd): void {
    const error = closedError(end, describeActor(this.peer.id));
    const pending = Array.from(this.#pending.values());
    this.#pending.clear();
    for (const one of pending) one.reject(error);
    this.abortTasks(
      new TransportClosedError(`the caller ${describeActor(this.peer.id)} is gone`, { cause: error }),
    );
  }

  /** In a function of its own, and not by withResolvers: both would make objects for every call. */
  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  /** An async function, so that an error knows who waits for it (`frames.ts`). */
  async #boundedAnswer(id: number, name: string, bounds: Bounds, task: Task | undefined): Promise<unknown> {
    const { signal, timeout } = bounds;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    const giveUp = (reason: unknown, word: string): void => {
      // none: the answer is there
      if (!this.#pending.delete(id)) return;
      this.cancelRequest(id, word);
      reject(reason);
    };
    const onAbort = (): void => giveUp(signal?.reason, "aborted by the caller");
    const timer = startTimer(timeout, () => {
      const text = `call of ${name} on ${describeActor(this.peer.id)} took longer than ${timeout} ms`;
      giveUp(new TimeoutError("call", text), "timed out at the caller");
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    const stopFollowing = task?.onAbort((reason) => giveUp(reason, "the calling task was aborted"));
    try {
      return await promise;
    } catch (error) {
      throw toldTo(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      stopFollowing?.();
    }
  }

  #take(id: number): Answer | undefined {
    const pending = this.#pending.get(id);
    // none: the answer to a call that was given up
    if (pending !== undefined) this.#pending.delete(id);
    return pending;
  }
}
