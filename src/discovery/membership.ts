/**
 * All the registrars of this actor: it registers with each, and brings its registration back when one comes up again. Who
 * that is, and whether this actor becomes it, is the election's matter.
 */
import type { LookupStats, RegistrarStats } from "../actor/actor.ts";
import { Part } from "../actor/part.ts";
import { type DiscoveryFacts, discoveryFacts, type Runtime } from "../actor/runtime.ts";
import { Deadline } from "../deadline.ts";
import { asError, causeOf, messagesOf, RegistryUnavailableError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { LocalPortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, rankAddresses } from "../transport/address.ts";
import { Kind } from "../wire/messages.ts";
import { removeTreeSockets } from "../transport/socket-lock.ts";
import { type KnownRegistrar, registryPatienceMs } from "./bootstrap.ts";
import { type Boot, Election, type Electorate, RegistrationRefused } from "./election.ts";
import { Members } from "./members.ts";
import { isOfThisHost, socketDirs } from "./places.ts";
import type { RegistrarApi } from "./registration.ts";
import { type LookupCounters, RegistrarLink } from "./registrar-link.ts";
import type { RegistrarService } from "./registrar.ts";
import type { Tenure } from "./tenure.ts";

const log = logger("discovery");

const registriesPart: Part<Registries> = new Part();

/** How often an actor looks whether its sockets are still there; a registrar looks more often (`Tenure`). */
const upkeepMs = 1_000;

export class Registries implements DiscoveryFacts, Electorate {
  readonly runtime: Runtime;
  readonly counters: LookupCounters = { requests: 0, hits: 0, pushes: 0 };
  registryAddrs: readonly Address[];
  #service: RegistrarService | undefined;
  #local: LocalPortal<RegistrarApi> | undefined;
  readonly #links = new Map<string, RegistrarLink>();
  /** Why each address had no registrar when it was last asked. */
  readonly #faults = new Map<Address, Error>();
  #changed = Promise.withResolvers<void>();
  #registered = false;
  readonly #election: Election = new Election(this);
  readonly #members = new Members();
  #isMember = false;
  #tenure: Tenure | undefined;
  #upkeep: Timer | undefined;
  readonly #stop = new AbortController();

  constructor(runtime: Runtime, registryAddrs: readonly Address[]) {
    this.runtime = runtime;
    this.registryAddrs = registryAddrs;
    registriesPart.set(runtime, this);
    discoveryFacts.set(runtime, this);
    runtime.serve(Kind.added, (session, message) => this.#linkOver(session)?.onAdded(message));
    runtime.serve(Kind.removed, (session, message) => this.#linkOver(session)?.onRemoved(message));
    runtime.serve(Kind.unwatched, (session, message) => this.#linkOver(session)?.cache.drop(message[1]));
    runtime.serve(Kind.retired, (session) => this.#onRetired(session));
    runtime.watchSessions((session) => this.#onSessionEnd(session));
    runtime.atEnd("registration", () => this.#leave());
    runtime.atEnd("rest", () => this.#leaveHost());
  }

  /** The registries of an actor. */
  static of(runtime: Runtime): Registries {
    return registriesPart.of(runtime);
  }

  get isRegistrar(): boolean {
    return this.#service !== undefined;
  }

  /** The table, in a registrar. */
  get service(): RegistrarService | undefined {
    return this.#service;
  }

  /** The registrars that are connected, in the order of connecting. */
  get links(): readonly RegistrarLink[] {
    return Array.from(this.#links.values());
  }

  /** The only link, when there is just one; spares the common case a list. */
  get onlyLink(): RegistrarLink | undefined {
    if (this.#links.size !== 1) return undefined;
    for (const link of this.#links.values()) return link;
    return undefined;
  }

  /** A portal of the registrar to itself; always the same object. */
  get localPortal(): LocalPortal<RegistrarApi> {
    this.#local ??= new LocalPortal<RegistrarApi>(this.runtime, "registrar.");
    return this.#local;
  }

  /** The link to the registrar that serves `addr`, if there is one. */
  linkTo(addr: Address): RegistrarLink | undefined {
    return this.links.find(({ addrs, session }) => addrs.has(addr) || session.peer.addrs.includes(addr));
  }

  /** The link that this connection is. Another one may claim the registrar's uuid. */
  #linkOver(session: Session): RegistrarLink | undefined {
    const link = this.#links.get(session.peer.id.uuid);
    return link?.session === session ? link : undefined;
  }

  /** Why addresses have no registrar. */
  get faults(): Error[] {
    return Array.from(this.#faults.values());
  }

  lookupStats(): LookupStats {
    return { ...this.counters };
  }

  registrarStats(): RegistrarStats | undefined {
    return this.#service?.stats();
  }

  get hasRegistrar(): boolean {
    return this.#links.size > 0;
  }

  /**
   * Joins the registrar or becomes it, however many programs try at the same time. `listen` binds the actor's own addresses
   * before it joins; it is given those of this machine on the way to the registrars.
   *
   * @throws as `Election.settle`
   */
  async settle(boot: Boot, listen: (hosts: readonly string[]) => Promise<void>): Promise<void> {
    this.#election.listen = listen;
    this.#registered = true;
    await this.#election.settle(boot);
  }

  /** Stands for registrar: from here on hello says so. The registry addresses are just being bound. */
  serve(): void {
    // most actors never are the registrar, and start sooner without its files (row `spawn`)
    const registrar = require("./registrar.ts") as typeof import("./registrar.ts");
    this.#service = new registrar.RegistrarService(this.runtime);
  }

  /** Another was faster at the addresses after all. */
  unserve(): void {
    this.#service?.stop();
    this.#service = undefined;
    this.#notify();
  }

  /** Is the registrar: puts itself into the table and shows the addresses as they were bound. */
  onElected(tenure: Tenure): void {
    this.#tenure = tenure;
    this.registryAddrs = this.registryAddrs.map((addr) => this.runtime.listeners.bound(addr) ?? addr);
    // who was registered before lost a registrar; and a list that was removed can't tell who else did
    const wasMember = this.#isMember;
    const isWhole = this.#join();
    const mayHaveMore = wasMember && (!isWhole || !this.registryAddrs.every(isOfThisHost));
    this.#service?.registerSelf();
    this.#service?.opened(this.#members, this.#members.others(), mayHaveMore);
    if (wasMember) log.info?.("took over as the registrar");
    tenure.watch((addr) => this.#yield(addr));
    this.#notify();
  }

  /** Becomes a member on this host, or stays one; false when the lists can't tell who else is one. */
  #join(): boolean {
    this.#isMember = true;
    return this.#members.join(this.registryAddrs);
  }

  /** Another registrar has the place of this one: its socket was removed, and bound by the other. */
  #yield(addr: Address): void {
    if (this.#stop.signal.aborted || this.#service === undefined) return;
    log.warn?.(`another registrar serves ${addr} by now: yielding to it`);
    this.#tenure?.end();
    this.#tenure = undefined;
    this.unserve();
    this.#election.start();
  }

  /** Connects to the registrars that the parent was connected to; looks for others at the registry addresses if all are gone. */
  async connectKnown(known: readonly KnownRegistrar[]): Promise<void> {
    await Promise.all(
      known.map(async (registrar) => {
        try {
          await this.attach(registrar);
        } catch (error) {
          for (const addr of registrar.addrs) this.#faults.set(addr, asError(error));
        }
      }),
    );
    if (this.#links.size === 0) this.#election.start();
  }

  /**
   * Registers with every registrar that is connected, and from now on with each that comes up.
   *
   * @throws {RegistryUnavailableError} when there is none
   */
  async register(): Promise<void> {
    this.#registered = true;
    const timeout = registryPatienceMs(this.runtime.limits);
    const deadline = new Deadline({ timeout, signal: this.#stop.signal }, "registration");
    for (;;) {
      const { changed } = this;
      const results = await Promise.allSettled(this.links.map((link) => this.#registerAt(link)));
      if (this.vacant().length > 0) this.#election.start();
      if (this.isRegistrar || results.some(({ status }) => status === "fulfilled")) return;
      try {
        // the registrar ended under it: whoever takes over is found by the election, and gets the registration
        await deadline.race("lookup", changed);
      } catch {
        throw this.unavailable(this.faults);
      }
    }
  }

  /** Resolves at the next change of the set of links, or of who is the registrar. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  unavailable(failures: readonly Error[]): RegistryUnavailableError {
    const where = this.registryAddrs.join(", ");
    const why = messagesOf(failures);
    return new RegistryUnavailableError(`no registrar answers at ${where}${why ? `: ${why}` : ""}`, {
      cause: causeOf(failures),
    });
  }

  /** What a child is told, so that it need not probe: this actor where it is the registrar, and all that it knows. */
  known(): KnownRegistrar[] {
    const { id, addrs } = this.runtime;
    const others = this.links.map(({ session: { peer }, addrs: served }) => ({
      name: peer.id.name,
      uuid: peer.id.uuid,
      addrs: served.size > 0 ? Array.from(served) : Array.from(peer.addrs),
    }));
    return this.isRegistrar ? [{ name: id.name, uuid: id.uuid, addrs }, ...others] : others;
  }

  /** Connects to a registrar, and registers there if this actor is registered by now. */
  async attach(registrar: KnownRegistrar): Promise<void> {
    const { runtime } = this;
    if (registrar.uuid === runtime.uuid || this.#stop.signal.aborted) return;
    const existing = this.#links.get(registrar.uuid);
    if (existing?.isOpen) {
      for (const addr of registrar.addrs) this.#claim(existing, addr);
      return;
    }
    const target = { ...registrar, addrs: rankAddresses(registrar.addrs) };
    const peer = await outsideTasks(() => runtime.peers.connect(target, this.#patience(registrar.name)));
    const link = new RegistrarLink(peer.handler, runtime, this.counters);
    for (const addr of registrar.addrs) this.#claim(link, addr);
    this.#links.set(peer.id.uuid, link);
    if (this.#registered) await this.#registerAt(link);
    this.#notify();
  }

  async #registerAt(link: RegistrarLink): Promise<void> {
    const { peer } = link.session;
    // before it is registered: from then on it must not be taken for absent
    this.#join();
    try {
      await this.#patience(peer.id.name).race("lookup", link.register(this.runtime));
    } catch (error) {
      if (this.#links.get(peer.id.uuid) !== link) throw error;
      const isRefusal = peer.isOpen && !(error instanceof TimeoutError);
      this.#drop(link, asError(error));
      if (isRefusal) throw new RegistrationRefused(this.unavailable(this.faults));
      throw error;
    }
    log.info?.(`registered with ${describeActor(peer.id)} at ${peer.addr}`);
    this.#upkeep ??= this.#lookAfterSockets();
  }

  /** Binds a socket that was removed again: the actor is registered there, and every lookup would take it for gone. */
  #lookAfterSockets(): Timer {
    const { runtime } = this;
    let isLooking = false;
    const look = async (): Promise<void> => {
      if (isLooking || this.isRegistrar) return;
      isLooking = true;
      try {
        for (const addr of runtime.listeners.asked)
          if ((await runtime.listeners.restore(addr)) === "restored")
            log.warn?.(`${addr} was removed: bound it again`);
      } catch (error) {
        log.warn?.(`cannot look after the sockets: ${asError(error).message}`);
      } finally {
        isLooking = false;
      }
    };
    const timer = setInterval(() => void look(), upkeepMs);
    timer.unref();
    return timer;
  }

  #patience(registrar: string): Deadline {
    const { dialTimeoutMs, handshakeTimeoutMs } = this.runtime.limits;
    const timeout = Math.max(dialTimeoutMs + handshakeTimeoutMs, this.runtime.peers.leastStepMs);
    return new Deadline({ timeout, signal: this.#stop.signal }, `registration with ${registrar}`);
  }

  noteFault(addr: Address, error: Error): void {
    this.#faults.set(addr, error);
  }

  #claim(link: RegistrarLink, addr: Address): void {
    link.addrs.add(addr);
    this.#faults.delete(addr);
  }

  #onSessionEnd(session: Session): void {
    const { id, channel } = session.peer;
    const link = this.#linkOver(session);
    if (link === undefined) return;
    this.#lose(link, `registrar ${describeActor(id)} is gone`, channel.end?.error);
  }

  /** It goes on as a peer. */
  #onRetired(session: Session): void {
    const { peer } = session;
    peer.isRegistrar = false;
    const link = this.#linkOver(session);
    if (link === undefined) return;
    this.#lose(link, `${describeActor(peer.id)} is not the registrar any more`, undefined);
  }

  #lose(link: RegistrarLink, text: string, cause: Error | undefined): void {
    this.#drop(link, new RegistryUnavailableError(text, { cause }));
    if (this.#stop.signal.aborted) return;
    // again, if the list was removed: the next registrar asks it who will be back
    if (this.#isMember) this.#join();
    log.info?.(text);
    this.#election.start(link.session.peer.id.uuid);
  }

  #drop(link: RegistrarLink, error: Error): void {
    const { peer } = link.session;
    this.#links.delete(peer.id.uuid);
    for (const addr of link.addrs) this.#faults.set(addr, error);
    link.onEnd();
    if (peer.isOpen) peer.release();
    this.#notify();
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  vacant(): readonly Address[] {
    if (this.isRegistrar) return [];
    const served = new Set(this.links.flatMap((link) => Array.from(link.addrs)));
    return this.registryAddrs.filter((addr) => !served.has(addr));
  }

  /** Leaves every registrar, in order and with a bound: lookups from now on do not find this actor. */
  async #leave(): Promise<void> {
    this.#stop.abort();
    this.#election.stop();
    clearInterval(this.#upkeep);
    this.#service?.unregisterSelf();
    const bound = new Deadline({ timeout: this.runtime.limits.stopGraceMs }, "unregistration");
    await Promise.allSettled(
      this.links.map(async (link) => {
        if (this.#registered) await bound.race("stop", link.unregister());
      }),
    );
    this.#notify();
  }

  /** Waits, within a bound, for processes that are still dying, and leaves no files of theirs, nor of its own. */
  async #leaveHost(): Promise<void> {
    const { runtime } = this;
    try {
      await this.#service?.swept();
      if (runtime.isRoot)
        await Promise.all(
          Array.from(socketDirs(this.registryAddrs), (dir) =>
            removeTreeSockets(dir, runtime.rootUuid, runtime.uuid),
          ),
        );
    } finally {
      this.release();
    }
  }

  /** Lets go of locks without listeners: at the end, and in a process that exits. */
  release(): void {
    clearInterval(this.#upkeep);
    this.#tenure?.release();
    this.#members.leave();
  }
}
