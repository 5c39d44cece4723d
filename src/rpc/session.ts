/**
 * Calls in both directions over one connection: what this side asked and waits for, and what it runs for the peer. When
 * the connection ends, the first are rejected and the second aborted, in that same moment.
 */
import type { Bounds } from "../deadline.ts";
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
import { Kind, type Message } from "../wire/messages.ts";
import { fromWire, toWire } from "../wire/values.ts";
import type { Dispatcher } from "./dispatch.ts";
import { decodeFailure, encodeFailure } from "./remote-error.ts";
import { Task } from "./task.ts";

const log = logger("rpc");

/** A request that waits for its answer. */
interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** What a session needs of its actor. */
export interface SessionHost {
  readonly id: ActorId;
  readonly dispatcher: Dispatcher;
  readonly limits: { readonly maxCallsInFlight: number };
  /** Messages of the kinds that higher layers serve. Returns false when nobody does. */
  onService(session: Session, message: Message): boolean;
  onSessionEnd(session: Session): void;
}

export class Session implements PeerHandler {
  readonly peer: Peer<Session>;
  readonly #host: SessionHost;
  readonly #pending = new Map<number, Pending>();
  readonly #tasks = new Map<number, Task>();
  #lastId = 0;

  constructor(peer: Peer<Session>, host: SessionHost) {
    this.peer = peer;
    this.#host = host;
  }

  get isBusy(): boolean {
    return this.#pending.size > 0 || this.#tasks.size > 0;
  }

  /** Calls under way, both ways. */
  get callsInFlight(): number {
    return this.#pending.size + this.#tasks.size;
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
      const { value, rich } = toWire(args, `arguments of ${name}`);
      const id = ++this.#lastId;
      this.peer.channel.send(rich ? [Kind.call, id, name, value, true] : [Kind.call, id, name, value]);
      return bounds === undefined ? this.#answer(id) : this.#boundedAnswer(id, name, bounds);
    } catch (error) {
      return Promise.reject(asError(error));
    }
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
    for (const task of this.#tasks.values()) task.abort(reason);
  }

  onMessage(message: Message): void {
    switch (message[0]) {
      case Kind.call:
        this.#onCall(message);
        return;
      case Kind.result: {
        const pending = this.#take(message[1] as number);
        pending?.resolve(fromWire(message[2], message[3] === true));
        return;
      }
      case Kind.error: {
        const pending = this.#take(message[1] as number);
        pending?.reject(decodeFailure(message[2] as unknown[], this.peer.id));
        return;
      }
      case Kind.cancel: {
        const reason = typeof message[2] === "string" ? message[2] : undefined;
        this.#tasks.get(message[1] as number)?.abort(new ContextCancelledError(this.peer.id, reason));
        return;
      }
      default:
        if (!this.#host.onService(this, message)) {
          throw new FrameError(`a message of kind ${message[0]} is not expected here`);
        }
    }
  }

  onEnd(end: ChannelEnd): void {
    const error = closedError(end, describeActor(this.peer.id));
    const pending = Array.from(this.#pending.values());
    this.#pending.clear();
    for (const one of pending) one.reject(error);
    const gone = new TransportClosedError(`the caller ${describeActor(this.peer.id)} is gone`, {
      cause: error,
    });
    for (const task of this.#tasks.values()) task.abort(gone);
    this.#host.onSessionEnd(this);
  }

  #answer(id: number): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    return promise;
  }

  #boundedAnswer(id: number, name: string, { signal, timeout }: Bounds): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const giveUp = (error: unknown, word: string): void => {
      settle();
      this.#pending.delete(id);
      this.peer.channel.post([Kind.cancel, id, word]);
      // the signal's own reason, whatever it is
      (reject as (reason: unknown) => void)(error);
    };
    const onAbort = (): void => giveUp(signal?.reason, "aborted by the caller");
    const timer =
      timeout === undefined || timeout === Number.POSITIVE_INFINITY
        ? undefined
        : setTimeout(() => {
            const text = `call of ${name} on ${describeActor(this.peer.id)} took longer than ${timeout} ms`;
            giveUp(new TimeoutError("call", text), "timed out at the caller");
          }, timeout);
    signal?.addEventListener("abort", onAbort, { once: true });
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
    if (this.#tasks.has(id)) throw new FrameError(`call id ${id} is in use`);
    const { maxCallsInFlight } = this.#host.limits;
    if (this.#tasks.size >= maxCallsInFlight) {
      this.replyError(
        id,
        new LimitError(`${this.#tasks.size} calls in flight: maxCallsInFlight is ${maxCallsInFlight}`),
      );
      return;
    }
    const args = fromWire(message[3], message[4] === true);
    if (!Array.isArray(args)) throw new FrameError("the arguments of a call must be an array");
    const task = new Task(this.peer.id);
    this.#tasks.set(id, task);
    let result: unknown;
    try {
      result = this.#host.dispatcher.run(task, name, args as unknown[]);
    } catch (error) {
      this.#fail(id, error);
      return;
    }
    if (isThenable(result)) {
      result.then(
        (value) => this.#succeed(id, name, value),
        (error: unknown) => this.#fail(id, error),
      );
    } else {
      this.#succeed(id, name, result);
    }
  }

  #succeed(id: number, name: string, result: unknown): void {
    this.#tasks.delete(id);
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

  #fail(id: number, error: unknown): void {
    this.#tasks.delete(id);
    this.replyError(id, error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
