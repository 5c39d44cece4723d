/**
 * A client's part in the registry: it is linked to every registrar at the registry addresses and registered with none of
 * them. When one is lost, it finds the next; it never becomes the registrar itself.
 */
import type { Runtime } from "../actor/runtime.ts";
import type { DialTarget } from "../channel/peer.ts";
import { Deadline } from "../deadline.ts";
import { RegistryOccupiedError, RegistryUnavailableError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, isAddress, rankAddresses } from "../transport/address.ts";
import { isLocked } from "../transport/flock.ts";
import { type LockHolder, readHolder } from "../transport/socket-lock.ts";
import { Kind } from "../wire/messages.ts";
import { type Candidate, Election } from "./election.ts";
import { describeHolder, lockOf } from "./probe.ts";
import type { RegistrarLink } from "./registrar-link.ts";
import { Registrars } from "./registrars.ts";
import { hasMembers } from "./roster.ts";

const log = logger("discovery");

/**
 * The addresses of the registrar that holds the lock of one of these, and yet serves none of them: one that has only tcp
 * enabled, say. Undefined if there is none.
 */
export function servedInstead(addrs: readonly Address[]): readonly Address[] | undefined {
  for (const addr of addrs) {
    const served = holderAt(addr)?.addrs.filter(isAddress) ?? [];
    if (served.length > 0 && !addrs.some((one) => served.includes(one))) return served;
  }
  return undefined;
}

/** The live process that holds the lock of a registry address. */
function holderAt(addr: Address): LockHolder | undefined {
  const lock = lockOf(addr);
  return lock !== undefined && isLocked(lock) ? readHolder(lock) : undefined;
}

export class Visitor implements Candidate {
  readonly registrars: Registrars;
  readonly #runtime: Runtime;
  readonly #election: Election;
  readonly #stop = new AbortController();
  /** Peers that said that they have retired, while there was no link to them. */
  readonly #retired = new WeakSet<Session>();

  constructor(runtime: Runtime, registryAddrs: readonly Address[]) {
    this.#runtime = runtime;
    this.registrars = new Registrars(runtime, registryAddrs);
    this.#election = new Election(this.registrars, this);
    runtime.serve(Kind.retired, (session) => this.#onRetired(session));
    runtime.watchSessions((session) => this.#onSessionEnd(session));
    runtime.ending.at("registration", async () => this.#leave());
  }

  /**
   * Resolves when a registrar is linked. Waits for one that is there and doesn't answer, and for actors that are about to
   * elect the next one.
   *
   * @throws {RegistryUnavailableError} when none answers; it gives the addresses, and the reason for each
   * @throws {UnauthenticatedError} when one side doesn't accept the other's proof of identity
   */
  async arrive(deadline: Deadline): Promise<void> {
    const { registryAddrs } = this.registrars;
    const onVacant = (): void => {
      if (!registryAddrs.some(hasMembers)) throw this.registrars.unavailable();
    };
    try {
      await this.#election.settle({ ensureRegistry: false, bindAddrs: [], deadline, onVacant });
    } catch (error) {
      deadline.signal?.throwIfAborted();
      if (error instanceof RegistryOccupiedError)
        throw new RegistryUnavailableError(error.message, { cause: error.cause });
      if (!(error instanceof TimeoutError)) throw error;
      for (const addr of registryAddrs) this.#noteSilence(addr);
      throw this.registrars.unavailable();
    }
  }

  /** For an address whose probe isn't over yet. */
  #noteSilence(addr: Address): void {
    if (this.registrars.faultAt(addr) !== undefined) return;
    const holder = holderAt(addr);
    const who = holder === undefined ? addr : `${addr} is held by ${describeHolder(holder)}, which`;
    this.registrars.noteFault(addr, new Error(`${who} doesn't answer`));
  }

  async join(registrar: DialTarget): Promise<void> {
    const { registrars } = this;
    if (this.#stop.signal.aborted) return;
    const existing = registrars.linkOf(registrar.uuid);
    if (existing?.isOpen) {
      registrars.claim(existing, registrar.addrs);
      return;
    }
    const { dialTimeoutMs, handshakeTimeoutMs } = this.#runtime.limits;
    const bounds = { timeout: dialTimeoutMs + handshakeTimeoutMs, signal: this.#stop.signal };
    const deadline = new Deadline(bounds, `connection to ${registrar.name}`);
    const target = { ...registrar, addrs: rankAddresses(registrar.addrs) };
    const peer = await outsideTasks(() => this.#runtime.peers.connect(target, deadline));
    registrars.link(peer.handler, registrar.addrs);
    // possibly since it was probed, and it wouldn't say so again
    if (this.#retired.delete(peer.handler)) return this.#onRetired(peer.handler);
    log.info?.(`uses ${describeActor(peer.id)} at ${peer.addr}`);
    registrars.notify();
  }

  /** Never called: the election asks only a root to stand. */
  onElected(): void {
    throw new Error("a client can't become the registrar");
  }

  #onSessionEnd(session: Session): void {
    const { id, channel } = session.peer;
    const link = this.registrars.linkOver(session);
    if (link === undefined) return;
    this.#drop(link, `registrar ${describeActor(id)} is gone`, channel.end?.error);
    this.#lookFurther(id.uuid);
  }

  /** It stays connected as a peer. */
  #onRetired(session: Session): void {
    const { peer } = session;
    peer.isRegistrar = false;
    const link = this.registrars.linkOver(session);
    if (link === undefined) {
      this.#retired.add(session);
      // others may watch there
      this.registrars.notify();
      return;
    }
    this.#drop(link, `${describeActor(peer.id)} is no longer the registrar`);
    this.#lookFurther();
  }

  #drop(link: RegistrarLink, text: string, cause?: Error): void {
    log.info?.(text);
    this.registrars.drop(link, new RegistryUnavailableError(text, { cause }));
  }

  /** `lost`: a registrar that is most likely dead. */
  #lookFurther(lost?: string): void {
    if (!this.#stop.signal.aborted) this.#election.start(lost);
  }

  #leave(): void {
    this.#stop.abort();
    this.#election.stop();
    this.registrars.notify();
  }
}
