/**
 * This actor's membership in its registry: it joins every registrar at the registry addresses or becomes the registrar,
 * registers again with each that comes up, and leaves in order. The election decides which of these happens.
 */
import type { Runtime } from "../actor/runtime.ts";
import type { DialTarget } from "../channel/peer.ts";
import { Deadline, timing } from "../deadline.ts";
import { asError, NameTakenError, RegistryUnavailableError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, rankAddresses } from "../transport/address.ts";
import { Kind, type MessageOf } from "../wire/messages.ts";
import type { Cluster } from "./cluster.ts";
import type { Boot, Candidate, Election } from "./election.ts";
import { nameTaken, type RegistrarLink, RegistrationRefused } from "./registrar-link.ts";
import { decodeTargets, Registrars } from "./registrars.ts";
import { isOfThisHost, socketDirs } from "./registry-files.ts";
import { Roster } from "./roster.ts";
import type { Tenure } from "./tenure.ts";

const log = logger("discovery");

/**
 * How long a child that has lost a registrar leaves the search to its parent, which is looking for the next one or becoming
 * it, and says so: joining what it names costs a third of a search. Where there are hundreds of them, searches of their own
 * keep their parents from the processors. Then the next registrar must still be waiting for it: the first are for a child
 * that it finds on the roster (`timing.gracePeriodMs`), the others for any other (`timing.blindGracePeriodMs`).
 */
const searchAfterMs = { listed: { least: 1_000, most: 1_500 }, unlisted: { least: 300, most: 400 } } as const;

export class Membership implements Candidate {
  readonly registrars: Registrars;
  /** Called when another actor has got the name that this one was started to have alone. */
  onNameLost: ((error: NameTakenError) => void) | undefined;
  readonly #runtime: Runtime;
  #election: Election | undefined;
  readonly #roster = new Roster();
  #isEnlisted = false;
  #tenure: Tenure | undefined;
  #cluster: Cluster | undefined;
  /** Of a child that waits for its parent to name the next registrar. */
  #search: Timer | undefined;
  #upkeep: Timer | undefined;
  #addressWatch: Timer | undefined;
  readonly #stop = new AbortController();

  constructor(runtime: Runtime, registryAddrs: readonly Address[]) {
    this.#runtime = runtime;
    this.registrars = new Registrars(runtime, registryAddrs);
    runtime.serve(Kind.retired, (session) => this.#onRetired(session));
    runtime.watchSessions((session) => this.#onSessionEnd(session));
    runtime.ending.at("registration", () => this.#leave());
    runtime.ending.at("rest", () => this.#leaveHost());
  }

  /**
   * Joins the registrar or becomes it, however many programs try at the same time. `listen` binds the actor's own
   * addresses before it joins; it gets the addresses of this machine on the way to the registrars.
   *
   * @throws as `Election.settle`, and as `Cluster.settle`
   */
  async settle(
    boot: Boot & { readonly requireCluster?: boolean },
    listen: (hosts: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const election = this.#openElection();
    election.listen = listen;
    this.registrars.registers = true;
    await election.settle(boot);
    await this.#cluster?.settle(boot.requireCluster === true, boot.deadline);
  }

  /** Looks for a registrar; see `Election.start`. */
  #elect(lost?: string): void {
    this.#leaveSearch();
    this.#openElection().start(lost);
  }

  #leaveSearch(): void {
    clearTimeout(this.#search);
    this.#search = undefined;
  }

  #openElection(): Election {
    if (this.#election === undefined) {
      // a child joins the registrars that its parent knows, and starts sooner without the file (row `spawn`)
      const elections = require("./election.ts") as typeof import("./election.ts");
      this.#election = new elections.Election(this.registrars, this);
      if (this.#stop.signal.aborted) this.#election.stop();
    }
    return this.#election;
  }

  /** Connects to the registrars that the parent knows; if none can be reached, looks for others at the registry addresses. */
  async connectKnown(known: readonly DialTarget[]): Promise<void> {
    await Promise.all(known.map((registrar) => this.#joinKnown(registrar)));
    if (!this.registrars.hasLinks) this.#elect();
  }

  /** In a child: its parent has found registrars, or became one. */
  onTold([, list]: MessageOf<typeof Kind.registrars>): void {
    this.#leaveSearch();
    const told = decodeTargets(list);
    void outsideTasks(async () => {
      await Promise.all(told.map((registrar) => this.#joinKnown(registrar)));
      if (!this.#stop.signal.aborted && this.registrars.vacant().length > 0) this.#elect();
    });
  }

  async #joinKnown(registrar: DialTarget): Promise<void> {
    try {
      await this.join(registrar);
    } catch (error) {
      for (const addr of registrar.addrs) this.registrars.noteFault(addr, asError(error));
    }
  }

  /**
   * Registers with every registrar that is connected, and from now on with each that comes up. While there is none, waits
   * for the next one.
   *
   * @throws {RegistryUnavailableError} when there is none for `timeout` ms, or all refuse the registration
   * @throws {NameTakenError} when one refuses this actor's name
   */
  async register(timeout: number): Promise<void> {
    const { registrars } = this;
    registrars.registers = true;
    const deadline = new Deadline({ timeout, signal: this.#stop.signal }, "registration");
    for (;;) {
      const { changed, links } = registrars;
      const hasAll = registrars.vacant().length === 0;
      const results = await Promise.allSettled(links.map((link) => this.#registerAt(link)));
      if (registrars.vacant().length > 0) this.#elect();
      for (const result of results) if (result.status === "rejected") throwTaken(result.reason);
      // one that was started under a hold must be registered where its name is held
      const isHeld = registrars.holds?.hasOwn === true;
      const isDone = results.some(
        ({ status }, at) => status === "fulfilled" && (!isHeld || links[at] === registrars.firstLink),
      );
      if (registrars.isRegistrar || isDone) return;
      if (hasAll && links.length > 0 && results.every(isFinalRefusal)) throw registrars.unavailable();
      try {
        // the registrar ended during the registration: the election finds the next one, which then gets it
        await deadline.race("lookup", changed);
      } catch {
        throw registrars.unavailable();
      }
    }
  }

  /** Connects to a registrar, and registers with it once this actor registers at all. */
  async join(registrar: DialTarget): Promise<void> {
    const { registrars } = this;
    if (registrar.uuid === this.#runtime.uuid || this.#stop.signal.aborted) return;
    const existing = registrars.linkOf(registrar.uuid);
    if (existing?.isOpen) {
      registrars.claim(existing, registrar.addrs);
      return;
    }
    const target = { ...registrar, addrs: rankAddresses(registrar.addrs) };
    const peer = await outsideTasks(() =>
      this.#runtime.peers.connect(target, this.#patience(registrar.name)),
    );
    const met = registrars.linkOf(registrar.uuid);
    if (met?.isOpen) {
      // a search and the parent have found it at the same time
      peer.release();
      registrars.claim(met, registrar.addrs);
      return;
    }
    const link = registrars.link(peer.handler, registrar.addrs);
    if (registrars.registers) await this.#registerAt(link);
    else registrars.notify();
  }

  async #registerAt(link: RegistrarLink): Promise<void> {
    const { registrars } = this;
    const { peer } = link.session;
    // enlisted before it is registered: from then on a new registrar must not take it for absent
    this.#enlist();
    try {
      const patience = this.#patience(peer.id.name);
      // before it is registered: a registrar that waits for this process to be back must know its holds by then
      if (registrars.holds !== undefined) await patience.race("lookup", registrars.holds.resume(link));
      await patience.race("lookup", link.register(this.#runtime, registrars.changes));
    } catch (error) {
      if (registrars.linkOf(peer.id.uuid) !== link) throw error;
      const isRefusal = peer.isOpen && !(error instanceof TimeoutError);
      registrars.drop(link, asError(error));
      if (!isRefusal) throw error;
      const taken = nameTaken(error);
      if (taken !== undefined && registrars.holds?.hasOwn === true) this.onNameLost?.(taken);
      throw new RegistrationRefused(taken ?? registrars.unavailable(), error);
    }
    log.info?.(`registered with ${describeActor(peer.id)} at ${peer.addr}`);
    this.#upkeep ??= this.#lookAfterSockets();
    this.#addressWatch ??= this.#followAddresses();
    registrars.notify();
  }

  /** Binds a socket again when it was removed: otherwise every lookup would take this registered actor for gone. */
  #lookAfterSockets(): Timer {
    const { listeners } = this.#runtime;
    let isLooking = false;
    const look = async (): Promise<void> => {
      if (isLooking || this.registrars.isRegistrar) return;
      isLooking = true;
      try {
        for (const addr of listeners.asked)
          if ((await listeners.restore(addr)) === "restored")
            log.warn?.(`${addr} was removed: bound it again`);
      } catch (error) {
        log.warn?.(`cannot look after the sockets: ${asError(error).message}`);
      } finally {
        isLooking = false;
      }
    };
    const timer = setInterval(() => void look(), timing.upkeepMs);
    timer.unref();
    return timer;
  }

  /** Registers again when the interfaces have other addresses; only an actor that listens on all of them has to. */
  #followAddresses(): Timer | undefined {
    const { listeners } = this.#runtime;
    if (!listeners.hasWildcard) return undefined;
    const timer = setInterval(() => {
      if (this.#stop.signal.aborted || !listeners.refresh()) return;
      const { service, links, changes } = this.registrars;
      service?.registerSelf();
      for (const link of links)
        link
          .register(this.#runtime, changes)
          .catch((error: unknown) => log.warn?.(`cannot register new addresses: ${asError(error).message}`));
    }, timing.addressesMs);
    timer.unref();
    return timer;
  }

  #patience(registrar: string): Deadline {
    const { dialTimeoutMs, handshakeTimeoutMs } = this.#runtime.limits;
    const timeout = Math.max(dialTimeoutMs + handshakeTimeoutMs, this.#runtime.peers.leastStepMs);
    return new Deadline({ timeout, signal: this.#stop.signal }, `registration with ${registrar}`);
  }

  /**
   * Puts this actor on the host's rosters, or keeps it there. Returns whether they show all members: not if one can't be
   * joined or its file was removed, nor for addresses that other hosts reach.
   */
  #enlist(): boolean {
    const { registryAddrs } = this.registrars;
    this.#isEnlisted = true;
    return this.#roster.join(registryAddrs) && registryAddrs.every(isOfThisHost);
  }

  /** Takes office: puts itself into the table, and shows the addresses as they were bound. */
  onElected(tenure: Tenure): void {
    const { registrars } = this;
    this.#tenure = tenure;
    registrars.registryAddrs = registrars.registryAddrs.map(
      (addr) => this.#runtime.listeners.bound(addr) ?? addr,
    );
    // one that was a member lost a registrar, and so may others; a roster whose file was removed doesn't have them all
    const wasMember = this.#isEnlisted;
    const areAllListed = this.#enlist();
    this.#share();
    registrars.service?.registerSelf();
    if (registrars.service !== undefined) registrars.holds?.resumeHere(registrars.service);
    registrars.service?.opened(this.#roster, this.#roster.others(), wasMember && !areAllListed);
    if (wasMember) log.info?.("took over as the registrar");
    tenure.watch((addr) => this.#yield(addr));
    this.#addressWatch ??= this.#followAddresses();
    registrars.notify();
  }

  /** Shares the table with other hosts. Most registrars have none, and start sooner without the files. */
  #share(): void {
    const { service, cluster, knewCluster, registryAddrs } = this.registrars;
    if (cluster === undefined && knewCluster)
      log.warn?.("other hosts won't see this one any more: this program has no option cluster");
    if (service === undefined || cluster === undefined) return;
    const { Cluster: Part } = require("./cluster.ts") as typeof import("./cluster.ts");
    this.#cluster = new Part(service, this.#runtime, cluster, registryAddrs);
  }

  /** Steps down: this registrar's socket was removed, and another registrar has bound the address. */
  #yield(addr: Address): void {
    if (this.#stop.signal.aborted || !this.registrars.isRegistrar) return;
    log.warn?.(`another registrar now serves ${addr}: yielding to it`);
    this.#tenure?.end();
    this.#tenure = undefined;
    this.#cluster?.end();
    this.registrars.unserve();
    this.#elect();
  }

  #onSessionEnd(session: Session): void {
    const { id, channel } = session.peer;
    const link = this.registrars.linkOver(session);
    if (link === undefined) return;
    this.#lose(link, `registrar ${describeActor(id)} is gone`, channel.end?.error);
  }

  /** It stays connected as a peer. */
  #onRetired(session: Session): void {
    const { peer } = session;
    peer.isRegistrar = false;
    const link = this.registrars.linkOver(session);
    // others may watch there
    if (link === undefined) return this.registrars.notify();
    this.#lose(link, `${describeActor(peer.id)} is no longer the registrar`, undefined);
  }

  #lose(link: RegistrarLink, text: string, cause: Error | undefined): void {
    this.registrars.drop(link, new RegistryUnavailableError(text, { cause }));
    if (this.#stop.signal.aborted) return;
    // again, in case a roster was removed: the next registrar reads from it which actors will be back
    const isListed = this.#isEnlisted && this.#enlist();
    log.info?.(text);
    const lost = link.session.peer.id.uuid;
    if (this.#runtime.isRoot) return this.#elect(lost);
    const { least, most } = isListed ? searchAfterMs.listed : searchAfterMs.unlisted;
    this.#search ??= setTimeout(() => this.#elect(lost), least + Math.random() * (most - least));
  }

  /** Unregisters everywhere, within a bound: lookups from now on don't find this actor. */
  async #leave(): Promise<void> {
    const { registrars } = this;
    this.#stop.abort();
    this.#election?.stop();
    this.#leaveSearch();
    clearInterval(this.#upkeep);
    clearInterval(this.#addressWatch);
    const pushed = registrars.service?.unregisterSelf();
    const left = this.#cluster?.leave();
    const bound = new Deadline({ timeout: this.#runtime.limits.stopGraceMs }, "unregistration");
    await Promise.allSettled(
      registrars.links.map(async (link) => {
        if (registrars.registers) await bound.race("stop", link.unregister());
      }),
    );
    registrars.registers = false;
    registrars.notify();
    await Promise.all([left, pushed]);
  }

  /**
   * Waits, within a bound, for processes that are still dying, and removes the files they left and its own. A root removes
   * those of any dead process, as it did at its boot.
   */
  async #leaveHost(): Promise<void> {
    const runtime = this.#runtime;
    const { service, registryAddrs } = this.registrars;
    try {
      await service?.swept();
      if (!runtime.isRoot) return;
      const { removeTreeSockets, sweepSockets } =
        require("../transport/dead-sockets.ts") as typeof import("../transport/dead-sockets.ts");
      const dirs = Array.from(socketDirs(registryAddrs));
      await Promise.all(dirs.map((dir) => removeTreeSockets(dir, runtime.rootUuid, runtime.uuid)));
      // a registrar and its children, killed while the next root booted, were still dying when that one swept
      for (const dir of dirs) sweepSockets(dir);
    } finally {
      this.release();
    }
  }

  /** Releases locks that no listener holds: at the actor's end, and when the process exits. */
  release(): void {
    clearInterval(this.#upkeep);
    clearInterval(this.#addressWatch);
    this.#tenure?.release();
    this.#roster.leave();
  }
}

function isFinalRefusal(result: PromiseSettledResult<void>): boolean {
  return (
    result.status === "rejected" && result.reason instanceof RegistrationRefused && result.reason.isFinal
  );
}

/** @throws the error with which a registrar refused a name, if `error` is one */
function throwTaken(error: unknown): void {
  if (error instanceof RegistrationRefused && error.cause instanceof NameTakenError) throw error.cause;
}
