/**
 * The requests that this side has made to one peer: calls, streams, dialogs, and requests of other layers. Each has an
 * id. A reply is handled synchronously when it arrives, before any message after it.
 */
import type { Channel } from "../../channel/channel.ts";
import { type Bounds, startTimer } from "../../deadline.ts";
import {
  ContextCancelledError,
  FrameError,
  LimitError,
  TimeoutError,
  TransportClosedError,
} from "../../errors.ts";
import { type ActorId, describeActor } from "../../identity.ts";
import type { Limits } from "../../limits.ts";
import { sendCall, sendCallWith, sendValue, toWire } from "../../wire/encode.ts";
import { Kind, type MessageOf } from "../../wire/messages.ts";
import { fromWire, readValue } from "../../wire/received.ts";
import type { KeptBytes } from "../kept.ts";
import type { ExchangeEnds, Following, Observer, OpenExchange } from "../observer.ts";
import { ambientTask, type Task } from "../task.ts";
import type { Exchange, ExchangePort } from "./exchange.ts";
import { Pending } from "./pending.ts";

// loaded by the first failure, stream or dialog: a child starts sooner without them (row `spawn`)
let failures: typeof import("../remote-error.ts") | undefined;
let exchanges: typeof import("./exchange.ts") | undefined;

/** A cancel message must always fit: its reason is for humans, so it can be truncated. */
const maxReasonChars = 4_096;

/** Receives the reply to a request, synchronously when it arrives. */
export interface Answer {
  resolve: (value: unknown) => void;
  /** Takes a part of a list, ahead of the rest, which goes to `resolve`. Without it that gets the whole list. */
  readonly takePart?: (part: unknown[]) => void;
  reject: (error: unknown) => void;
  /** Where the request ends, as `Channel.sentTo`. With it, the end of the connection can be a `NotRunError`. */
  readonly sentTo?: number;
  /** Set while somebody looks, for requests that may be given up: nobody answers those. */
  readonly following?: Following;
}

/** Receives the reply to a call, and keeps what tells whether the call ran if there is none. */
export interface CallAnswer extends Answer {
  id: number;
  sentTo: number;
  following?: Following;
}

/** The connection ended, and the peer certainly hasn't begun with the request. Users see a `TransportClosedError`. */
export class NotRunError extends TransportClosedError {
  constructor(end: Error) {
    super(`${end.message}; this did not run`, { cause: end.cause });
  }
}

/** What can be given up while it waits for its answer. */
export interface Waiting {
  /** Rejects the answer with the reason; `word` tells the callee why. */
  giveUp(reason: unknown, word: string): void;
  /** The error for one that takes longer than `timeout`. */
  expired(timeout: number): TimeoutError;
}

/**
 * Settles as `answer`, and gives the call up when the signal is aborted, the time is over, or the task that made it ends.
 * An async function, so that an error can get the frames of the code that awaits it (`frames.ts`).
 */
export async function withinBounds(
  answer: Promise<unknown>,
  call: Waiting,
  bounds: Bounds | undefined,
  task: Task | undefined,
): Promise<unknown> {
  const signal = bounds?.signal;
  const timeout = bounds?.timeout;
  const onAbort = (): void => call.giveUp(signal?.reason, "aborted by the caller");
  const timer = startTimer(timeout, () => call.giveUp(call.expired(timeout!), "timed out at the caller"));
  signal?.addEventListener("abort", onAbort, { once: true });
  const stopFollowing = task?.onAbort((reason) => call.giveUp(reason, "the calling task was aborted"));
  try {
    return await answer;
  } catch (error) {
    failures ??= require("../remote-error.ts") as typeof import("../remote-error.ts");
    throw failures.toldTo(error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    stopFollowing?.();
  }
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** A request of another layer, which the peer answers with a result or an error. Its id is set when it is sent. */
export type Request = Writable<
  MessageOf<
    | typeof Kind.register
    | typeof Kind.unregister
    | typeof Kind.update
    | typeof Kind.lookup
    | typeof Kind.watch
    | typeof Kind.claim
    | typeof Kind.stop
    | typeof Kind.drain
    | typeof Kind.data
  >
>;

/** What calls need from their actor. */
export interface CallsHost {
  readonly id: ActorId;
  readonly limits: Limits;
  /** Undefined while nobody looks at what is asked: one check for each request. */
  readonly observer: Observer | undefined;
}

/** The peer that receives the requests. */
export interface AskedPeer {
  readonly id: ActorId;
  readonly channel: Channel;
}

export class Calls implements ExchangePort {
  readonly #peer: AskedPeer;
  readonly #host: CallsHost;
  readonly #pending = new Pending<Answer>();
  readonly #exchanges = new Map<number, Exchange>();
  /** The lists of which a part has arrived. */
  #parts: Map<number, ListSoFar> | undefined;
  #lastId = 0;

  constructor(peer: AskedPeer, host: CallsHost) {
    this.#peer = peer;
    this.#host = host;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Bytes of messages that have arrived but that streams and dialogs haven't read. */
  get unreadBytes(): number {
    let bytes = 0;
    for (const { inbox } of this.#exchanges.values()) bytes += inbox.unreadBytes;
    for (const { kept } of this.#parts?.values() ?? []) bytes += kept.total;
    return bytes;
  }

  /** As `Session.call`. */
  call(name: string, args: unknown[], bounds?: Bounds): Promise<unknown> {
    try {
      if (bounds !== undefined) bounds.signal?.throwIfAborted();
      const task = ambientTask();
      if (task?.aborted) throw task.reason;
      const { observer } = this.#host;
      if (observer !== undefined) {
        const following = observer.asks("run", name, this.peerId);
        if (following !== undefined) return this.#callFollowed(name, args, bounds, task, following);
      }
      const id = ++this.#lastId;
      sendCall(this.#peer.channel, id, name, args);
      if (bounds === undefined && task === undefined) return this.#answer(id);
      return this.#boundedAnswer(id, name, bounds, task);
    } catch (error) {
      // after an abort this is the signal's own reason, whatever its type
      return Promise.reject(error);
    }
  }

  /** The rest of `call`, while somebody looks. */
  async #callFollowed(
    name: string,
    args: unknown[],
    bounds: Bounds | undefined,
    task: Task | undefined,
    following: Following,
  ): Promise<unknown> {
    try {
      const id = ++this.#lastId;
      this.#sendFollowed(id, name, args, following);
      const result = await (bounds === undefined && task === undefined
        ? this.#answer(id)
        : this.#boundedAnswer(id, name, bounds ?? {}, task));
      following.end();
      return result;
    } catch (error) {
      following.end({ error });
      throw error;
    }
  }

  #sendFollowed(id: number, name: string, args: unknown[], { meta }: Following): void {
    if (meta === undefined) sendCall(this.#peer.channel, id, name, args);
    else sendCallWith(meta, this.#peer.channel, id, name, args);
  }

  /** As `Session.callFor`. */
  callFor(name: string, args: unknown[], answer: CallAnswer): void {
    const following = this.#host.observer?.asks("run", name, this.peerId);
    const id = ++this.#lastId;
    try {
      if (following === undefined) sendCall(this.#peer.channel, id, name, args);
      else this.#sendFollowed(id, name, args, following);
    } catch (error) {
      following?.end({ error });
      throw error;
    }
    answer.id = id;
    answer.sentTo = this.#peer.channel.sentTo;
    // the answer itself, which its service looks for
    if (following !== undefined) follow(answer, following);
    this.#pending.set(id, answer);
  }

  /** As `Session.giveUp`. */
  giveUp({ id }: CallAnswer, word: string): void {
    if (this.#forgo(id, word)) this.cancelRequest(id, word);
  }

  /** Stops waiting for a reply; returns whether it was still to come. */
  #forgo(id: number, word: string): boolean {
    const following = this.#host.observer === undefined ? undefined : this.#pending.get(id)?.following;
    following?.end({ error: new ContextCancelledError(this.#host.id, word) });
    return this.#forget(id);
  }

  /** The streams and dialogs that are open. */
  *exchanges(): Generator<OpenExchange> {
    for (const exchange of this.#exchanges.values()) {
      const { name } = exchange;
      const verb = exchange.kind === Kind.stream ? "stream" : "open";
      yield { side: "caller", verb, name, peer: this.peerId, ...endsOf(exchange) };
    }
  }

  /** The requests that wait for a reply. */
  get pending(): Pick<Pending<Answer>, "entries" | "oldest"> {
    return this.#pending;
  }

  /** As `Session.exchange`. */
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
    const { value, rich } = toWire(args, "arguments of", name, this.channel);
    const stopBoundMs = limits.stopGraceMs + limits.stopTermMs;
    exchanges ??= require("./exchange.ts") as typeof import("./exchange.ts");
    const exchange = new exchanges.Exchange(this, kind, name, id, this.#host.id, credit, stopBoundMs);
    const following = this.#host.observer?.asks(
      kind === Kind.stream ? "stream" : "open",
      name,
      this.peerId,
      endsOf(exchange),
    );
    try {
      const { messages, bytes } = credit;
      const meta = following?.meta;
      this.channel.send(
        meta === undefined
          ? [kind, id, name, value, rich, messages, bytes]
          : [kind, id, name, value, rich, messages, bytes, meta],
      );
    } catch (error) {
      following?.end({ error });
      throw error;
    }
    this.#exchanges.set(id, exchange);
    const answer: Answer = {
      sentTo: this.channel.sentTo,
      resolve: (result) => {
        this.#exchanges.delete(id);
        exchange.onResult(result);
      },
      reject: (error) => {
        this.#exchanges.delete(id);
        exchange.onError(error);
      },
    };
    this.#pending.set(id, following === undefined ? answer : followed(answer, following, exchange));
    exchange.follow(bounds?.signal);
    return exchange;
  }

  /** As `Session.ask`. */
  ask(message: Request, answer: Answer): void {
    const id = ++this.#lastId;
    message[1] = id;
    this.channel.send(message);
    this.#pending.set(id, answer);
  }

  get peerId(): ActorId {
    return this.#peer.id;
  }

  get channel(): Channel {
    return this.#peer.channel;
  }

  put(id: number, name: string, message: unknown): number {
    return sendValue(this.channel, Kind.put, id, message, "message to", name);
  }

  putEnd(id: number): void {
    this.channel.post([Kind.putEnd, id]);
  }

  allowItems(id: number, messages: number, bytes: number): void {
    if (this.#exchanges.has(id)) this.channel.post([Kind.allowItems, id, messages, bytes]);
  }

  cancelRequest(id: number, reason: string): void {
    this.channel.post([Kind.cancel, id, reason.slice(0, maxReasonChars)]);
  }

  abandon(id: number): void {
    this.#forgo(id, "abandoned by the caller");
    this.#exchanges.delete(id);
  }

  onResult(message: MessageOf<typeof Kind.result>): void {
    // first: if it throws, the call has to be there for the end of the connection. Also if no one waits any more: shared
    // buffers in it count as held here until they are collected
    const value = readValue(message, this.channel);
    const parts = this.#parts?.get(message[1]);
    const result = parts === undefined ? value : completed(parts.list, value);
    this.#take(message[1])?.resolve(result);
  }

  /**
   * Part of a list. Too large a list is an error for who asked for it.
   *
   * @throws {FrameError} when it isn't a list
   */
  onPart([, id, part, rich]: MessageOf<typeof Kind.part>, bytes: number): void {
    const answer = this.#pending.get(id);
    // given up
    if (answer === undefined) return;
    this.#parts ??= new Map();
    let soFar = this.#parts.get(id);
    if (soFar === undefined) {
      const { KeptBytes } = require("../kept.ts") as typeof import("../kept.ts");
      this.#parts.set(id, (soFar = { list: [], bytes: 0, kept: new KeptBytes() }));
    }
    soFar.bytes += bytes;
    const { maxFrameBytes } = this.#host.limits;
    if (soFar.bytes > maxFrameBytes) {
      this.#forget(id);
      this.cancelRequest(id, "the list is too large for the caller");
      const from = describeActor(this.peerId);
      answer.reject(new LimitError(`a list from ${from} takes more than maxFrameBytes ${maxFrameBytes}`));
      return;
    }
    const items = completed([], fromWire(part, rich === true, this.channel));
    const before = soFar.kept.total;
    soFar.kept.add(items, bytes);
    this.channel.buffered.grew(soFar.kept.total - before);
    if (answer.takePart === undefined) for (const item of items) soFar.list.push(item);
    else answer.takePart(items);
  }

  onError(message: MessageOf<typeof Kind.error>): void {
    failures ??= require("../remote-error.ts") as typeof import("../remote-error.ts");
    this.#take(message[1])?.reject(failures.decodeFailure(message[2], this.peerId));
  }

  onStarted(message: MessageOf<typeof Kind.started>): void {
    const value = readValue(message, this.channel);
    this.#exchanges.get(message[1])?.onStarted(value);
  }

  onItem(message: MessageOf<typeof Kind.item>, bytes: number): void {
    const value = readValue(message, this.channel);
    this.#exchanges.get(message[1])?.onItem(value, bytes);
  }

  onItemEnd(message: MessageOf<typeof Kind.itemEnd>): void {
    this.#exchanges.get(message[1])?.onItemEnd();
  }

  onAllowPuts(message: MessageOf<typeof Kind.allowPuts>): void {
    this.#exchanges.get(message[1])?.outbox.allow(message[2], message[3]);
  }

  /** Rejects all pending requests, with `error` or a `NotRunError`: no replies will come. */
  fail(error: Error): void {
    const pending = this.#pending.entries();
    this.#pending.clear();
    this.#parts = undefined;
    const { openAtPeer } = this.channel;
    const arrived = Array.isArray(openAtPeer) ? new Set<unknown>(openAtPeer) : undefined;
    for (const [id, one] of pending) {
      const { sentTo } = one;
      const hasArrived = arrived === undefined || arrived.has(id);
      const mayHaveRun = sentTo === undefined || (hasArrived && this.channel.mayHaveLeft(sentTo));
      one.reject(mayHaveRun ? error : new NotRunError(error));
    }
  }

  /** A separate function without `withResolvers`: inlining it, or using that, would allocate more for every call. */
  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  #boundedAnswer(
    id: number,
    name: string,
    bounds: Bounds | undefined,
    task: Task | undefined,
  ): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    const giveUp = (reason: unknown, word: string): void => {
      // already answered
      if (!this.#forget(id)) return;
      this.cancelRequest(id, word);
      reject(reason);
    };
    const expired = (timeout: number): TimeoutError =>
      new TimeoutError(
        "call",
        `call of ${name} on ${describeActor(this.peerId)} took longer than ${timeout} ms`,
      );
    return withinBounds(promise, { giveUp, expired }, bounds, task);
  }

  /** Removes and returns the pending request with this id; undefined if the call was given up. */
  #take(id: number): Answer | undefined {
    const pending = this.#pending.get(id);
    if (pending !== undefined) this.#forget(id);
    return pending;
  }

  /** False if it had its answer already. */
  #forget(id: number): boolean {
    this.#parts?.delete(id);
    return this.#pending.delete(id);
  }
}

/** A list that is still arriving. */
interface ListSoFar {
  readonly list: unknown[];
  /** The bytes of its frames. */
  bytes: number;
  /** The memory that it takes. */
  readonly kept: KeptBytes;
}

/** @throws {FrameError} when the rest isn't a list */
function completed(list: unknown[], rest: unknown): unknown[] {
  if (!Array.isArray(rest)) throw new FrameError("part of a list that isn't a list");
  return list.length === 0 ? (rest as unknown[]) : list.concat(rest as unknown[]);
}

/** A stream is only read here. */
function endsOf({ kind, inbox, outbox }: Exchange): ExchangeEnds {
  return { inbox, outbox: kind === Kind.stream ? undefined : outbox };
}

/** The answer of an exchange that somebody looks at. */
function followed(answer: Answer, following: Following, exchange: Exchange): Answer {
  return {
    following,
    ...(answer.sentTo !== undefined && { sentTo: answer.sentTo }),
    resolve: (value) => {
      following.end();
      answer.resolve(value);
    },
    reject: (error) => {
      following.end({ error: exchange.asTold(error) });
      answer.reject(error);
    },
  };
}

/** As `followed`, for an answer that has to stay the same object. It may be used for another call after a failure. */
function follow(answer: CallAnswer, following: Following): void {
  const { resolve, reject } = answer;
  answer.following = following;
  answer.resolve = (value) => {
    following.end();
    resolve.call(answer, value);
  };
  answer.reject = (error) => {
    answer.resolve = resolve;
    answer.reject = reject;
    following.end({ error });
    reject.call(answer, error);
  };
}
