/**
 * The live connections of this actor, by uuid and by name: one for each peer.
 *
 * All who want the same peer share one dial. When two actors dial each other at once, the acceptor with the smaller
 * uuid refuses the other's dial as crossed, so exactly one of the two connections comes to be. Where it cannot know,
 * because it dialled an address and not an actor, both may come to be: then both sides keep the one that the smaller
 * uuid dialled, and the other closes when nobody uses it.
 */
import { Deadline, sleep } from "../deadline.ts";
import {
  asError,
  HandshakeError,
  LimitError,
  type Stage,
  TimeoutError,
  TransportClosedError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Limits } from "../limits.ts";
import { logger } from "../log.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { tcpTransport } from "../transport/tcp.ts";
import type { Link } from "../transport/transport.ts";
import { unixTransport } from "../transport/unix.ts";
import { Kind, type Message, protocolVersion } from "../wire/messages.ts";
import { Buffered } from "./buffered.ts";
import { Channel } from "./channel.ts";
import {
  greet,
  type Hello,
  helloMessage,
  readHello,
  RefusedError,
  refuseMessage,
  type Refusal,
} from "./handshake.ts";
import { Peer, type PeerHandler, UnreachableError } from "./peer.ts";

const log = logger("channel");

/** How long to wait, after a refusal as crossed or duplicate, for the connection that it speaks of. */
const crossedRetryMs = 20;

/** What this actor says of itself in a hello, at this moment. */
export type Self = Pick<Hello, "id" | "addrs" | "isRegistrar"> & { readonly purpose: "peer" | "boot" };

interface Dial<H extends PeerHandler> {
  readonly done: Promise<Peer<H>>;
  stage: Stage;
}

/** Whom to dial: `uuid` and its addresses in the order of trying. */
export interface DialTarget {
  readonly name: string;
  readonly uuid: string;
  readonly addrs: readonly Address[];
}

export class Peers<H extends PeerHandler = PeerHandler> {
  readonly #self: () => Self;
  readonly #limits: Limits;
  readonly #attach: (peer: Peer<H>) => H;
  readonly #byUuid = new Map<string, Peer<H>>();
  readonly #byName = new Map<string, Peer<H>[]>();
  readonly #dials = new Map<string, Dial<H>>();
  /** Who answered at an address that was dialled without knowing who is there. */
  readonly #servers = new Map<Address, Peer<H>>();
  /** Links that have not finished their handshake, with their channels. */
  readonly #strangers = new Set<Channel>();
  /** Connections to peers that have another one, until nobody uses them. */
  readonly #surplus = new Set<Peer<H>>();
  readonly #idleMs: number | undefined;
  readonly #buffered: Buffered;
  /** While it is set, no step of a dial is bounded by less, in ms: the start of a child has its own bound. */
  leastStepMs = 0;
  #closed = false;

  constructor(
    self: () => Self,
    limits: Limits,
    attach: (peer: Peer<H>) => H,
    options: { readonly idleMs?: number } = {},
  ) {
    this.#self = self;
    this.#limits = limits;
    this.#buffered = new Buffered(limits.maxBufferedBytes);
    this.#attach = attach;
    this.#idleMs = options.idleMs;
  }

  get size(): number {
    return this.#byUuid.size;
  }

  get(uuid: string): Peer<H> | undefined {
    return this.#byUuid.get(uuid);
  }

  /** The connected peers of that name, in the order of connecting, or undefined. */
  byName(name: string): readonly Peer<H>[] | undefined {
    return this.#byName.get(name);
  }

  [Symbol.iterator](): IterableIterator<Peer<H>> {
    return this.#byUuid.values();
  }

  /** Takes a link that arrived: awaits its hello, and answers. */
  accept(link: Link): void {
    const channel = new Channel(link, this.#limits, this.#buffered);
    if (this.#closed || this.#connections >= this.#limits.maxConnections) {
      this.#refuse(channel, "limit", `maxConnections is ${this.#limits.maxConnections}`);
      return;
    }
    this.#strangers.add(channel);
    const { handshakeTimeoutMs } = this.#limits;
    const timer = setTimeout(() => {
      const text = `no handshake with ${link.remote} in ${handshakeTimeoutMs} ms`;
      channel.abort(new TimeoutError("handshake", text));
    }, handshakeTimeoutMs);
    // a stranger counts, and its time runs, until it is a peer or gone; a probe never becomes a peer
    const settle = (): void => {
      clearTimeout(timer);
      this.#strangers.delete(channel);
    };
    channel.handler = {
      onMessage: (message) => this.#answer(channel, message, settle),
      onEnd: settle,
    };
  }

  get #connections(): number {
    return this.#byUuid.size + this.#surplus.size + this.#strangers.size;
  }

  /**
   * A connection to the target, dialled if there is none; the caller owns one `release` of it. Its addresses are tried
   * in order until a handshake with that uuid completes.
   *
   * @throws {UnreachableError} when every address refused or was somebody else's
   * @throws {TimeoutError} when the peer is silent, with the stage
   */
  async connect(target: DialTarget, deadline: Deadline): Promise<Peer<H>> {
    for (;;) {
      const live = this.#byUuid.get(target.uuid);
      if (live === undefined) {
        const dial =
          this.#dials.get(target.uuid) ??
          this.#startDial(target.uuid, (onStage) => this.#dialTarget(target, onStage));
        const peer = await deadline.race(() => dial.stage, dial.done);
        if (isUsable(peer)) return peer.acquire();
      } else if (live.leaving === undefined) {
        return live.acquire();
      } else {
        await deadline.race("dial", live.leaving);
      }
      deadline.check("dial");
    }
  }

  /**
   * A connection to whoever serves `addr`; the caller owns one `release` of it.
   *
   * @throws {TransportClosedError} when nobody does
   * @throws {HandshakeError} when it is not furrow, or this actor itself
   * @throws {TimeoutError} when it is silent, with the stage
   */
  async connectTo(addr: Address, deadline: Deadline): Promise<Peer<H>> {
    for (;;) {
      const live = this.#servers.get(addr);
      if (isUsable(live)) return live.acquire();
      const dial =
        this.#dials.get(addr) ??
        this.#startDial(addr, async (onStage) => {
          const peer = await this.#dialUntilSettled(null, addr, onStage);
          if (peer.isOpen) this.#servers.set(addr, peer);
          return peer;
        });
      const peer = await deadline.race(() => dial.stage, dial.done);
      if (isUsable(peer)) return peer.acquire();
      deadline.check("dial");
    }
  }

  /**
   * Asks whoever serves `addr` for its hello, and leaves. `localHost` is the address of this machine on the way there,
   * "" over a unix socket.
   *
   * @throws as `connectTo`
   */
  async probe(
    addr: Address,
    deadline: Deadline,
  ): Promise<{ readonly hello: Hello; readonly localHost: string }> {
    const channel = await this.#openChannel(addr, deadline);
    const { localHost } = channel.link;
    try {
      const own: Hello = { ...this.#self(), purpose: "probe", target: null };
      return { hello: await greet(channel, own, deadline, (theirs) => theirs), localHost };
    } finally {
      this.#strangers.delete(channel);
      void channel.close("probe");
    }
  }

  /** Says goodbye to every peer and takes no more. */
  async close(reason: string): Promise<void> {
    this.#closed = true;
    for (const channel of this.#strangers) channel.abort(new TransportClosedError("this actor is ending"));
    const peers = [...this.#byUuid.values(), ...this.#surplus];
    await Promise.all(peers.map((peer) => peer.close(reason)));
  }

  /** `key` is what is dialled: a uuid, or an address without knowing who is there. */
  #startDial(key: string, work: (onStage: (stage: Stage) => void) => Promise<Peer<H>>): Dial<H> {
    const dial: { done?: Promise<Peer<H>>; stage: Stage } = { stage: "dial" };
    const run = async (): Promise<Peer<H>> => {
      try {
        const peer = await work((stage) => (dial.stage = stage));
        // hold it for those who wait for this dial and acquire in the microtasks after it
        peer.acquire();
        setTimeout(() => peer.release(), 0);
        return peer;
      } finally {
        this.#dials.delete(key);
      }
    };
    dial.done = run();
    dial.done.catch(() => {}); // each waiter has it too; there may be none left
    this.#dials.set(key, dial as Dial<H>);
    return dial as Dial<H>;
  }

  /** Tries the target's addresses in order. */
  async #dialTarget(target: DialTarget, onStage: (stage: Stage) => void): Promise<Peer<H>> {
    const failures: Error[] = [];
    let silent: TimeoutError | undefined;
    for (const addr of target.addrs) {
      try {
        return await this.#dialUntilSettled(target.uuid, addr, onStage);
      } catch (error) {
        log.debug?.(`dial of ${target.name} at ${addr}: ${asError(error).message}`);
        if (error instanceof TimeoutError) {
          // it accepted and says nothing: a stopped process answers at no address
          if (error.stage === "handshake") throw error;
          silent ??= error;
        } else if (error instanceof LimitError) {
          throw error;
        }
        failures.push(asError(error));
      }
    }
    throw silent ?? new UnreachableError(target, failures);
  }

  /** One address, of a known actor or not, again for as long as a crossing connection may turn up instead. */
  async #dialUntilSettled(
    uuid: string | null,
    addr: Address,
    onStage: (stage: Stage) => void,
  ): Promise<Peer<H>> {
    const deadline = new Deadline({ timeout: this.#limits.handshakeTimeoutMs }, `dial of ${addr}`);
    for (;;) {
      try {
        return await this.#dialAddress(addr, uuid, onStage);
      } catch (error) {
        if (!(error instanceof RefusedError) || !isRetried(error)) throw error;
        const known = uuid ?? error.uuid ?? "";
        const live = this.#byUuid.get(known);
        if (isUsable(live)) return live;
        await deadline.race("handshake", sleep(crossedRetryMs));
        const late = this.#byUuid.get(known);
        if (isUsable(late)) return late;
      }
    }
  }

  async #dialAddress(addr: Address, uuid: string | null, onStage: (stage: Stage) => void): Promise<Peer<H>> {
    onStage("dial");
    const channel = await this.#openChannel(addr, undefined);
    const live = uuid === null ? undefined : this.#byUuid.get(uuid);
    if (isUsable(live)) {
      // it dialled here while the link was opening
      this.#strangers.delete(channel);
      void channel.link.close();
      return live;
    }
    onStage("handshake");
    try {
      const own: Hello = { ...this.#self(), target: uuid };
      return await greet(channel, own, this.#step("handshake", addr, undefined), (theirs) => {
        this.#strangers.delete(channel);
        return this.#establish(theirs, channel, addr);
      });
    } catch (error) {
      this.#strangers.delete(channel);
      if (channel.isOpen) channel.abort(asError(error));
      throw error;
    }
  }

  async #openChannel(addr: Address, outer: Deadline | undefined): Promise<Channel> {
    if (this.#closed) throw new TransportClosedError("this actor is ending");
    if (this.#connections >= this.#limits.maxConnections) {
      throw new LimitError(`maxConnections ${this.#limits.maxConnections} reached: cannot dial ${addr}`);
    }
    const parsed = parseAddress(addr);
    const deadline = this.#step("dial", addr, outer);
    const link =
      parsed.transport === "unix"
        ? await unixTransport.connect(parsed, deadline)
        : await tcpTransport.connect(parsed, deadline);
    if (this.#closed) {
      link.abort();
      throw new TransportClosedError("this actor is ending");
    }
    const channel = new Channel(link, this.#limits, this.#buffered);
    this.#strangers.add(channel);
    return channel;
  }

  /** The bound of one step: its limit, or what is left of the caller's deadline where that is less. */
  #step(step: "dial" | "handshake", addr: Address, outer: Deadline | undefined): Deadline {
    const { dialTimeoutMs, handshakeTimeoutMs } = this.#limits;
    const own = Math.max(step === "dial" ? dialTimeoutMs : handshakeTimeoutMs, this.leastStepMs);
    const timeout = Math.min(own, outer?.remainingMs ?? own);
    return new Deadline({ timeout, signal: outer?.signal }, `${step} of ${addr} (${Math.round(timeout)} ms)`);
  }

  /** The acceptor's side of the handshake. */
  #answer(channel: Channel, message: Message, settle: () => void): void {
    const self = this.#self();
    let theirs: Hello;
    try {
      theirs = readHello(message);
    } catch (error) {
      log.info?.(`${channel.link.remote}: ${asError(error).message}`);
      const foreign = message[0] === Kind.hello && message[1] !== protocolVersion;
      const refusal = error instanceof LimitError ? "limit" : foreign ? "version" : "malformed";
      this.#refuse(channel, refusal, asError(error).message);
      return;
    }
    const { uuid } = self.id;
    if (theirs.purpose === "probe") {
      channel.post(helloMessage({ ...self, purpose: "probe", target: null }));
      channel.handler = {
        onMessage: () => channel.abort(new HandshakeError("a probe sent a further message")),
        onEnd: settle,
      };
      return;
    }
    if (theirs.id.uuid === uuid) return this.#refuse(channel, "self", "that is this actor itself");
    if (theirs.target !== null && theirs.target !== uuid) {
      return this.#refuse(
        channel,
        "target",
        `here is ${describeActor(self.id)}, not the actor that was looked up`,
      );
    }
    if (this.#byUuid.has(theirs.id.uuid)) return this.#refuse(channel, "duplicate", "already connected");
    if (this.#dials.get(theirs.id.uuid)?.stage === "handshake" && uuid < theirs.id.uuid) {
      return this.#refuse(channel, "crossed", "dialling the other way just now");
    }
    settle();
    channel.post(helloMessage({ ...self, target: theirs.id.uuid }));
    this.#establish(theirs, channel, undefined);
  }

  #refuse(channel: Channel, refusal: Refusal, text: string): void {
    log.info?.(`${channel.link.remote}: refused (${refusal}): ${text}`);
    channel.post(refuseMessage(refusal, text, this.#self().id.uuid));
    void channel.close(refusal);
  }

  #establish(hello: Hello, channel: Channel, dialled: Address | undefined): Peer<H> {
    const peer = new Peer<H>(hello, channel, dialled, this.#attach, this.#forget, this.#idleMs);
    const { uuid } = peer.id;
    const how = dialled === undefined ? "accepted" : "dialled";
    log.debug?.(`${how} ${describeActor(peer.id)} on ${channel.link.remote}`);
    const other = this.#byUuid.get(uuid);
    if (other === undefined) {
      this.#enter(peer);
      return peer;
    }
    const smallerDialled = peer.dialledHere === this.#self().id.uuid < uuid;
    // of two that were dialled by the same side, the other side has closed the former
    const isNewer = peer.dialledHere === other.dialledHere || smallerDialled;
    const [kept, surplus] = isNewer ? [peer, other] : [other, peer];
    log.debug?.(`${describeActor(peer.id)}: a second connection, keeping ${kept.channel.link.remote}`);
    this.#leaveOut(other);
    this.#enter(kept);
    this.#surplus.add(surplus);
    surplus.retire();
    return kept;
  }

  #enter(peer: Peer<H>): void {
    const { uuid, name } = peer.id;
    this.#byUuid.set(uuid, peer);
    const named = this.#byName.get(name);
    if (named === undefined) this.#byName.set(name, [peer]);
    else named.push(peer);
  }

  #leaveOut(peer: Peer<H>): void {
    const { uuid, name } = peer.id;
    this.#byUuid.delete(uuid);
    for (const [addr, one] of this.#servers) if (one === peer) this.#servers.delete(addr);
    const named = this.#byName.get(name)!;
    if (named.length === 1) this.#byName.delete(name);
    else named.splice(named.indexOf(peer), 1);
  }

  /** Called from the peer's end, so that no lookup sees it after that moment. */
  readonly #forget = (peer: Peer<H>): void => {
    this.#surplus.delete(peer);
    if (this.#byUuid.get(peer.id.uuid) !== peer) return;
    this.#leaveOut(peer);
    // the peer may count on the other one: it had closed this one already when it took that
    const next = this.#surplus.values().find((one) => one.id.uuid === peer.id.uuid && one.isOpen);
    if (next === undefined) return;
    this.#surplus.delete(next);
    this.#enter(next);
  };
}

/** Refusals that a connection the other way, or an end under way, explains. */
function isRetried(error: RefusedError): boolean {
  return error.refusal === "crossed" || error.refusal === "duplicate";
}

/** Whether a connection is there and stays: one that is about to be closed by agreement must not be begun with. */
function isUsable<H extends PeerHandler>(peer: Peer<H> | undefined): peer is Peer<H> {
  return peer !== undefined && peer.isOpen && peer.leaving === undefined;
}
