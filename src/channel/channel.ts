/**
 * Typed messages both ways over a link.
 *
 * Everything sent in one turn of the event loop leaves in one write; `turn.ts` decides when. A channel ends in one of
 * four ways and calls its handler's `onEnd` once; a bye distinguishes a peer that left from one that died.
 */
import { timing } from "../deadline.ts";
import { asError, FrameError, LimitError, TransportClosedError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import type { Link, LinkEnd, LinkReader } from "../transport/transport.ts";
import { Batch, type BatchSink } from "../wire/codec.ts";
import { decode } from "../wire/decode.ts";
import { FrameDecoder, type FrameSink } from "../wire/frame.ts";
import { checkMessage, Kind, type Message } from "../wire/messages.ts";
import { weighedFrom, weightFault } from "../wire/weight-limit.ts";
import { Buffered, type Holder } from "./buffered.ts";
import type { Share } from "./share.ts";
import type { PeerSharing } from "./shared-buffers.ts";
import { beginChunk, endChunk, flushLater, type Sender } from "./turn.ts";

const log = logger("channel");

/** Limit for frames during the handshake: nothing in it is larger than a hello. */
const maxHelloBytes = 65_536;
/** Limit for a frame from a stranger: a hello without addresses. */
export const maxStrangerBytes = 4_096;
/** Control messages and errors may always be this large, however small `maxFrameBytes` is. */
const maxControlBytes = 65_536;
/** Grace after a deadline, to read what arrived while this process was busy. */
export const lastChanceMs: number = 50;
/** A chunk with no more messages than this is processed in one turn. */
const unsharedMessages = 64;

/** Loaded by the first connection that sends more at once. */
let shares: typeof import("./share.ts") | undefined;
/** Loaded by the first shared buffer. */
let sharings: typeof import("./shared-buffers.ts") | undefined;

/** closed: by this side. peer-closed: with a bye. peer-died: without one. error: broken rules, or a broken link. */
export interface ChannelEnd {
  readonly reason: "closed" | "peer-closed" | "peer-died" | "error";
  readonly error?: Error;
}

export interface ChannelHandler {
  /**
   * Receives every message except the channel's own (bye, ping, pong), with the size of its frame. A throw closes the
   * channel.
   */
  onMessage(message: Message, bytes: number): void;
  /** Called exactly once, after the last message. */
  onEnd(end: ChannelEnd): void;
  /** False once everything received has been answered. Default true. */
  readonly isBusy?: boolean;
  /** Bytes of messages kept until they are read. Default 0. */
  readonly unreadBytes?: number;
  /** The ids of the peer's requests that have no answer yet, for the bye; undefined if they can't be told. */
  readonly unanswered?: readonly number[] | undefined;
}

export class Channel implements LinkReader, Sender, Holder {
  handler: ChannelHandler = { onMessage() {}, onEnd() {} };
  readonly link: Link;
  /** The other end, for messages: its address at first, the actor once it is known. */
  label: string;
  /** Notified when this channel or its handler holds more. */
  readonly buffered: Buffered;
  readonly #limits: Limits;
  readonly #decoder: FrameDecoder;
  readonly #batch: Batch;
  /** Frames with more bytes than this are weighed before they are decoded. */
  readonly #weighedFrom: number;
  /** Maintained by `turn.ts`. */
  waits = false;
  /** The ids of this side's requests that the peer had read and not answered when it left, as its bye says: unchecked. */
  openAtPeer: unknown;
  /** Bytes of send queue reserved for control messages and errors, beyond what other messages may fill. */
  readonly #reserve: number;
  /** The queue size, in bytes, at which that reserve is used up. */
  #ceiling: number;
  #end: ChannelEnd | undefined;
  /** Says what became of the peer, for errors of those who still use the channel after its end. */
  epitaph: (() => string | undefined) | undefined;
  #isEstablished = false;
  #pingTimer: Timer | undefined;
  #unanswered = 0;
  /** When the last bytes of an unfinished frame arrived, and the timer that checks whether more do. */
  #progressAt = 0;
  #stallTimer: Timer | undefined;
  #lastChance = false;
  /** How many more messages may be processed before the share is asked, and the share once there is one. */
  #left = 0;
  #share: Share | undefined;
  /** What has been received and left for later turns; the link is paused meanwhile. */
  #backlog: Uint8Array[] | undefined;
  #sharing: PeerSharing | undefined;
  /** Whether what comes next waits for `release`. */
  #isHeld = false;
  /** How the link ended, until the backlog has been processed. */
  #linkEnd: LinkEnd | undefined;

  /** `maxFrameBytes` applies until `admit` or `establish`. All connections of the actor share one `buffered`. */
  constructor(
    link: Link,
    limits: Limits,
    maxFrameBytes: number = maxHelloBytes,
    buffered: Buffered = new Buffered(limits.maxBufferedBytes),
  ) {
    this.#decoder = new FrameDecoder(maxFrameBytes);
    this.link = link;
    this.buffered = buffered;
    this.label = link.remote;
    this.#limits = limits;
    this.#batch = new Batch(limits.maxFrameValues);
    this.#weighedFrom = weighedFrom(limits.maxFrameValues);
    const { maxPendingSendBytes } = limits;
    this.#reserve = Math.max(maxPendingSendBytes / 4, 2 * maxControlBytes);
    this.#ceiling = maxPendingSendBytes + this.#reserve;
    link.reader = this;
  }

  /** Whether messages can still be sent. */
  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /** How it ended, once it has. */
  get end(): ChannelEnd | undefined {
    return this.#end;
  }

  /** Accepts frames as large as a hello: the other side isn't a stranger any more. */
  admit(): void {
    this.#decoder.maxFrameBytes = maxHelloBytes;
  }

  /** The error for those who still use the channel when it has ended. */
  closedError(end: ChannelEnd): TransportClosedError {
    const error = closedError(end, this.label);
    const text = this.epitaph?.();
    return text === undefined ? error : new TransportClosedError(text, { cause: error });
  }

  /** Bytes held: unsent, part of an unfinished frame, or not yet read by a stream or dialog. */
  get heldBytes(): number {
    const later = this.#backlog?.reduce((sum, { length }) => sum + length, 0) ?? 0;
    return this.link.pendingBytes + this.#decoder.gatheredBytes + later + (this.handler.unreadBytes ?? 0);
  }

  /** The shared buffers that cross it. */
  get sharing(): PeerSharing {
    if (this.#sharing === undefined) {
      sharings ??= require("./shared-buffers.ts") as typeof import("./shared-buffers.ts");
      this.#sharing = new sharings.PeerSharing(this, this.#limits);
    }
    return this.#sharing;
  }

  /** Where the message that was sent last ends, counted in bytes from the beginning of the connection. */
  get sentTo(): number {
    const { writtenBytes, pendingBytes } = this.link;
    return writtenBytes + pendingBytes + this.#batch.pendingBytes;
  }

  /**
   * Whether all of the message that ends there may have reached the peer. On a channel that has ended; before that, what
   * waits may still leave.
   */
  mayHaveLeft(sentTo: number): boolean {
    // an orderly close sends what is pending
    return this.#end?.reason === "closed" || sentTo <= this.link.writtenBytes;
  }

  /** Accepts the full protocol, once the handshake is done. */
  establish(): void {
    this.buffered.add(this);
    this.#isEstablished = true;
    this.#decoder.maxFrameBytes = Math.max(this.#limits.maxFrameBytes, maxControlBytes);
    if (this.link.mayFallSilent) {
      this.#pingTimer = setInterval(() => this.#ping(), timing.pingIntervalMs);
      this.#pingTimer.unref();
    }
  }

  /**
   * Queues a message for the end of this turn; returns the size of its frame in bytes.
   *
   * @throws {TransportClosedError} when the channel has ended, or ends because earlier messages couldn't be written
   * @throws {LimitError} when more than `maxPendingSendBytes` are queued already, or the frame is too large; nothing
   *   was queued
   * @throws {EncodeError} when it cannot be encoded; nothing was queued
   */
  send(message: Message): number {
    this.#checkSending();
    return this.#queued(this.#batch.add(message, this.#limits.maxFrameBytes));
  }

  /** As `send` of `[kind, id, value]`. @throws as `send` */
  sendBinary(kind: Kind, id: number, value: Uint8Array): number {
    this.#checkSending();
    return this.#queued(this.#batch.addBinary(kind, id, value, this.#limits.maxFrameBytes));
  }

  /**
   * As `send`, for control messages and errors: up to 64 KiB each, they may use a reserve when the queue is full for
   * other messages. An `ample` one leaves half of that reserve to the rest.
   *
   * @throws as `send`; {LimitError} only when the reserve is used up too, or the message is too large
   */
  sendControl(message: Message, ample = false): void {
    this.#checkOpen();
    const { maxFrameBytes, maxPendingSendBytes } = this.#limits;
    let most = Math.max(maxFrameBytes, maxControlBytes);
    let pending = 0;
    if (this.link.pendingBytes > 0) {
      pending = this.link.pendingBytes + this.#batch.pendingBytes;
      if (pending > maxPendingSendBytes) {
        if (pending > this.#ceiling - (ample ? this.#reserve / 2 : 0)) throw this.#tooMuch(pending);
        most = maxControlBytes;
        // encoding all of it would cost us more than asking for it costs the peer
        if (leastBytes(message, most) > most) throw this.#tooMuch(pending);
      }
    }
    try {
      this.#batch.add(message, most);
    } catch (error) {
      if (!(error instanceof LimitError) || most > maxControlBytes) throw error;
      // it was held to the size of a control message only because the queue is full: name that limit
      if (pending > maxPendingSendBytes) throw this.#tooMuch(pending);
      throw new LimitError(`frame of more than ${maxControlBytes} B exceeds maxFrameBytes ${maxFrameBytes}`);
    }
    if (this.#batch.full) this.flush();
    else flushLater(this);
    this.#checkOpen();
  }

  /**
   * Sends a control message without reporting failures to the caller. If the peer reads so little that even this
   * doesn't fit, the connection is closed.
   */
  post(message: Message): void {
    if (this.#end !== undefined) return;
    try {
      this.sendControl(message);
    } catch (error) {
      this.abort(asError(error));
    }
  }

  /** Writes everything queued. */
  flush(): void {
    if (this.#end !== undefined) return;
    try {
      this.#batch.drain(this.#write);
    } catch (error) {
      // part of a frame has been written, and the rest can't be
      this.abort(asError(error));
    }
  }

  /** Sends a bye and closes in order: nothing sent before it is lost. */
  async close(reason = "closed"): Promise<void> {
    if (this.#end === undefined) {
      const { unanswered } = this.handler;
      const bye: Message = unanswered === undefined ? [Kind.bye, reason] : [Kind.bye, reason, unanswered];
      this.#batch.add(bye, maxControlBytes);
      this.flush();
      this.#finish({ reason: "closed" });
    }
    await this.link.close();
  }

  /** Ends at once. */
  abort(error: Error): void {
    log.info?.(`${this.link.remote}: closing: ${error.message}`);
    this.#finish({ reason: "error", error });
    this.link.abort(error);
  }

  /**
   * Pings the peer now, on a link where silence can mean a dead peer. Does nothing while a ping is unanswered: however
   * often it is called, the peer keeps its time to answer.
   */
  checkPeer(): void {
    if (this.link.mayFallSilent) this.askForSign();
  }

  /** Pings the peer on any link, unless a ping is unanswered already. Its silence then shows in `isSilent`. */
  askForSign(): void {
    if (this.isOpen && this.#unanswered === 0) this.#ping();
  }

  /** Whether nothing has arrived since the last ping. */
  get isSilent(): boolean {
    return this.#unanswered > 0;
  }

  /**
   * Processes no more messages until `release`. Called while one is processed, by those who can't serve it yet: a peer that goes on
   * asking then fills its own send queue, not the memory of this process.
   */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    if (this.#backlog !== undefined) this.#continueLater();
  }

  onData(chunk: Uint8Array): void {
    // drop what arrives while the link is closing: the handler has already had `onEnd`
    if (this.#end !== undefined) return;
    this.#unanswered = 0;
    if (this.#backlog !== undefined) {
      // a paused link may still have some that it had read before
      this.#backlog.push(chunk);
      this.buffered.grew(chunk.length);
      return;
    }
    const used = this.#process(chunk);
    if (used < chunk.length || this.#isHeld) this.#postpone(chunk.subarray(used));
    else if (this.#decoder.gatheredBytes > 0) this.#noteProgress(chunk.length);
  }

  /** Processes messages for one turn; returns how many bytes of the chunk they took. */
  #process(chunk: Uint8Array): number {
    this.#left = this.#share === undefined ? unsharedMessages : this.#share.begin();
    beginChunk();
    try {
      return this.#decoder.push(chunk, this.#onFrame);
    } catch (error) {
      if (!(error instanceof FrameError)) log.error?.(`${this.link.remote}: ${asError(error).stack}`);
      this.abort(asError(error));
      return chunk.length;
    } finally {
      endChunk(this, this.handler.isBusy === false);
    }
  }

  /** Leaves the rest of a chunk to later turns, so that other connections get theirs. */
  #postpone(rest: Uint8Array): void {
    if (this.#end !== undefined) return;
    this.#backlog = rest.length > 0 ? [rest] : [];
    this.buffered.grew(rest.length);
    this.link.pause();
    this.#continueLater();
  }

  #continueLater(): void {
    if (this.#isHeld) return;
    // ticks run after the microtasks: by then the calls of this turn have run that don't wait for anything
    queueMicrotask(() => process.nextTick(() => this.#share?.measure()));
    setImmediate(() => this.#continue());
  }

  #continue(): void {
    if (this.#backlog === undefined) return;
    const [chunk, ...more] = this.#backlog;
    this.#unanswered = 0;
    if (chunk !== undefined) {
      const used = this.#process(chunk);
      // the channel may have ended
      if (this.#backlog === undefined) return;
      if (used < chunk.length) more.unshift(chunk.subarray(used));
    }
    if (more.length > 0 || this.#isHeld) {
      this.#backlog = more;
      this.#continueLater();
      return;
    }
    this.#backlog = undefined;
    if (this.#decoder.gatheredBytes > 0) this.#noteProgress(chunk?.length ?? 0);
    this.link.resume();
    if (this.#linkEnd !== undefined) this.onEnd(this.#linkEnd);
  }

  onEnd(end: LinkEnd): void {
    // not before: queued bytes are held until the link has closed
    this.buffered.remove(this);
    if (this.#backlog !== undefined) {
      this.#linkEnd = end;
      return;
    }
    if (end.kind === "failed") this.#finish({ reason: "peer-died", error: end.error });
    else if (this.#decoder.end() === "clean") this.#finish({ reason: "peer-died" });
    else this.#finish({ reason: "peer-died", error: new FrameError("input ended inside a frame") });
  }

  readonly #onFrame: FrameSink = (source, start, end) => {
    if (end - start > this.#weighedFrom) this.#checkWeight(source, start, end);
    const message = checkMessage(decode(source, start, end));
    switch (message[0]) {
      case Kind.bye:
        this.openAtPeer = message[2];
        this.#finish({ reason: "peer-closed" });
        void this.link.close();
        break;
      case Kind.ping:
        // during the handshake a ping is just another message that isn't a hello
        if (this.#isEstablished) this.post([Kind.pong, message[1]]);
        else this.handler.onMessage(message, end - start);
        break;
      case Kind.pong:
        break;
      default:
        this.handler.onMessage(message, end - start);
    }
    return this.#end === undefined && !this.#isHeld && (--this.#left > 0 || this.#mayGoOn());
  };

  #mayGoOn(): boolean {
    if (this.#share === undefined) {
      shares ??= require("./share.ts") as typeof import("./share.ts");
      this.#share = new shares.Share(unsharedMessages);
    }
    this.#left = this.#share.more();
    return this.#left > 0;
  }

  readonly #write: BatchSink = (bytes, start, end, stable, more) => {
    const { pendingBytes } = this.link;
    this.link.write(bytes, start, end, stable, more);
    const grown = this.link.pendingBytes - pendingBytes;
    if (grown > 0) this.buffered.grew(grown);
  };

  #noteProgress(bytes: number): void {
    if (this.#end !== undefined) return;
    this.buffered.grew(bytes);
    this.#progressAt = performance.now();
    this.#lastChance = false;
    if (this.#stallTimer === undefined) this.#watchProgress(this.#limits.handshakeTimeoutMs);
  }

  /** One timer for all frames; finishing a frame doesn't clear it, as most finish long before it fires. */
  #watchProgress(ms: number): void {
    this.#stallTimer = setTimeout(() => {
      this.#stallTimer = undefined;
      const arrived = this.#decoder.gatheredBytes;
      if (arrived === 0 || this.#end !== undefined) return;
      const { handshakeTimeoutMs } = this.#limits;
      const left = this.#progressAt + handshakeTimeoutMs - performance.now();
      if (left > 0) {
        this.#watchProgress(left);
      } else if (this.#lastChance) {
        const text = `unfinished frame stalled: ${arrived} B received, nothing more within ${handshakeTimeoutMs} ms (handshakeTimeoutMs)`;
        this.abort(new FrameError(text));
      } else {
        this.#lastChance = true;
        this.#watchProgress(lastChanceMs);
      }
    }, ms);
    this.#stallTimer.unref();
  }

  /** @throws {FrameError} when decoding the frame would cost too much */
  #checkWeight(source: Uint8Array, start: number, end: number): void {
    const fault = weightFault(end - start, source, start, end, this.#limits.maxFrameValues);
    if (fault !== undefined) throw new FrameError(fault);
  }

  #checkSending(): void {
    this.#checkOpen();
    if (this.link.pendingBytes > 0) this.#checkPending();
  }

  #checkOpen(): void {
    if (this.#end !== undefined) throw this.closedError(this.#end);
  }

  #queued(bytes: number): number {
    if (this.#batch.full) this.#flushData();
    else flushLater(this);
    // the flush may have failed and ended the channel: the caller must not wait for an answer
    this.#checkOpen();
    return bytes;
  }

  /** The last message that is accepted may be large: the reserve for control messages starts after it. */
  #flushData(): void {
    this.flush();
    this.#ceiling = Math.max(this.link.pendingBytes, this.#limits.maxPendingSendBytes) + this.#reserve;
  }

  #checkPending(): void {
    const pending = this.link.pendingBytes + this.#batch.pendingBytes;
    if (pending > this.#limits.maxPendingSendBytes) throw this.#tooMuch(pending);
  }

  #tooMuch(pending: number): LimitError {
    return new LimitError(
      `send queue for ${this.link.remote} holds ${pending} B: the peer is not reading (maxPendingSendBytes ${this.#limits.maxPendingSendBytes})`,
    );
  }

  #ping(): void {
    // it isn't read: its silence says nothing
    if (this.#isHeld) return;
    const { pingIntervalMs, pingsUnanswered } = timing;
    if (++this.#unanswered > pingsUnanswered) {
      this.abort(
        new TransportClosedError(`${this.link.remote} was silent for ${pingIntervalMs * pingsUnanswered} ms`),
      );
    } else {
      this.post([Kind.ping, this.#unanswered]);
    }
  }

  #finish(end: ChannelEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    clearInterval(this.#pingTimer);
    clearTimeout(this.#stallTimer);
    this.#batch.clear();
    this.#sharing?.end();
    if (this.#backlog !== undefined) {
      // the link has to read on to see its own end
      this.#backlog = undefined;
      this.link.resume();
    }
    log.debug?.(`${this.link.remote}: ended: ${end.reason}${end.error ? `: ${end.error.message}` : ""}`);
    this.handler.onEnd(end);
  }
}

/** A lower bound on the encoded size of an array or text, in bytes; stops counting beyond `enough`. */
function leastBytes(value: unknown, enough: number): number {
  if (typeof value === "string") return 1 + value.length;
  if (!Array.isArray(value)) return 1;
  let bytes = 1;
  for (let at = 0; at < value.length && bytes <= enough; at++)
    bytes += leastBytes(value[at] as unknown, enough - bytes);
  return bytes;
}

/** The error that rejects pending work of an ended channel. */
export function closedError(end: ChannelEnd, remote: string): TransportClosedError {
  // this error closed the channel, and says it all
  if (end.reason === "error" && end.error instanceof TransportClosedError) return end.error;
  const how = {
    closed: "was closed on this side",
    "peer-closed": "was closed by the peer",
    "peer-died": "was lost: the peer died",
    error: "was closed on an error",
  }[end.reason];
  return new TransportClosedError(`connection to ${remote} ${how}`, { cause: end.error });
}
