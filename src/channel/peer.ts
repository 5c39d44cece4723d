/**
 * One connected peer: its identity, its channel, and how many users it has in this actor.
 *
 * After the last `release` the connection idles for a while and then closes, but only if the other side agrees: `idle`
 * offers to close, `idleAgreed` promises not to use the connection, and the offerer then sends bye, or `resume` if the
 * connection is needed after all. So an idle close never loses a call.
 */
import { timing } from "../deadline.ts";
import { causeOf, messagesOf, TransportClosedError } from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { type Address, bestAddress, type Transport } from "../transport/address.ts";
import { Kind, type Message } from "../wire/messages.ts";
import type { Channel, ChannelEnd } from "./channel.ts";
import type { PeerProof } from "./credentials.ts";
import { type Hello, refusalError } from "./handshake.ts";

const log = logger("channel");

/** The layer above, as one peer's connection calls it. */
export interface PeerHandler {
  /** Whether work is under way in either direction. */
  readonly isBusy: boolean;
  /** Bytes of messages kept until they are read. Default 0. */
  readonly unreadBytes?: number;
  /** See `ChannelHandler`. */
  readonly unanswered?: readonly number[] | undefined;
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
  /** If it runs on this host. */
  readonly pid?: number | undefined;
  readonly addrs: readonly Address[];
  /** If set, only a connection over one of these will do. */
  readonly transports?: readonly Transport[] | undefined;
}

/** How a connection was made. */
export interface PeerOrigin {
  readonly transport: Transport;
  readonly proof: PeerProof;
  /** The address that was dialled; undefined when the peer dialled us. */
  readonly dialled?: Address;
  /**
   * Whether it is known to be the actor of its uuid: it was dialled as that target, at one of the target's addresses.
   */
  readonly isConfirmed?: boolean;
}

export class Peer<H extends PeerHandler = PeerHandler> {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
  /** As given in its hello, until a later message changes it. */
  isRegistrar: boolean;
  /** Whether it has finished booting, and doesn't drain. */
  isReady: boolean;
  /** Whether it has said that it isn't to be found by name any more, though it is connected. */
  hasLeft = false;
  /**
   * Whether it is known to be registered where this actor looks up names: only then does it count as the actor of its
   * name. A hello can't show that; the layers above set it.
   */
  isVouched = false;
  /** Whether it was opened next to an existing connection, for what that one can't do. */
  readonly isFurther: boolean;
  readonly channel: Channel;
  readonly transport: Transport;
  readonly proof: PeerProof;
  readonly dialledHere: boolean;
  readonly closed: Promise<ChannelEnd>;
  readonly handler: H;
  readonly #closed = Promise.withResolvers<ChannelEnd>();
  /** Undefined until somebody asks, if the peer dialled us. */
  #addr: Address | undefined;
  #users = 0;
  #idleTimer: Timer | undefined;
  /** Set after this side agreed to close: the connection must not be used until it settles. */
  #leaving: PromiseWithResolvers<void> | undefined;

  #leavingTimer: Timer | undefined;
  readonly #forget: (peer: Peer<H>) => void;
  readonly #idleMs: number;
  /** Whether it was dialled as a target, or `isHeldBy` has returned true. */
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
    this.#addr = dialled;
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
      get unanswered() {
        return handler.unanswered;
      },
    };
    channel.label = describeActor(this.id);
    channel.establish();
  }

  /** The address that was dialled; if the peer dialled us, one at which it can be dialled. */
  get addr(): Address {
    return (this.#addr ??= bestAddress(this.addrs, this.id.host) ?? `unix://${this.id.host}/unknown`);
  }

  get isOpen(): boolean {
    return this.channel.isOpen;
  }

  /** Whether it is known to be the actor of its uuid, which any peer can claim. */
  get isKnown(): boolean {
    return this.isVouched || this.#isConfirmed;
  }

  /**
   * Whether this is a connection to the target itself: one of the target's addresses was dialled and showed its uuid,
   * or the kernel identifies the peer as the target's process, or the peer proved this user's own secret on this
   * machine and claims to be that process. A uuid alone proves nothing, since every peer learns it. A confirmation
   * for one target doesn't hold for another: a registrar may claim this uuid for any actor.
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

  /** Resolves when an agreed close has completed or was called off; undefined if none is under way. */
  get leaving(): Promise<void> | undefined {
    return this.#leaving?.promise;
  }

  /** Keeps the connection until `release`. @throws {TransportClosedError} when it has ended */
  acquire(): this {
    const { end } = this.channel;
    if (end !== undefined) throw this.channel.closedError(end);
    this.#users++;
    clearTimeout(this.#idleTimer);
    return this;
  }

  release(): void {
    if (--this.#users > 0 || !this.isOpen) return;
    this.#startIdling();
  }

  /** Lets it close once it is unused, because another connection to the same peer replaces it. */
  retire(): void {
    if (this.#users === 0 && this.isOpen) this.#startIdling();
  }

  async close(reason?: string): Promise<void> {
    await this.channel.close(reason);
  }

  /**
   * Offers to close, repeatedly: a busy peer doesn't agree, and won't necessarily make an offer itself when it is
   * done.
   */
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
        if (this.#inUse) return; // the peer will offer again
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
        // over plain tcp the acceptor learns the dialler's identity last, and may refuse it then
        this.channel.abort(refusalError(message, this.channel.link.remote, true));
        return;
      case Kind.ready:
        this.isReady = message[1] !== false;
        this.hasLeft = !this.isReady;
        if (this.isReady) this.handler.onReady();
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

  /** From now on this side waits for the peer's bye or resume, but not for ever: the peer may have been stopped. */
  #leave(): void {
    if (this.#leaving !== undefined) return;
    this.#leaving = Promise.withResolvers<void>();
    const { leavingTimeoutMs } = timing;
    this.#leavingTimer = setTimeout(() => {
      const text = `${describeActor(this.id)} offered to close, but sent neither bye nor resume within ${leavingTimeoutMs} ms`;
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

/** None of an actor's addresses led to it: each refused, or belongs to another actor. */
export class UnreachableError extends TransportClosedError {
  readonly failures: readonly Error[];

  constructor(id: { readonly name: string; readonly uuid: string }, failures: readonly Error[]) {
    const why = messagesOf(failures) || "none of its addresses can be dialled from this host";
    super(`${describeActor(id)} cannot be reached: ${why}`, { cause: causeOf(failures) });
    this.failures = failures;
  }
}
