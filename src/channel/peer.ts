/**
 * One connected peer: its identity, its channel, and how many here use it.
 *
 * When the last user lets go, the connection idles for a while and is then closed, but only if the other side agrees:
 * `idle` offers, `idleAgreed` promises not to use it, and the offerer then says bye, or `resume` if it was needed after
 * all. So no call is ever lost to an idle close.
 */
import { timing } from "../deadline.ts";
import { causeOf, messagesOf, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { type Address, bestAddress, type Transport } from "../transport/address.ts";
import { Kind, type Message } from "../wire/messages.ts";
import { type Channel, type ChannelEnd, closedError } from "./channel.ts";
import type { PeerProof } from "./credentials.ts";
import { type Hello, refusalError } from "./handshake.ts";

const log = logger("channel");

/** The layer above, for one peer. */
export interface PeerHandler {
  /** Whether work is under way in either direction. */
  readonly isBusy: boolean;
  /** Bytes of messages that it keeps until they are read. Default 0. */
  readonly unreadBytes?: number;
  /** The peer has booted, and is registered. */
  onReady(): void;
  onMessage(message: Message, bytes: number): void;
  onEnd(end: ChannelEnd): void;
}

/**
 * An actor to connect to: its uuid, what else is known of it, and its addresses in the order of trying. Not a registration:
 * parents, roots and registrars are dialled without a lookup.
 */
export interface DialTarget {
  readonly name: string;
  readonly uuid: string;
  readonly pid?: number;
  readonly addrs: readonly Address[];
  /** Only a connection over one of these will do. */
  readonly transports?: readonly Transport[];
}

/** How a connection came to be. */
export interface PeerOrigin {
  readonly transport: Transport;
  readonly proof: PeerProof;
  /** The address that was dialled; undefined when the peer dialled us. */
  readonly dialled?: Address;
  /** Whether it is known to be the actor of its uuid: it was dialled as that, at an address of it. */
  readonly isConfirmed?: boolean;
}

export class Peer<H extends PeerHandler = PeerHandler> {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
  /** As its hello said, until it says otherwise. */
  isRegistrar: boolean;
  /** Whether it has finished booting. */
  isReady: boolean;
  /**
   * Whether it is registered where this actor looks names up, as far as is known here: only then does it answer for its
   * name. A hello says nothing about that; the layers above set it.
   */
  isVouched = false;
  /** Came beside a connection that was there, for what that one can't do. */
  readonly isFurther: boolean;
  readonly channel: Channel;
  readonly transport: Transport;
  readonly proof: PeerProof;
  /** The address that was dialled, or one at which the peer can be dialled where it dialled us. */
  readonly addr: Address;
  readonly dialledHere: boolean;
  readonly closed: Promise<ChannelEnd>;
  readonly handler: H;
  readonly #closed = Promise.withResolvers<ChannelEnd>();
  #users = 0;
  #idleTimer: Timer | undefined;
  /** Set while the peer's offer to close is agreed to: the connection must not be used until it settles. */
  #leaving: PromiseWithResolvers<void> | undefined;

  #leavingTimer: Timer | undefined;
  readonly #forget: (peer: Peer<H>) => void;
  readonly #idleMs: number;
  /** Whether `isHeldBy` was true of a target. */
  #isConfirmed: boolean;

  constructor(
    hello: Hello,
    channel: Channel,
    { transport, proof, dialled, isConfirmed = false }: PeerOrigin,
    attach: (peer: Peer<H>) => H,
    forget: (peer: Peer<H>) => void,
    idleMs: number = timing.defaultIdleMs,
  ) {
    this.#forget = forget;
    this.#idleMs = idleMs;
    this.id = hello.id;
    this.addrs = hello.addrs;
    this.isRegistrar = hello.isRegistrar;
    this.isReady = hello.purpose !== "boot";
    this.isFurther = hello.purpose === "further";
    this.channel = channel;
    this.transport = transport;
    this.proof = proof;
    this.#isConfirmed = isConfirmed;
    this.addr = dialled ?? bestAddress(hello.addrs) ?? `unix://${hello.id.host}/unknown`;
    this.dialledHere = dialled !== undefined;
    this.closed = this.#closed.promise;
    const handler = (this.handler = attach(this));
    channel.handler = {
      onMessage: (message, bytes) => this.#onMessage(message, bytes),
      onEnd: (end) => this.#onEnd(end),
      get isBusy() {
        return handler.isBusy;
      },
      get unreadBytes() {
        return handler.unreadBytes ?? 0;
      },
    };
    channel.label = describeActor(this.id);
    channel.establish();
  }

  get isOpen(): boolean {
    return this.channel.isOpen;
  }

  /** Whether it is known to be the actor of its uuid, which anybody may claim. */
  get isKnown(): boolean {
    return this.isVouched || this.#isConfirmed;
  }

  /**
   * Whether this is a connection to the actor that is meant: one of its addresses was dialled and showed its uuid, or
   * the kernel says that this is its process, or it proved this user's own secret on this machine, and claims to be that
   * process. A uuid alone proves nothing, since every peer learns it. What was confirmed for one target isn't for another:
   * a registrar may say of any actor that it has this uuid.
   */
  isHeldBy({ name, pid, addrs, transports }: DialTarget): boolean {
    if (transports !== undefined && !transports.includes(this.transport)) return false;
    if (name !== this.id.name) return false;
    if (this.isVouched) return true;
    const isHeld =
      (pid !== undefined && pid === this.#provenPid) || (this.dialledHere && addrs.includes(this.addr));
    this.#isConfirmed ||= isHeld;
    return isHeld;
  }

  get #provenPid(): number | undefined {
    const { proof } = this;
    const { peer, mayFallSilent } = this.channel.link;
    if (peer?.kind === "unix") return peer.pid;
    return proof.auth === "secret" && !mayFallSilent && proof.isOwn() ? this.id.pid : undefined;
  }

  /** Resolves when an agreed close has happened or was called off; undefined when there is none. */
  get leaving(): Promise<void> | undefined {
    return this.#leaving?.promise;
  }

  /** Keeps the connection until `release`. @throws {TransportClosedError} when it has ended */
  acquire(): this {
    const { end } = this.channel;
    if (end !== undefined) throw closedError(end, describeActor(this.id));
    this.#users++;
    clearTimeout(this.#idleTimer);
    return this;
  }

  release(): void {
    if (--this.#users > 0 || !this.isOpen) return;
    this.#startIdling();
  }

  /** Has it closed once nobody uses it any more, because another connection to the same peer takes its place. */
  retire(): void {
    if (this.#users === 0 && this.isOpen) this.#startIdling();
  }

  async close(reason?: string): Promise<void> {
    await this.channel.close(reason);
  }

  /** Offers to close, again and again: a peer that is busy does not agree, and need not offer when it is done. */
  #startIdling(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (!this.#inUse) this.channel.post([Kind.idle]);
      if (this.isOpen) this.#startIdling();
    }, this.#idleMs);
    this.#idleTimer.unref();
  }

  get #inUse(): boolean {
    return this.#users > 0 || this.handler.isBusy;
  }

  #onMessage(message: Message, bytes: number): void {
    switch (message[0]) {
      case Kind.idle:
        if (this.#inUse) return; // the offer will come again
        this.#leave();
        this.channel.post([Kind.idleAgreed]);
        return;
      case Kind.idleAgreed:
        if (this.#inUse) {
          this.channel.post([Kind.resume]);
        } else {
          log.debug?.(`${describeActor(this.id)}: closing the idle connection`);
          void this.channel.close("idle");
        }
        return;
      case Kind.resume:
        this.#settle();
        return;
      case Kind.refuse:
        // over plain tcp the acceptor hears last who dialled it
        this.channel.abort(refusalError(message, this.channel.link.remote, true));
        return;
      case Kind.ready:
        this.isReady = true;
        this.handler.onReady();
        return;
      default:
        this.handler.onMessage(message, bytes);
    }
  }

  #onEnd(end: ChannelEnd): void {
    clearTimeout(this.#idleTimer);
    this.#forget(this);
    this.#closed.resolve(end);
    this.handler.onEnd(end);
    this.#settle();
  }

  /** From here on this side waits for the peer's word, but not for ever: it may have been stopped meanwhile. */
  #leave(): void {
    if (this.#leaving !== undefined) return;
    this.#leaving = Promise.withResolvers<void>();
    const { leavingTimeoutMs } = timing;
    this.#leavingTimer = setTimeout(() => {
      const text = `${describeActor(this.id)} offered to close, and neither did nor took it back in ${leavingTimeoutMs} ms`;
      this.channel.abort(new TransportClosedError(text));
    }, leavingTimeoutMs);
    this.#leavingTimer.unref();
  }

  #settle(): void {
    clearTimeout(this.#leavingTimer);
    this.#leaving?.resolve();
    this.#leaving = undefined;
  }
}

/** No address of an actor led to it: each refused, or was somebody else's. */
export class UnreachableError extends TransportClosedError {
  readonly failures: readonly Error[];

  constructor(id: { readonly name: string; readonly uuid: string }, failures: readonly Error[]) {
    const why = messagesOf(failures) || "no address of it can be dialled from here";
    super(`${id.name}#${id.uuid.slice(0, 8)} cannot be reached: ${why}`, { cause: causeOf(failures) });
    this.failures = failures;
  }
}
