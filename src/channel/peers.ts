/** The peers of an actor: those that are connected, those that it dials, and those that dial it. */
import type { Deadline } from "../deadline.ts";
import { TransportClosedError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Address, Transport } from "../transport/address.ts";
import type { Drivers, Link } from "../transport/transport.ts";
import { Acceptor } from "./acceptor.ts";
import { Buffered } from "./buffered.ts";
import type { Channel } from "./channel.ts";
import type { Credentials } from "./credentials.ts";
import { Dialler } from "./dialler.ts";
import type { Hello } from "./handshake.ts";
import type { HandshakeHost } from "./handshake-host.ts";
import { type DialTarget, Peer, type PeerHandler, type PeerOrigin } from "./peer.ts";
import { PeerIndex } from "./peer-index.ts";

/** What this actor says of itself in a hello, at this moment. */
export type Self = Pick<Hello, "id" | "addrs" | "isRegistrar"> & { readonly purpose: "peer" | "boot" };

export interface PeersOptions {
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  /** How long an unused connection stays open. */
  readonly idleMs?: number;
}

export class Peers<H extends PeerHandler = PeerHandler> {
  readonly drivers: Drivers;
  /** While it is set, no step of a dial is bounded by less, in ms: the start of a child has its own bound. */
  leastStepMs = 0;
  readonly #index: PeerIndex<H>;
  readonly #dialler: Dialler<H>;
  readonly #acceptor: Acceptor<H>;
  #closed = false;

  constructor(self: () => Self, limits: Limits, attach: (peer: Peer<H>) => H, options: PeersOptions) {
    const { drivers, credentials, idleMs } = options;
    const index = new PeerIndex<H>(() => self().id.uuid);
    const forget = (peer: Peer<H>): void => {
      index.forget(peer);
      dialler.forget(peer);
    };
    const isClosed = (): boolean => this.#closed;
    const leastStepMs = (): number => this.leastStepMs;
    const host: HandshakeHost<H> = {
      limits,
      buffered: new Buffered(limits.maxBufferedBytes),
      index,
      credentials,
      drivers,
      self,
      get isClosed() {
        return isClosed();
      },
      get leastStepMs() {
        return leastStepMs();
      },
      establish: (hello: Hello, channel: Channel, origin: PeerOrigin): Peer<H> =>
        index.enter(new Peer<H>(hello, channel, origin, attach, forget, idleMs)),
      isGreeting: (uuid: string): boolean => dialler.isGreeting(uuid),
      isAccepting: (uuid: string): boolean => acceptor.isAccepting(uuid),
    };
    const dialler = new Dialler<H>(host);
    const acceptor = new Acceptor<H>(host);
    this.drivers = drivers;
    this.#index = index;
    this.#dialler = dialler;
    this.#acceptor = acceptor;
  }

  get size(): number {
    return this.#index.size;
  }

  get(uuid: string): Peer<H> | undefined {
    return this.#index.get(uuid);
  }

  /** The connected peers of that name, in the order of connecting, or undefined. */
  byName(name: string): readonly Peer<H>[] | undefined {
    return this.#index.byName(name);
  }

  [Symbol.iterator](): IterableIterator<Peer<H>> {
    return this.#index.values();
  }

  /** Takes a link that arrived: awaits its hello, and answers. */
  accept(link: Link, transport: Transport): void {
    this.#acceptor.accept(link, transport);
  }

  /**
   * A connection to the target, dialled if there is none; the caller owns one `release` of it. Its addresses are tried
   * in order until a handshake with that uuid completes.
   *
   * @throws {UnreachableError} when every address refused, or belongs to another actor
   * @throws {UnauthenticatedError} when none could be reached, and one did not prove who it is, or didn't accept our proof
   * @throws {TimeoutError} when the peer is silent, with the stage
   */
  async connect(target: DialTarget, deadline: Deadline): Promise<Peer<H>> {
    return await this.#dialler.connect(target, deadline);
  }

  /**
   * A connection to whoever serves `addr`; the caller owns one `release` of it.
   *
   * @throws {TransportClosedError} when nothing does
   * @throws {HandshakeError} when it isn't furrow, or is this actor itself
   * @throws {UnauthenticatedError} when one of the two doesn't accept the other's proof
   * @throws {TimeoutError} when it is silent, with the stage
   */
  async connectTo(addr: Address, deadline: Deadline): Promise<Peer<H>> {
    return await this.#dialler.connectTo(addr, deadline);
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
    return await this.#dialler.probe(addr, deadline);
  }

  /** Says goodbye to every peer and takes no more. */
  async close(reason: string): Promise<void> {
    this.#closed = true;
    this.#dialler.close();
    this.#acceptor.close(new TransportClosedError("this actor is ending"));
    await Promise.all(this.#index.all().map((peer) => peer.close(reason)));
  }
}
