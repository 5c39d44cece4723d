/** The peers of an actor: those connected, those being dialled, and those dialling in. */
import type { Deadline } from "../deadline.ts";
import { TransportClosedError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Address, Transport } from "../transport/address.ts";
import type { Drivers, Link } from "../transport/transport.ts";
import type { Acceptor } from "./acceptor.ts";
import { Buffered } from "./buffered.ts";
import type { Channel } from "./channel.ts";
import type { Credentials } from "./credentials.ts";
import type { DialObserver } from "./dial-trace.ts";
import { Dialler } from "./dialler.ts";
import type { Hello } from "./handshake.ts";
import type { HandshakeHost } from "./handshake-host.ts";
import { type DialTarget, Peer, type PeerHandler, type PeerOrigin } from "./peer.ts";
import { PeerIndex } from "./peer-index.ts";

/** What this actor's hello contains, as of now. */
export type Self = Pick<Hello, "id" | "addrs" | "isRegistrar"> & { readonly purpose: "peer" | "boot" };

export interface PeersOptions {
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  /** How long an unused connection stays open. */
  readonly idleMs?: number;
}

export class Peers<H extends PeerHandler = PeerHandler> {
  readonly drivers: Drivers;
  /**
   * Lower bound on the timeout of each step of a dial, in ms; raised while a child starts, which has its own
   * deadline.
   */
  leastStepMs = 0;
  readonly #index: PeerIndex<H>;
  readonly #dialler: Dialler<H>;
  readonly #host: HandshakeHost<H>;
  #acceptor: Acceptor<H> | undefined;
  #closed = false;

  constructor(self: () => Self, limits: Limits, attach: (peer: Peer<H>) => H, options: PeersOptions) {
    const { drivers, credentials, idleMs } = options;
    const index = new PeerIndex<H>(() => self().id.uuid);
    const forget = (peer: Peer<H>): void => {
      index.forget(peer);
      dialler.forget(peer);
    };
    const isClosed = (): boolean => this.#closed;
    const isAccepting = (uuid: string): boolean => this.#acceptor?.isAccepting(uuid) === true;
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
      isAccepting,
    };
    const dialler = new Dialler<H>(host);
    this.drivers = drivers;
    this.#index = index;
    this.#dialler = dialler;
    this.#host = host;
  }

  get size(): number {
    return this.#index.size;
  }

  get(uuid: string): Peer<H> | undefined {
    return this.#index.get(uuid);
  }

  /** The connected peers with this name, in the order in which they connected, or undefined. */
  byName(name: string): readonly Peer<H>[] | undefined {
    return this.#index.byName(name);
  }

  [Symbol.iterator](): IterableIterator<Peer<H>> {
    return this.#index.values();
  }

  /** Accepts an inbound link: waits for its hello and answers it. */
  accept(link: Link, transport: Transport): void {
    if (this.#acceptor === undefined) {
      // a child dials its parent, and starts sooner without the file (row `spawn`)
      const acceptors = require("./acceptor.ts") as typeof import("./acceptor.ts");
      this.#acceptor = new acceptors.Acceptor<H>(this.#host);
    }
    this.#acceptor.accept(link, transport);
  }

  /**
   * Returns a connection to the target, dialling if there is none; the caller owes one `release`. The target's
   * addresses are tried in order until a handshake with its uuid completes. `observer` is called for each dial.
   *
   * @throws {UnreachableError} when every address refused, or belongs to another actor
   * @throws {UnauthenticatedError} when no address worked and a peer failed to prove its identity or rejected our
   *   proof
   * @throws {TimeoutError} when the peer is silent, with the stage
   */
  async connect(target: DialTarget, deadline: Deadline, observer?: DialObserver): Promise<Peer<H>> {
    return await this.#dialler.connect(target, deadline, observer);
  }

  /**
   * Returns a connection to the actor that serves `addr`; the caller owes one `release`.
   *
   * @throws {TransportClosedError} when nothing listens there
   * @throws {HandshakeError} when the other end isn't furrow, or is this actor itself
   * @throws {UnauthenticatedError} when either side doesn't accept the other's proof
   * @throws {TimeoutError} when the other end is silent, with the stage
   */
  async connectTo(addr: Address, deadline: Deadline): Promise<Peer<H>> {
    return await this.#dialler.connectTo(addr, deadline);
  }

  /**
   * Asks the actor that serves `addr` for its hello, then disconnects. `localHost` is this machine's address on the
   * route there, "" over a unix socket.
   *
   * @throws as `connectTo`
   */
  async probe(
    addr: Address,
    deadline: Deadline,
  ): Promise<{ readonly hello: Hello; readonly localHost: string }> {
    return await this.#dialler.probe(addr, deadline);
  }

  /** Closes every connection with a bye and accepts no more. */
  async close(reason: string): Promise<void> {
    this.#closed = true;
    this.#dialler.close();
    this.#acceptor?.close(new TransportClosedError("this actor is ending"));
    await Promise.all(this.#index.all().map((peer) => peer.close(reason)));
  }
}
