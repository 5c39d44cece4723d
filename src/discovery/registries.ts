/**
 * All the registrars of this actor: it registers with each, brings its registration back when one comes up again, and,
 * as a root, takes over when all are gone.
 */
import type { LookupStats, RegistrarStats } from "../actor/actor.ts";
import type { DiscoveryPart, Runtime } from "../actor/runtime.ts";
import { Deadline, sleep } from "../deadline.ts";
import { asError, causeOf, messagesOf, NoRuntimeError, RegistryUnavailableError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { LocalPortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import { type Address, rankAddresses } from "../transport/address.ts";
import { Kind } from "../wire/messages.ts";
import { bindRegistry, type ProbeOutcome, probeRegistries, registryPatienceMs } from "./bootstrap.ts";
import type { RegistrarApi } from "./registration.ts";
import { type LookupCounters, RegistrarLink } from "./registrar-link.ts";
import { RegistrarService } from "./registrar.ts";

const log = logger("discovery");

/** Waits between rounds of asking addresses at which no registrar answers; the last one repeats. */
const retryMs = [20, 40, 80, 160, 300] as const;

/** A registrar that the parent knows of, so that a child need not probe. */
export interface KnownRegistrar {
  readonly name: string;
  readonly uuid: string;
  readonly addrs: readonly Address[];
}

export class Registries implements DiscoveryPart {
  readonly runtime: Runtime;
  readonly counters: LookupCounters = { requests: 0, hits: 0, pushes: 0 };
  registryAddrs: readonly Address[];
  #service: RegistrarService | undefined;
  #local: LocalPortal<RegistrarApi> | undefined;
  readonly #links = new Map<string, RegistrarLink>();
  /** Why each address had no registrar when it was last asked. */
  readonly #faults = new Map<Address, Error>();
  #changed = Promise.withResolvers<void>();
  #maintaining = false;
  #registered = false;
  readonly #stop = new AbortController();

  constructor(runtime: Runtime, registryAddrs: readonly Address[]) {
    this.runtime = runtime;
    this.registryAddrs = registryAddrs;
    runtime.discovery = this;
    runtime.serve(Kind.added, (session, message) => this.#links.get(session.peer.id.uuid)?.onAdded(message));
    runtime.serve(Kind.removed, (session, message) =>
      this.#links.get(session.peer.id.uuid)?.onRemoved(message),
    );
    runtime.serve(Kind.unwatched, (session, message) =>
      this.#links.get(session.peer.id.uuid)?.cache.drop(message[1] as string),
    );
    runtime.watchSessions((session) => this.#onSessionEnd(session));
    runtime.atEnd("registration", () => this.#leave());
  }

  /** The registries of an actor. */
  static of(runtime: Runtime): Registries {
    const { discovery } = runtime;
    if (!(discovery instanceof Registries))
      throw new NoRuntimeError(`actor "${runtime.name}" has not booted yet`);
    return discovery;
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

  /** Becomes the registrar: from here on hello says so. The registry addresses are bound, or just being bound. */
  serve(takeover: boolean): void {
    this.#service = new RegistrarService(this.runtime, takeover);
  }

  /** A boot lost the race for the addresses after all. */
  unserve(): void {
    this.#service?.stop();
    this.#service = undefined;
  }

  /** In a registrar: puts itself into the table and shows the addresses as they were bound. */
  registerSelf(): void {
    this.registryAddrs = this.registryAddrs.map((addr) => this.runtime.boundAddress(addr) ?? addr);
    this.#registered = true;
    this.#service?.registerSelf();
    this.#notify();
  }

  /**
   * Connects to every registrar that the outcomes name, registers there, and keeps at it for the other addresses.
   *
   * @throws {RegistryUnavailableError} when none took the registration
   */
  async join(outcomes: readonly ProbeOutcome[]): Promise<void> {
    this.#noteFaults(outcomes);
    await this.#attachAll(groupByRegistrar(outcomes));
    await this.register(false);
  }

  /** Connects to the registrars that the parent was connected to; to those at the registry addresses if all are gone. */
  async connectKnown(known: readonly KnownRegistrar[]): Promise<void> {
    await this.#attachAll(known);
    if (this.#links.size > 0) return;
    const outcomes = await probeRegistries(this.runtime, this.registryAddrs, this.#stop.signal);
    this.#noteFaults(outcomes);
    await this.#attachAll(groupByRegistrar(outcomes));
  }

  /**
   * Registers with every registrar that is connected, and from now on with each that comes up.
   *
   * @throws {RegistryUnavailableError} when there is none
   */
  async register(patient = true): Promise<void> {
    this.#registered = true;
    const timeout = registryPatienceMs(this.runtime.limits);
    const deadline = new Deadline({ timeout, signal: this.#stop.signal }, "registration");
    for (;;) {
      const { changed } = this;
      const results = await Promise.allSettled(this.links.map((link) => this.#registerAt(link)));
      this.#maintain();
      if (this.isRegistrar || results.some(({ status }) => status === "fulfilled")) return;
      if (!patient) throw this.unavailable(this.faults);
      try {
        // the registrar ended under it: whoever takes over is found by the maintenance, and gets the registration
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

  async #attachAll(registrars: readonly KnownRegistrar[]): Promise<void> {
    await Promise.all(
      registrars.map(async (registrar) => {
        try {
          await this.#attach(registrar);
        } catch (error) {
          for (const addr of registrar.addrs) this.#faults.set(addr, asError(error));
        }
      }),
    );
  }

  /** Connects to a registrar, and registers there if this actor is registered by now. */
  async #attach(registrar: KnownRegistrar): Promise<void> {
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
    try {
      await this.#patience(peer.id.name).race("lookup", link.register(this.runtime));
    } catch (error) {
      this.#links.delete(peer.id.uuid);
      for (const addr of link.addrs) this.#faults.set(addr, asError(error));
      link.onEnd();
      if (peer.isOpen) peer.release();
      throw error;
    }
    log.info?.(`registered with ${describeActor(peer.id)} at ${peer.addr}`);
  }

  #patience(registrar: string): Deadline {
    const { dialTimeoutMs, handshakeTimeoutMs } = this.runtime.limits;
    const timeout = Math.max(dialTimeoutMs + handshakeTimeoutMs, this.runtime.peers.leastStepMs);
    return new Deadline({ timeout, signal: this.#stop.signal }, `registration with ${registrar}`);
  }

  #noteFaults(outcomes: readonly ProbeOutcome[]): void {
    for (const outcome of outcomes)
      if (outcome.kind !== "registrar") this.#faults.set(outcome.addr, outcome.error);
  }

  #claim(link: RegistrarLink, addr: Address): void {
    link.addrs.add(addr);
    this.#faults.delete(addr);
  }

  #onSessionEnd(session: Session): void {
    const { id, channel } = session.peer;
    const link = this.#links.get(id.uuid);
    if (link?.session !== session) return;
    this.#links.delete(id.uuid);
    const lost = new RegistryUnavailableError(`registrar ${describeActor(id)} is gone`, {
      cause: channel.end?.error,
    });
    for (const addr of link.addrs) this.#faults.set(addr, lost);
    link.onEnd();
    this.#notify();
    if (!this.#stop.signal.aborted) {
      log.info?.(`registrar ${describeActor(id)} is gone (${channel.end?.reason ?? "closed"})`);
      this.#maintain();
    }
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  /** The addresses at which no registrar is known. */
  #vacant(): Address[] {
    if (this.isRegistrar) return [];
    const served = new Set(this.links.flatMap((link) => Array.from(link.addrs)));
    return this.registryAddrs.filter((addr) => !served.has(addr));
  }

  /** Keeps asking vacant addresses until none is left; one loop at a time. */
  #maintain(): void {
    if (this.#maintaining || this.#vacant().length === 0) return;
    this.#maintaining = true;
    void outsideTasks(async () => {
      try {
        for (let round = 0; this.#vacant().length > 0; round++) {
          const wait = retryMs[Math.min(round, retryMs.length - 1)] ?? 300;
          // jitter: all who lost the same registrar would come at once
          await sleep(wait * (0.5 + Math.random()), this.#stop.signal);
          await this.#round();
        }
      } catch (error) {
        if (!this.#stop.signal.aborted) log.error?.(`registry maintenance: ${asError(error).stack}`);
      } finally {
        this.#maintaining = false;
      }
    });
  }

  async #round(): Promise<void> {
    const { signal } = this.#stop;
    const outcomes = await probeRegistries(this.runtime, this.#vacant(), signal);
    this.#noteFaults(outcomes);
    for (const registrar of groupByRegistrar(outcomes)) {
      try {
        await this.#attach(registrar);
      } catch (error) {
        signal.throwIfAborted();
        log.info?.(`cannot register with ${registrar.name}: ${asError(error).message}`);
      }
    }
    const orphaned = this.#links.size === 0 && outcomes.length === this.registryAddrs.length;
    if (orphaned && this.runtime.isRoot && outcomes.every(({ kind }) => kind === "absent"))
      await this.#takeOver();
  }

  /** All registrars are gone: the first root to bind the addresses is the next one. */
  async #takeOver(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.serve(true);
    let won = false;
    try {
      won = await bindRegistry(this.runtime, this.registryAddrs);
    } catch (error) {
      // not addresses of this host, say: then the registrar must come back by itself
      log.info?.(`cannot take over the registry: ${asError(error).message}`);
    }
    if (!won || this.#stop.signal.aborted) {
      this.unserve();
      return;
    }
    log.info?.("took over as the registrar");
    this.registerSelf();
  }

  /** Leaves every registrar, in order and with a bound: whoever looks from now on does not find this actor. */
  async #leave(): Promise<void> {
    this.#stop.abort();
    this.#service?.unregisterSelf();
    const bound = new Deadline({ timeout: this.runtime.limits.stopGraceMs }, "unregistration");
    await Promise.allSettled(
      this.links.map(async (link) => {
        if (this.#registered) await bound.race("stop", link.unregister());
      }),
    );
    this.#notify();
  }
}

/** The registrars among the outcomes, each with all the addresses that led to it. */
function groupByRegistrar(outcomes: readonly ProbeOutcome[]): KnownRegistrar[] {
  const found = new Map<string, { name: string; uuid: string; addrs: Address[] }>();
  for (const outcome of outcomes) {
    if (outcome.kind !== "registrar") continue;
    const { name, uuid } = outcome.id;
    const known = found.get(uuid);
    if (known === undefined) found.set(uuid, { name, uuid, addrs: [outcome.addr] });
    else known.addrs.push(outcome.addr);
  }
  return Array.from(found.values());
}
