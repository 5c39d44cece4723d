/**
 * Calls, streams and dialogs in both directions over one connection: what this side asked and waits for, and what it
 * runs for the peer. When the connection ends, the first are rejected and the second aborted, in that same moment.
 */
import { type Bounds, startTimer } from "../deadline.ts";
import {
  asError,
  ContextCancelledError,
  FrameError,
  LimitError,
  TimeoutError,
  TransportClosedError,
} from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { type ChannelEnd, closedError } from "../channel/channel.ts";
import type { Peer, PeerHandler } from "../channel/peer.ts";
import type { Limits } from "../limits.ts";
import { Kind, type Message } from "../wire/messages.ts";
import { fromWire, toWire } from "../wire/values.ts";
import { ServedContext } from "./context.ts";
import type { Dispatcher } from "./dispatch.ts";
import { Exchange } from "./exchange.ts";
import { Inbox, Outbox } from "./flow.ts";
import { decodeFailure, encodeFailure } from "./remote-error.ts";
import { pump } from "./stream.ts";
import { ambientTask, Task } from "./task.ts";
import { check, checkArguments, checkedCall, valueCheck } from "./validated.ts";

const log = logger("rpc");

/** A request that waits for its answer. */
interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** What runs here for the peer. A call has neither outbox nor inbox, a stream has no inbox. */
interface Served {
  readonly task: Task;
  readonly outbox: Outbox | undefined;
  readonly inbox: Inbox | undefined;
}

/** What a session needs of its actor. */
export interface SessionHost {
  readonly id: ActorId;
  readonly dispatcher: Dispatcher;
  readonly limits: Limits;
  /** Aborted when the actor begins to end: what comes then is not begun. */
  readonly signal: AbortSignal;
  /** Messages of the kinds that higher layers serve. Returns false when nobody does. */
  onService(session: Session, message: Message): boolean;
  onSessionEnd(session: Session): void;
}

export class Session implements PeerHandler {
  readonly peer: Peer<Session>;
  readonly #host: SessionHost;
  readonly #pending = new Map<number, Pending>();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #served = new Map<number, Served>();
  /** Resolves at the next end of something that is served. */
  #servedEnd: PromiseWithResolvers<void> | undefined;
  #lastId = 0;

  constructor(peer: Peer<Session>, host: SessionHost) {
    this.peer = peer;
    this.#host = host;
  }

  get isBusy(): boolean {
    return this.#pending.size > 0 || this.#served.size > 0;
  }

  /** Calls, streams and dialogs under way, both ways. */
  get callsInFlight(): number {
    return this.#pending.size + this.#served.size;
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
      const { value, rich } = toWire(args, `arguments of ${name}`);
      this.peer.channel.send(rich ? [Kind.call, id, name, value, true] : [Kind.call, id, name, value]);
      if (bounds === undefined && task === undefined) {
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        this.#pending.set(id, { resolve, reject });
        return promise;
      }
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
    const { value, rich } = toWire(args, `arguments of ${name}`);
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
    const { value, rich } = toWire(message, `message to ${name}`);
    return this.peer.channel.send(rich ? [Kind.put, id, value, true] : [Kind.put, id, value]);
  }

  putEnd(id: number): void {
    this.peer.channel.post([Kind.putEnd, id]);
  }

  allowItems(id: number, messages: number, bytes: number): void {
    if (this.#exchanges.has(id)) this.peer.channel.post([Kind.allowItems, id, messages, bytes]);
  }

  cancelRequest(id: number, reason: string): void {
    this.peer.channel.post([Kind.cancel, id, reason]);
  }

  /** Waits no longer for a request; its answer will be ignored. */
  abandon(id: number): void {
    this.#pending.delete(id);
    this.#exchanges.delete(id);
  }

  /** Sends a request of another layer, `[kind, id, ...fields]`, and returns its answer. Rejects as `call`. */
  request(kind: Kind, ...fields: unknown[]): Promise<unknown> {
    return this.ask([kind, 0, ...fields], (value) => value);
  }

  /**
   * As `request`, with the message as it goes out (its id is put in), and with `read` called on the answer in the
   * moment that it arrives, before any message behind it.
   */
  ask<T>(message: Message, read: (value: unknown) => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    try {
      const id = ++this.#lastId;
      (message as unknown as unknown[])[1] = id;
      this.peer.channel.send(message);
      const take = (value: unknown): void => {
        try {
          resolve(read(value));
        } catch (error) {
          reject(error);
          throw error;
        }
      };
      this.#pending.set(id, { resolve: take, reject });
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /** Answers a request of another layer. */
  reply(id: number, value: unknown): void {
    this.peer.channel.post([Kind.result, id, value]);
  }

  replyError(id: number, error: unknown): void {
    this.peer.channel.post([Kind.error, id, encodeFailure(error, this.#host.id)]);
  }

  /** Aborts what runs for the peer, without ending the connection. */
  abortTasks(reason: Error): void {
    for (const { task } of Array.from(this.#served.values())) task.abort(reason);
  }

  /** Resolves when nothing runs for the peer any more, but for `except`: a task cannot wait for its own end. */
  async tasksEnded(except: Task | undefined): Promise<void> {
    while (Array.from(this.#served.values()).some(({ task }) => task !== except)) {
      this.#servedEnd ??= Promise.withResolvers<void>();
      await this.#servedEnd.promise;
    }
  }

  onMessage(message: Message, bytes: number): void {
    const id = message[1] as number;
    switch (message[0]) {
      case Kind.call:
        this.#onCall(message);
        return;
      case Kind.result:
        this.#take(id)?.resolve(fromWire(message[2], message[3] === true));
        return;
      case Kind.error:
        this.#take(id)?.reject(decodeFailure(message[2] as unknown[], this.peer.id));
        return;
      case Kind.cancel: {
        const reason = typeof message[2] === "string" ? message[2] : undefined;
        this.#served.get(id)?.task.abort(new ContextCancelledError(this.peer.id, reason));
        return;
      }
      case Kind.item:
        this.#exchanges.get(id)?.onItem(fromWire(message[2], message[3] === true), bytes);
        return;
      case Kind.put:
        this.#served.get(id)?.inbox?.push(fromWire(message[2], message[3] === true), bytes);
        return;
      case Kind.allowItems:
        this.#served.get(id)?.outbox?.allow(message[2] as number, message[3] as number);
        return;
      case Kind.allowPuts:
        this.#exchanges.get(id)?.outbox.allow(message[2] as number, message[3] as number);
        return;
      case Kind.stream:
        this.#onStream(message);
        return;
      case Kind.open:
        this.#onOpen(message);
        return;
      case Kind.started:
        this.#exchanges.get(id)?.onStarted(fromWire(message[2], message[3] === true));
        return;
      case Kind.itemEnd:
        this.#exchanges.get(id)?.onItemEnd();
        return;
      case Kind.putEnd:
        this.#served.get(id)?.inbox?.finish(undefined);
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

  #boundedAnswer(id: number, name: string, bounds: Bounds, task: Task | undefined): Promise<unknown> {
    const { signal, timeout } = bounds;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      stopFollowing?.();
    };
    const giveUp = (reason: unknown, word: string): void => {
      settle();
      this.#pending.delete(id);
      this.cancelRequest(id, word);
      reject(reason);
    };
    const calledOff = "the calling task was aborted";
    const stopFollowing = task?.aborted ? undefined : task?.onAbort((reason) => giveUp(reason, calledOff));
    const onAbort = (): void => giveUp(signal?.reason, "aborted by the caller");
    const timer = startTimer(timeout, () => {
      const text = `call of ${name} on ${describeActor(this.peer.id)} took longer than ${timeout} ms`;
      giveUp(new TimeoutError("call", text), "timed out at the caller");
    });
    this.#pending.set(id, {
      resolve: (value) => {
        settle();
        resolve(value);
      },
      reject: (error) => {
        settle();
        reject(error);
      },
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    if (task?.aborted) giveUp(task.reason, calledOff);
    return promise;
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    // none: the answer to a call that was given up
    if (pending !== undefined) this.#pending.delete(id);
    return pending;
  }

  #onCall(message: Message): void {
    const id = message[1] as number;
    const name = message[2] as string;
    const task = this.#admit(id, undefined, undefined);
    if (task === undefined) return;
    const args = readArguments(message);
    let result: unknown;
    try {
      const { fn, schemas } = this.#host.dispatcher.find(name, "run");
      result =
        schemas === undefined
          ? task.run(fn, ...args)
          : task.run(() => checkedCall(fn, schemas, name, args, task));
    } catch (error) {
      this.#fail(id, task, error);
      return;
    }
    if (isThenable(result)) {
      result.then(
        (value) => this.#succeed(id, name, value),
        (error: unknown) => this.#fail(id, task, error),
      );
    } else {
      this.#succeed(id, name, result);
    }
  }

  #onStream(message: Message): void {
    const id = message[1] as number;
    const name = message[2] as string;
    const outbox = this.#itemOutbox(id, name);
    outbox.allow(message[5] as number, message[6] as number);
    const task = this.#admit(id, outbox, undefined);
    if (task === undefined) return;
    const args = readArguments(message);
    void this.#conclude(id, name, task, async () => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "stream");
      return await task.run(async () => {
        const checked = await checkArguments(schemas, name, args);
        if (task.aborted) throw task.reason;
        return await pump(
          task,
          fn(...checked) as AsyncGenerator,
          outbox,
          valueCheck(schemas?.send, `value of ${name}`),
        );
      });
    });
  }

  #onOpen(message: Message): void {
    const id = message[1] as number;
    const name = message[2] as string;
    const { creditMessages: messages, creditBytes: bytes } = this.#host.limits;
    const { channel } = this.peer;
    const outbox = this.#itemOutbox(id, name);
    outbox.allow(message[5] as number, message[6] as number);
    const inbox = new Inbox({ messages, bytes }, (more, moreBytes) => {
      if (this.#served.has(id)) channel.post([Kind.allowPuts, id, more, moreBytes]);
    });
    const task = this.#admit(id, outbox, inbox);
    if (task === undefined) return;
    channel.post([Kind.allowPuts, id, messages, bytes]);
    const args = readArguments(message);
    const context = new ServedContext(
      {
        self: this.#host.id,
        name,
        sendStarted: (started) => {
          const { value, rich } = toWire(started, `started value of ${name}`);
          channel.send([Kind.started, id, value, rich]);
        },
        sendEnd: () => channel.post([Kind.itemEnd, id]),
      },
      task,
      this.peer.id,
      inbox,
      outbox,
    );
    void this.#conclude(id, name, task, async () => {
      const { fn, schemas } = this.#host.dispatcher.find(name, "open");
      context.useSchemas(schemas);
      return await task.run(async () => {
        const checked = await checkArguments(schemas, name, args);
        // cancelled before it began: the function would never hear of it
        if (task.aborted) throw task.reason;
        const result = await check(schemas?.result, await fn(context, ...checked), `result of ${name}`);
        if (task.aborted) throw task.reason;
        return result;
      });
    });
  }

  #itemOutbox(id: number, name: string): Outbox {
    const { channel } = this.peer;
    return new Outbox(channel, (item) => {
      const { value, rich } = toWire(item, `message of ${name}`);
      return channel.send(rich ? [Kind.item, id, value, true] : [Kind.item, id, value]);
    });
  }

  /** Begins to serve a request; undefined when the peer has too many in flight. */
  #admit(id: number, outbox: Outbox | undefined, inbox: Inbox | undefined): Task | undefined {
    if (this.#served.has(id)) throw new FrameError(`request id ${id} is in use`);
    const { limits, signal } = this.#host;
    const { maxCallsInFlight } = limits;
    if (signal.aborted) {
      this.replyError(id, signal.reason);
      return undefined;
    }
    if (this.#served.size >= maxCallsInFlight) {
      const text = `${this.#served.size} calls in flight: maxCallsInFlight is ${maxCallsInFlight}`;
      this.replyError(id, new LimitError(text));
      return undefined;
    }
    const task = new Task(this.peer.id);
    this.#served.set(id, { task, outbox, inbox });
    return task;
  }

  async #conclude(id: number, name: string, task: Task, work: () => Promise<unknown>): Promise<void> {
    let result: unknown;
    try {
      result = await work();
    } catch (error) {
      this.#fail(id, task, error);
      return;
    }
    this.#succeed(id, name, result);
  }

  #succeed(id: number, name: string, result: unknown): void {
    this.#end(id);
    const { channel } = this.peer;
    if (!channel.isOpen) return;
    try {
      const { value, rich } = toWire(result, `result of ${name}`);
      channel.send(rich ? [Kind.result, id, value, true] : [Kind.result, id, value]);
    } catch (error) {
      log.debug?.(`result of ${name} for ${describeActor(this.peer.id)}: ${asError(error).message}`);
      this.replyError(id, error);
    }
  }

  /** An error that only says that the task was aborted is told as the reason of the abort. */
  #fail(id: number, task: Task, error: unknown): void {
    this.#end(id);
    this.replyError(id, task.aborted && isAbortOf(task, error) ? task.reason : error);
  }

  #end(id: number): void {
    const served = this.#served.get(id);
    this.#served.delete(id);
    this.#servedEnd?.resolve();
    this.#servedEnd = undefined;
    // a context that is kept beyond its function cannot be used
    if (served?.outbox !== undefined)
      served.outbox.close(new TransportClosedError("the function has returned"));
  }
}

function readArguments(message: Message): unknown[] {
  const args = fromWire(message[3], message[4] === true);
  if (!Array.isArray(args)) throw new FrameError("the arguments of a call must be an array");
  return args as unknown[];
}

function isAbortOf(task: Task, error: unknown): boolean {
  return error === task.reason || (error instanceof Error && error.name === "AbortError");
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
