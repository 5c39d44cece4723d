/** The addresses that an actor listens on: binds them, advertises them to peers, keeps them working, closes them. */
import { checkExposure, type Credentials } from "../channel/credentials.ts";
import { TransportClosedError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import {
  type Address,
  formatAddress,
  parseAddress,
  type ParsedAddress,
  type Transport,
} from "../transport/address.ts";
import { isWildcard } from "../transport/host.ts";
import type { LockHolder } from "../transport/socket-lock.ts";
import type { Drivers, Link, Listener, ListenerState } from "../transport/transport.ts";

const log = logger("actor");

/** What the listeners need from their actor. */
export interface ListenersHost {
  readonly id: ActorId;
  /** The uuid of the root of its tree. */
  readonly rootUuid: string;
  readonly credentials: Credentials;
  readonly drivers: Drivers;
  /** What others are told to dial in place of the tcp addresses that are bound: see `advertise.ts`. */
  readonly advertise: readonly Address[] | undefined;
  /** Whether the actor has begun to end; if so, it binds nothing more. */
  readonly isEnding: boolean;
  accept(link: Link, transport: Transport): void;
}

export class Listeners {
  readonly #host: ListenersHost;
  /** By requested address; the listener's own address has a real port in place of 0. */
  readonly #listeners = new Map<Address, Listener>();
  #advertised: readonly Address[] = [];
  #local: readonly Address[] = [];

  constructor(host: ListenersHost) {
    this.#host = host;
  }

  /** The addresses at which others reach this actor; a new frozen list after each change. */
  get advertised(): readonly Address[] {
    return this.#advertised;
  }

  /**
   * The addresses at which actors of this host reach this one, whatever is advertised: for those that this process starts.
   */
  get local(): readonly Address[] {
    return this.#local;
  }

  /** Whether it listens on a wildcard address, which means the interfaces that this host has now. */
  get hasWildcard(): boolean {
    return Array.from(this.#listeners.values()).some(
      ({ address }) => address.transport === "tcp" && isWildcard(address.host),
    );
  }

  /** Looks which addresses this host has now; returns whether what is advertised has changed. */
  refresh(): boolean {
    const before = this.#advertised;
    this.#advertise();
    if (this.#advertised.join() === before.join()) return false;
    log.info?.(`reached at ${this.#advertised.join(" ")}`);
    return true;
  }

  /** The addresses as they were requested. */
  get asked(): readonly Address[] {
    return Array.from(this.#listeners.keys());
  }

  /**
   * Binds an address and advertises it in a form that others can dial: a wildcard becomes the addresses of this host,
   * unless the actor advertises others.
   * `served` lists all addresses that belong together (default: this one alone). It is written to the lock of a unix
   * socket, for other processes that find the lock held.
   *
   * @throws {AddressError} when it can't be bound
   * @throws {LimitError} when the actor would have too many addresses
   * @throws {TransportClosedError} when the actor is ending
   */
  async bind(address: Address, served: readonly Address[] = [address]): Promise<void> {
    // sockets belong to the actor, not to the task that happened to open them
    const listener = await outsideTasks(() => this.#open(address, served));
    try {
      if (this.#host.isEnding) throw new TransportClosedError("cannot bind: this actor is ending");
      checkAddressLimits(this.#advertisedFor([...this.#listeners.values(), listener]));
    } catch (error) {
      listener.close();
      throw error;
    }
    this.#listeners.set(address, listener);
    this.#advertise();
    log.info?.(`listening on ${formatAddress(listener.address)}`);
  }

  /** The address that a requested one was bound as, or undefined if it isn't bound. */
  bound(address: Address): Address | undefined {
    const listener = this.#listeners.get(address);
    return listener && formatAddress(listener.address);
  }

  /** Repairs an address after outside interference, see `Listener.restore`; "lost" if it isn't bound. */
  async restore(address: Address): Promise<ListenerState> {
    const listener = this.#listeners.get(address);
    return listener === undefined ? "lost" : await outsideTasks(() => listener.restore());
  }

  /** What the lock of a unix socket says about this actor, for other processes that find it held. */
  holderOf(addrs: readonly Address[]): LockHolder {
    const { id, rootUuid } = this.#host;
    return { pid: id.pid, name: id.name, uuid: id.uuid, root: rootUuid, addrs };
  }

  /** Closes the listeners of the given addresses; all of them by default. */
  close(addresses: Iterable<Address> = this.asked): void {
    for (const address of addresses) {
      this.#listeners.get(address)?.close();
      this.#listeners.delete(address);
    }
    this.#advertise();
  }

  #open(address: Address, served: readonly Address[]): Promise<Listener> {
    const { drivers, credentials } = this.#host;
    const parsed = parseAddress(address);
    const accept = (link: Link): void => this.#host.accept(link, parsed.transport);
    if (parsed.transport === "unix") return drivers.unix.listen(parsed, accept, this.holderOf(served));
    checkExposure(address, parsed.host, credentials);
    return drivers.tcp.listen(parsed, accept);
  }

  #advertise(): void {
    const listeners = Array.from(this.#listeners.values());
    this.#advertised = Object.freeze(this.#advertisedFor(listeners));
    this.#local =
      this.#host.advertise === undefined
        ? this.#advertised
        : listeners.flatMap(({ address }) => dialable(address));
  }

  #advertisedFor(listeners: readonly Listener[]): Address[] {
    const bound = listeners.map(({ address }) => address);
    if (this.#host.advertise === undefined) return bound.flatMap(dialable);
    const { advertise } = require("../transport/advertise.ts") as typeof import("../transport/advertise.ts");
    const { kept, instead } = advertise(bound, this.#host.advertise);
    return [...kept.flatMap(dialable), ...instead];
  }
}

/** The addresses at which others reach a listener. */
function dialable(address: ParsedAddress): Address[] {
  if (address.transport === "unix" || !isWildcard(address.host)) return [formatAddress(address)];
  const { wildcardHosts } = require("../transport/wildcard.ts") as typeof import("../transport/wildcard.ts");
  return wildcardHosts(address.host).map((host) =>
    formatAddress({ transport: "tcp", host, port: address.port }),
  );
}
