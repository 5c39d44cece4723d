/**
 * Calls, streams and dialogs in both directions over one connection. `caller/` handles the requests that this side
 * makes, `callee/` what it runs for the peer; each message belongs to one of the two. When the connection ends,
 * pending requests are rejected and running tasks aborted, synchronously.
 */
import type { ChannelEnd } from "../channel/channel.ts";
import type { Peer, PeerHandler } from "../channel/peer.ts";
import { type Bounds, timing } from "../deadline.ts";
import { ContextCancelledError, FrameError, TransportClosedError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { Kind, type Message } from "../wire/messages.ts";
import type { LongList } from "./long-list.ts";
import { Serving, type ServingHost } from "./callee/serving.ts";
import { type Answer, type CallAnswer, Calls, type Request } from "./caller/calls.ts";
import type { Exchange } from "./caller/exchange.ts";
import type { OpenExchange, ServedRequest } from "./observer.ts";
import type { Permissions } from "./policy.ts";
import type { Task } from "./task.ts";

export type { Answer, Request } from "./caller/calls.ts";

/** What a session needs from its actor. */
export interface SessionHost extends ServingHost {
  /** The default `timeout` of this actor's calls, in ms. */
  readonly callTimeoutMs: number | undefined;
  /** Handles messages of the kinds that higher layers serve. Returns false if no layer serves this kind. */
  onService(session: Session, message: Message): boolean;
  onSessionReady(session: Session): void;
  onSessionEnd(session: Session): void;
}

export class Session implements PeerHandler {
  readonly peer: Peer<Session>;
  readonly #host: SessionHost;
  readonly #calls: Calls;
  readonly #serving: Serving;
  /** What the peer reported last of its load, and when. */
  #load = 0;
  #loadedAt = 0;
  #asksLoad = false;
  /** The requests that are being answered in parts, unless they were cancelled. */
  #inParts: Set<number> | undefined;

  constructor(peer: Peer<Session>, host: SessionHost) {
    this.peer = peer;
    this.#host = host;
    this.#calls = new Calls(peer, host);
    this.#serving = new Serving(peer, host);
  }

  /** What the peer may do in this actor: set by the policy, unless a higher layer knows better. */
  get permissions(): Permissions {
    return this.#serving.permissions;
  }

  set permissions(permissions: Permissions) {
    this.#serving.permissions = permissions;
  }

  get isBusy(): boolean {
    return this.#calls.size > 0 || this.#serving.size > 0;
  }

  /** Bytes of messages that have arrived but that streams and dialogs haven't read. */
  get unreadBytes(): number {
    return this.#calls.unreadBytes + this.#serving.unreadBytes;
  }

  /** The default `timeout` of this actor's calls, in ms; portals apply it. */
  get callTimeoutMs(): number | undefined {
    return this.#host.callTimeoutMs;
  }

  /** The number of calls, streams and dialogs in flight, in both directions. */
  get callsInFlight(): number {
    return this.#calls.size + this.#serving.size;
  }

  /** The number of calls, streams and dialogs in flight to the peer. */
  get callsToPeer(): number {
    return this.#calls.size;
  }

  /**
   * Calls a function of the peer.
   *
   * @throws {EncodeError} when an argument can't be sent; nothing was sent
   * @throws {RemoteActorError} when the function throws
   * @throws {TransportClosedError} when the connection ends first; the function may or may not have run
   * @throws {TimeoutError} with stage "call" when `timeout` passes; the peer aborts the function's task
   */
  call(name: string, args: unknown[], bounds?: Bounds): Promise<unknown> {
    return this.#calls.call(name, args, bounds);
  }

  /**
   * As `call`, but passes the reply to `answer`: a `NotRunError` if the connection ends and the function certainly didn't
   * run.
   *
   * @throws {EncodeError | TransportClosedError | LimitError} synchronously, when it can't be sent; `answer` isn't
   *   called
   */
  callFor(name: string, args: unknown[], answer: CallAnswer): void {
    this.#calls.callFor(name, args, answer);
  }

  /** Cancels a call of `callFor`, unless it has its reply; `answer` isn't called any more. */
  giveUp(answer: CallAnswer, word: string): void {
    this.#calls.giveUp(answer, word);
  }

  /** Those who wait for a reply of the peer, by the id of the request. */
  get pending(): Calls["pending"] {
    return this.#calls.pending;
  }

  /**
   * Opens a stream or a dialog, depending on `kind`. It is cancelled with `bounds.signal`, and with the task that the
   * running code belongs to.
   *
   * @throws {EncodeError | TransportClosedError | LimitError} synchronously, when it can't be sent
   */
  exchange(
    kind: typeof Kind.stream | typeof Kind.open,
    name: string,
    args: unknown[],
    bounds?: Bounds,
  ): Exchange {
    return this.#calls.exchange(kind, name, args, bounds);
  }

  /** Sends a request of another layer, and returns the reply. Rejects as `call`. */
  request(message: Request): Promise<unknown> {
    return new Promise((resolve, reject) => this.ask(message, { resolve, reject }));
  }

  /**
   * As `request`, but passes the reply to `answer`.
   *
   * @throws {EncodeError | TransportClosedError | LimitError} synchronously, when it can't be sent; `answer` isn't
   *   called
   */
  ask(message: Request, answer: Answer): void {
    this.#calls.ask(message, answer);
  }

  /** Replies to a request of another layer; with an error if the value is too large. */
  reply(id: number, value: unknown): void {
    const { channel } = this.peer;
    if (!channel.isOpen) return;
    try {
      channel.sendControl([Kind.result, id, value], true);
    } catch (error) {
      this.replyError(id, error);
    }
  }

  /**
   * Replies to a request of another layer with a list: in parts, so that a long one doesn't keep this actor from its other work.
   * `onSent` is called after the last.
   */
  replyInParts(id: number, list: LongList, onSent: () => void): void {
    const { channel } = this.peer;
    const { sendInParts } = require("./parts.ts") as typeof import("./parts.ts");
    const inParts = (this.#inParts ??= new Set());
    inParts.add(id);
    sendInParts(channel, this.#host.limits, list, {
      sendPart: (part) => {
        if (!inParts.has(id)) throw new ContextCancelledError(this.peer.id);
        return channel.send([Kind.part, id, part]);
      },
      sendLast: (part) => {
        inParts.delete(id);
        channel.send([Kind.result, id, part]);
        onSent();
      },
      fail: (error) => {
        inParts.delete(id);
        this.replyError(id, error);
      },
    });
  }

  replyError(id: number, error: unknown): void {
    // most children never send a failure, and start sooner without the file (row `spawn`)
    const { sendFailure } = require("./callee/failure.ts") as typeof import("./callee/failure.ts");
    sendFailure(this.peer.channel, id, error, this.#host.id);
  }

  /** See `ChannelHandler`. */
  get unanswered(): readonly number[] | undefined {
    return this.#serving.unanswered;
  }

  /** Reports to the peer from now on how busy this actor is with others. */
  watchLoad(): void {
    this.#serving.watchLoad();
  }

  /** Asks the peer, once, to report that. Its reports go to `noteLoad`. */
  askLoad(): void {
    if (this.#asksLoad) return;
    this.#asksLoad = true;
    this.peer.channel.post([Kind.watchLoad]);
  }

  /** @throws {FrameError} when it wasn't asked for */
  noteLoad(calls: number): void {
    if (!this.#asksLoad) throw new FrameError("a report of a load that wasn't asked for");
    this.#load = calls;
    this.#loadedAt = performance.now();
  }

  /** How many calls the peer has in flight for others, as it reported of late; 0 if it didn't. */
  get othersLoad(): number {
    return this.#load > 0 && performance.now() - this.#loadedAt < timing.loadLastsMs ? this.#load : 0;
  }

  /** Aborts everything that runs for the peer; the connection stays open. */
  abortTasks(reason: Error): void {
    this.#serving.abort(reason);
  }

  /** Tells what runs for the peer that this actor drains. */
  fireDraining(reason: Error): void {
    this.#serving.fireDraining(reason);
  }

  /** The names of the functions that run for the peer or wait for their turn, except those of tasks that are left out. */
  running(isLeftOut: (task: Task) => boolean): string[] {
    return this.#serving.running(isLeftOut);
  }

  /** The calls, streams and dialogs that run for the peer or wait for their turn, in the order in which they came. */
  served(): Iterable<ServedRequest> {
    return this.#serving.requests();
  }

  /** The streams and dialogs in both directions. */
  *exchanges(): Generator<OpenExchange> {
    yield* this.#serving.exchanges();
    yield* this.#calls.exchanges();
  }

  /** Resolves when nothing runs for the peer any more, except what `isLeftOut` leaves out. */
  async tasksEnded(isLeftOut: (task: Task) => boolean): Promise<void> {
    await this.#serving.ended(isLeftOut);
  }

  onReady(): void {
    this.#host.onSessionReady(this);
  }

  onMessage(message: Message, bytes: number): void {
    switch (message[0]) {
      case Kind.call:
        this.#serving.onCall(message);
        return;
      case Kind.stream:
        this.#serving.onStream(message);
        return;
      case Kind.open:
        this.#serving.onOpen(message);
        return;
      case Kind.cancel:
        this.#inParts?.delete(message[1]);
        this.#serving.onCancel(message);
        return;
      case Kind.put:
        this.#serving.onPut(message, bytes);
        return;
      case Kind.putEnd:
        this.#serving.onPutEnd(message);
        return;
      case Kind.allowItems:
        this.#serving.onAllowItems(message);
        return;
      case Kind.result:
        this.#calls.onResult(message);
        return;
      case Kind.error:
        this.#calls.onError(message);
        return;
      case Kind.part:
        this.#calls.onPart(message, bytes);
        return;
      case Kind.started:
        this.#calls.onStarted(message);
        return;
      case Kind.item:
        this.#calls.onItem(message, bytes);
        return;
      case Kind.itemEnd:
        this.#calls.onItemEnd(message);
        return;
      case Kind.allowPuts:
        this.#calls.onAllowPuts(message);
        return;
      case Kind.unshare:
        this.peer.channel.sharing.onUnshare(message);
        return;
      case Kind.released:
        this.peer.channel.sharing.onReleased(message);
        return;
      default:
        if (!this.#host.onService(this, message)) {
          throw new FrameError(`unexpected message of kind ${message[0]}`);
        }
    }
  }

  onEnd(end: ChannelEnd): void {
    if (this.isBusy) {
      const error = this.peer.channel.closedError(end);
      this.#calls.fail(error);
      const gone = `the caller ${describeActor(this.peer.id)} is gone`;
      this.abortTasks(new TransportClosedError(gone, { cause: error }));
    }
    this.#host.onSessionEnd(this);
  }
}
