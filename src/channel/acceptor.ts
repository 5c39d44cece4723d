/**
 * Inbound links. Until the other side has proved its identity it is a stranger: it gets little time and little input,
 * learns nothing, and occupies no peer's slot.
 */
import { asError, HandshakeError, LimitError, TimeoutError, UnauthenticatedError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { Transport } from "../transport/address.ts";
import type { Link } from "../transport/transport.ts";
import { Kind, type Message, protocolVersion } from "../wire/messages.ts";
import { Channel, lastChanceMs, maxStrangerBytes } from "./channel.ts";
import { linkProof, outranks, ownerOf, type PeerProof } from "./credentials.ts";
import { checkPid, type Hello, helloMessage, readHello, type Refusal, refuseMessage } from "./handshake.ts";
import type { HandshakeHost } from "./handshake-host.ts";
import type { Knocker } from "./knock.ts";
import type { PeerHandler } from "./peer.ts";
import type { Knock } from "./proof.ts";

const log = logger("channel");

/** A connection whose other end hasn't proved its identity yet. */
interface Stranger {
  readonly channel: Channel;
  readonly transport: Transport;
  timer: Timer;
}

export class Acceptor<H extends PeerHandler> {
  readonly #host: HandshakeHost<H>;
  /** In the order of arrival. */
  readonly #strangers: Readonly<Record<Transport, Set<Stranger>>> = { unix: new Set(), tcp: new Set() };
  /**
   * Refused diallers that haven't hung up yet: a closing link waits a second for that. Also bounded by
   * `maxStrangers`.
   */
  readonly #dismissed = new Set<Channel>();
  /** The uuids of diallers that got their answer and still owe their proof. */
  readonly #knocking = new Set<string>();

  constructor(host: HandshakeHost<H>) {
    this.#host = host;
  }

  /** Accepts an inbound link: waits for its hello and answers it. */
  accept(link: Link, transport: Transport): void {
    const host = this.#host;
    const { handshakeTimeoutMs } = host.limits;
    let proof: PeerProof | undefined;
    try {
      proof = linkProof(link.peer, transport === "unix", link.remote);
    } catch (error) {
      this.#refuseStranger(new Channel(link, host.limits, maxStrangerBytes), asError(error));
      return;
    }
    const channel = new Channel(
      link,
      host.limits,
      proof === undefined ? maxStrangerBytes : undefined,
      host.buffered,
    );
    if (host.isClosed) {
      this.#refuse(channel, "limit", "this actor is ending");
      return;
    }
    this.#makeRoom(transport);
    const expire = (): void => {
      const text = `no handshake with ${link.remote} in ${handshakeTimeoutMs} ms`;
      channel.abort(new TimeoutError("handshake", text));
    };
    const timer = setTimeout(() => {
      // if this process was busy that long, the hello may have arrived without being read yet
      stranger.timer = setTimeout(expire, lastChanceMs);
    }, handshakeTimeoutMs);
    const stranger: Stranger = { channel, transport, timer };
    this.#strangers[transport].add(stranger);
    channel.handler = {
      onMessage: (message) => {
        if (proof === undefined) this.#onKnock(stranger, message);
        else this.#onHello(stranger, message, proof);
      },
      onEnd: () => this.#settle(stranger),
    };
  }

  /** Whether an inbound dial from `uuid` is about to become a connection. */
  isAccepting(uuid: string): boolean {
    return this.#knocking.has(uuid);
  }

  /** Drops all strangers. */
  close(reason: Error): void {
    for (const strangers of Object.values(this.#strangers))
      for (const { channel } of strangers) channel.abort(reason);
  }

  /** Evicts the oldest stranger: an honest one needs only milliseconds. */
  #makeRoom(transport: Transport): void {
    const strangers = this.#strangers[transport];
    const { maxStrangers } = this.#host.limits;
    if (strangers.size < maxStrangers) return;
    for (const { channel } of strangers) {
      const text = `${channel.link.remote}: more than ${maxStrangers} strangers over ${transport} (maxStrangers)`;
      channel.abort(new LimitError(text));
      return;
    }
  }

  /** Called when the stranger has become a peer or its connection has ended. */
  #settle(stranger: Stranger): void {
    clearTimeout(stranger.timer);
    this.#strangers[stranger.transport].delete(stranger);
  }

  /** Unix sockets and TLS: a single hello completes the handshake. */
  #onHello(stranger: Stranger, message: Message, proof: PeerProof): void {
    const { channel, transport } = stranger;
    let theirs: Hello;
    try {
      theirs = readHello(message);
      checkPid(channel, theirs);
    } catch (error) {
      this.#refuseFault(channel, message, asError(error));
      return;
    }
    if (theirs.purpose === "probe") {
      this.#answerProbe(stranger, helloMessage);
      return;
    }
    const { uuid, pid } = theirs.id;
    const { target, purpose } = theirs;
    if (this.#isRefused(channel, { uuid, target, purpose }, pid, proof)) return;
    this.#settle(stranger);
    channel.post(helloMessage({ ...this.#host.self(), target: uuid }));
    this.#host.establish(theirs, channel, { transport, proof });
  }

  /** Plain tcp: the dialler knocks, gets this actor's hello, then sends its proof and the rest of its own hello. */
  #onKnock(stranger: Stranger, message: Message): void {
    const host = this.#host;
    const { channel, transport } = stranger;
    let knocker: Knocker;
    try {
      const knocks = require("./knock.ts") as typeof import("./knock.ts");
      knocker = knocks.Knocker.read(message, host.credentials.secret, channel.link.ends);
    } catch (error) {
      this.#refuseFault(channel, message, asError(error));
      return;
    }
    channel.admit();
    const { uuid, purpose } = knocker.knock;
    if (purpose === "probe") {
      this.#answerProbe(stranger, (own) => knocker.answer(own));
      return;
    }
    const proof = knocker.proofOver(channel.link);
    if (this.#isRefused(channel, knocker.knock, undefined, proof, knocker)) return;
    const own = { ...host.self(), target: uuid };
    channel.post(knocker.answer(own));
    this.#knocking.add(uuid);
    channel.handler = {
      onMessage: (next) => {
        this.#knocking.delete(uuid);
        let theirs: Hello;
        try {
          theirs = knocker.prove(next, own);
        } catch (error) {
          this.#refuseFault(channel, next, asError(error));
          return;
        }
        if (this.#isFull(channel, proof, knocker)) return;
        this.#settle(stranger);
        // if another connection came up meanwhile, both sides keep the same one of the two
        host.establish(theirs, channel, { transport, proof });
      },
      onEnd: () => {
        this.#knocking.delete(uuid);
        this.#settle(stranger);
      },
    };
  }

  /** A probe never becomes a peer. */
  #answerProbe(stranger: Stranger, answer: (own: Hello) => Message): void {
    const { channel } = stranger;
    channel.post(answer({ ...this.#host.self(), purpose: "probe", target: null }));
    channel.handler = {
      onMessage: () => channel.abort(new HandshakeError("a probe sent a further message")),
      onEnd: () => this.#settle(stranger),
    };
  }

  /**
   * Refuses a dialler whose request can't be met; returns whether it did. `pid`: its process, if known. `knocker`:
   * over plain tcp, the dialler that the refusal must be proved to.
   */
  #isRefused(
    channel: Channel,
    { uuid, target, purpose }: Knock,
    pid: number | undefined,
    proof: PeerProof,
    knocker?: Knocker,
  ): boolean {
    const { index } = this.#host;
    const { id } = this.#host.self();
    const refuse = (refusal: Refusal, text: string): true => {
      this.#refuse(channel, refusal, text, knocker);
      return true;
    };
    if (uuid === id.uuid) return refuse("self", "that is this actor itself");
    if (target !== null && target !== id.uuid)
      return refuse("target", `this is ${describeActor(id)}, not the actor that was looked up`);
    if (this.#isFull(channel, proof, knocker)) return true;
    if (purpose === "further") return false;
    const other = index.get(uuid);
    // when two processes claim one uuid, the first can't keep the second out unless it is known to be the actor
    const isSame = other !== undefined && (pid === undefined || other.id.pid === pid);
    if (other?.isKnown ? !outranks(proof, other.proof) : isSame && ownerOf(proof) === ownerOf(other.proof))
      return refuse("duplicate", "already connected");
    if (this.#host.isGreeting(uuid) && id.uuid < uuid)
      return refuse("crossed", "dialling the other way just now");
    return false;
  }

  #isFull(channel: Channel, proof: PeerProof, knocker: Knocker | undefined): boolean {
    const { index, limits } = this.#host;
    if (index.connections < limits.maxConnections || index.makeRoom(proof)) return false;
    this.#refuse(channel, "limit", `maxConnections is ${limits.maxConnections}`, knocker);
    return true;
  }

  #refuseFault(channel: Channel, message: Message, fault: Error): void {
    if (fault instanceof UnauthenticatedError) {
      this.#refuseStranger(channel, fault);
      return;
    }
    const foreign = message[0] === Kind.hello && message[1] !== protocolVersion;
    const refusal = fault instanceof LimitError ? "limit" : foreign ? "version" : "malformed";
    this.#refuse(channel, refusal, fault.message);
  }

  /** A refusal that reveals nothing: no text, no uuid. */
  #refuseStranger(channel: Channel, fault: Error): void {
    log.warn?.(`${channel.link.remote}: refused (unauthenticated): ${fault.message}`);
    this.#dismiss(channel, "unauthenticated", refuseMessage("unauthenticated", "", ""));
  }

  #refuse(channel: Channel, refusal: Refusal, text: string, knocker?: Knocker): void {
    log.info?.(`${channel.link.remote}: refused (${refusal}): ${text}`);
    const { uuid } = this.#host.self().id;
    const message = knocker?.refuse(refusal, text, uuid) ?? refuseMessage(refusal, text, uuid);
    this.#dismiss(channel, refusal, message);
  }

  #dismiss(channel: Channel, refusal: Refusal, message: Message): void {
    const dismissed = this.#dismissed;
    channel.post(message);
    const [oldest] = dismissed;
    if (oldest !== undefined && dismissed.size >= this.#host.limits.maxStrangers) {
      dismissed.delete(oldest);
      oldest.link.abort();
    }
    dismissed.add(channel);
    void channel.close(refusal).finally(() => dismissed.delete(channel));
  }
}
