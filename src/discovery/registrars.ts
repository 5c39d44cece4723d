/**
 * The registrars that this actor can ask: those it is linked to, or its own table while it is the registrar. Membership
 * adds and drops links; lookups only read.
 */
import type { LookupStats, RegistrarStats } from "../actor/actor.ts";
import { Part } from "../actor/part.ts";
import type { DetailsChange, Metadata } from "../actor/details.ts";
import { type DiscoveryFacts, discoveryFacts, type Runtime } from "../actor/runtime.ts";
import type { DialTarget } from "../channel/peer.ts";
import { Deadline } from "../deadline.ts";
import {
  asError,
  causeOf,
  FrameError,
  LimitError,
  messagesOf,
  RegistryUnavailableError,
  TimeoutError,
} from "../errors.ts";
import type { ActorId } from "../identity.ts";
import type { LocalPortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import type { Address } from "../transport/address.ts";
import { ClaimMode, Kind, type MessageOf } from "../wire/messages.ts";
import type { ClusterStore } from "./cluster-store.ts";
import type { RegistrarApi } from "./registrar-api.ts";
import { type LookupCounters, nameTaken, RegistrarLink, registryPatienceMs } from "./registrar-link.ts";
import type { RegistrarService } from "./registrar.ts";
import { checkAddresses } from "./registration.ts";
import type { Staleness } from "./staleness.ts";

const registrarsPart: Part<Registrars> = new Part();

/** The names that this process holds: `holds.ts`, which most processes never load. */
export interface HeldNames {
  /** Whether this actor was started under a hold. */
  readonly hasOwn: boolean;
  /** Takes all of them along to the registrar of this link, if it is the one that decides on names. */
  resume(link: RegistrarLink): Promise<void>;
  /** The same for this actor as the registrar. */
  resumeHere(service: RegistrarService): void;
}

/** Registrars as they travel to a child. */
export function encodeTargets(targets: readonly DialTarget[]): unknown[] {
  return targets.map(({ name, uuid, addrs }) => [name, uuid, addrs]);
}

/**
 * Reads what `encodeTargets` made.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeTargets(list: readonly unknown[]): DialTarget[] {
  return list.map((form) => {
    const [name, uuid, addrs] = Array.isArray(form) ? (form as unknown[]) : [];
    if (typeof name !== "string" || typeof uuid !== "string")
      throw new FrameError("malformed registrar from the parent");
    return { name, uuid, addrs: checkAddresses(addrs) };
  });
}

export class Registrars implements DiscoveryFacts {
  readonly runtime: Runtime;
  readonly counters: LookupCounters = { requests: 0, hits: 0, pushes: 0 };
  registryAddrs: readonly Address[];
  #service: RegistrarService | undefined;
  #local: LocalPortal<RegistrarApi> | undefined;
  readonly #links = new Map<string, RegistrarLink>();
  /** The only link, when there is just one: most actors have one registrar, and each lookup asks for it. */
  #onlyLink: RegistrarLink | undefined;
  /** Why each address had no registrar when it was last asked. */
  readonly #faults = new Map<Address, Error>();
  #changed = Promise.withResolvers<void>();
  holds: HeldNames | undefined;
  /** Whether a registrar of this actor has shared its table with other hosts. */
  knewCluster = false;
  /** The directory that this actor shares with other hosts while it is the registrar. */
  cluster: ClusterStore | undefined;
  /** Whether this actor is registered with each of its registrars, or is about to be. */
  registers = false;
  /** How often this actor's details have changed. */
  changes = 0;
  /** The last metadata that no registrar has refused. */
  #accepted: Metadata | undefined;
  readonly #listeners = new Set<() => void>();
  /** The registrars that have other hosts, and whether what they say of these may be behind. */
  readonly #clusters = new Map<Session, Staleness | undefined>();
  #areAnyStale = false;

  constructor(runtime: Runtime, registryAddrs: readonly Address[]) {
    this.runtime = runtime;
    this.registryAddrs = registryAddrs;
    registrarsPart.set(runtime, this);
    discoveryFacts.set(runtime, this);
    runtime.serve(Kind.added, (session, message) => this.linkOver(session)?.onAdded(message));
    runtime.serve(Kind.removed, (session, message) => this.linkOver(session)?.onRemoved(message));
    runtime.serve(Kind.partial, (session, message) => this.linkOver(session)?.onPartial(message[1]));
    runtime.serve(Kind.store, (session, message) => this.#onStore(session, message));
    runtime.serve(Kind.unwatched, (session, message) => this.linkOver(session)?.cache.drop(message[1]));
  }

  /**
   * The registrars of an actor.
   *
   * @throws {NoRuntimeError} when the actor has not booted yet
   */
  static of(runtime: Runtime): Registrars {
    return registrarsPart.of(runtime);
  }

  get isRegistrar(): boolean {
    return this.#service !== undefined;
  }

  /** This actor's own table, while it is the registrar. */
  get service(): RegistrarService | undefined {
    return this.#service;
  }

  /** Whether what any registrar says of other hosts may be behind. */
  get areAnyStale(): boolean {
    return this.#areAnyStale || this.#service?.staleness !== undefined;
  }

  /** Since when what that registrar says of other hosts may be behind: this actor, or the one of that session. */
  stalenessOf(session: Session | undefined): Staleness | undefined {
    return session === undefined ? this.#service?.staleness : this.#clusters.get(session);
  }

  /** Of all of this actor's registrars that may be behind. */
  get stalenesses(): readonly Staleness[] {
    const places = [undefined, ...this.links.map(({ session }) => session)];
    return places.flatMap((place) => this.stalenessOf(place) ?? []);
  }

  /**
   * Nothing was found that can be reached.
   *
   * @throws {RegistryUnavailableError} when a registrar may not know of actors on other hosts
   */
  checkMiss(name: string): void {
    if (!this.areAnyStale) return;
    const [staleness] = this.stalenesses;
    if (staleness === undefined) return;
    const { unknownNow } = require("./staleness.ts") as typeof import("./staleness.ts");
    throw unknownNow(name, staleness);
  }

  /** Whether a registrar here knows that actor from its host's registrar alone. */
  isMirrored(name: string, { uuid, host }: ActorId): boolean {
    if (this.#service !== undefined) return this.#service.isMirrored(name, uuid);
    return this.links.some(({ session }) => this.#clusters.has(session) && session.peer.id.host !== host);
  }

  #onStore(session: Session, [, staleMs, reason]: MessageOf<typeof Kind.store>): void {
    if (this.#clusters.size === 0)
      this.runtime.watchSessions((ended) => this.#clusters.delete(ended) && this.#noteStaleness());
    this.knewCluster = true;
    const isStale = typeof staleMs === "number";
    const staleness = isStale
      ? { sinceMs: performance.now() - staleMs, reason: reason ?? "the store can't be reached" }
      : undefined;
    this.#clusters.set(session, staleness);
    this.#noteStaleness();
  }

  #noteStaleness(): void {
    this.#areAnyStale = this.#clusters.values().some((staleness) => staleness !== undefined);
  }

  /** The links, in the order of connecting. */
  get links(): readonly RegistrarLink[] {
    return Array.from(this.#links.values());
  }

  get hasLinks(): boolean {
    return this.#links.size > 0;
  }

  get onlyLink(): RegistrarLink | undefined {
    return this.#onlyLink;
  }

  /** The link to the registrar at the first registry address: the one that decides who may have a name. */
  get firstLink(): RegistrarLink | undefined {
    const [first] = this.registryAddrs;
    return first && this.linkTo(first);
  }

  /** A portal of the registrar to itself; always the same object. */
  get localPortal(): LocalPortal<RegistrarApi> {
    if (this.#local === undefined) {
      // a child that makes no calls starts sooner without the file (row `spawn`)
      const portals = require("../rpc/portal.ts") as typeof import("../rpc/portal.ts");
      this.#local = new portals.LocalPortal<RegistrarApi>(this.runtime, "registrar.");
    }
    return this.#local;
  }

  /** What answers lookups without a question. */
  get memory(): "table" | "cache" {
    return this.isRegistrar ? "table" : "cache";
  }

  /** Where the registrar is asked, while that is this actor. */
  get ownAddr(): Address {
    return this.registryAddrs[0] ?? this.localPortal.addr;
  }

  /** The link to the registrar of that uuid, if there is one. */
  linkOf(uuid: string): RegistrarLink | undefined {
    return this.#links.get(uuid);
  }

  /** The link to the registrar that serves `addr`, if there is one. */
  linkTo(addr: Address): RegistrarLink | undefined {
    return this.links.find(({ addrs, session }) => addrs.has(addr) || session.peer.addrs.includes(addr));
  }

  /** The link that uses this very connection. Another connection may claim the registrar's uuid. */
  linkOver(session: Session): RegistrarLink | undefined {
    const link = this.#links.get(session.peer.id.uuid);
    return link?.session === session ? link : undefined;
  }

  /** The registry addresses at which no registrar is known; none while this actor is the registrar. */
  vacant(): readonly Address[] {
    if (this.isRegistrar) return [];
    const served = new Set(this.links.flatMap((link) => Array.from(link.addrs)));
    return this.registryAddrs.filter((addr) => !served.has(addr));
  }

  /** What a child needs to connect without probing: this actor, while it is the registrar, and all linked registrars. */
  targets(): DialTarget[] {
    const { id, listeners } = this.runtime;
    const others = this.links.map(({ session: { peer }, addrs: served }) => ({
      name: peer.id.name,
      uuid: peer.id.uuid,
      addrs: served.size > 0 ? Array.from(served) : Array.from(peer.addrs),
    }));
    return this.isRegistrar ? [{ name: id.name, uuid: id.uuid, addrs: listeners.local }, ...others] : others;
  }

  /** Resolves at the next change of the links, or of whether this actor is the registrar. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Calls `listener` synchronously at each such change; returns an unsubscribe function. */
  watchChanges(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Wakes all that wait for `changed`, and calls the listeners. */
  notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
    for (const listener of this.#listeners) listener();
  }

  /** Makes a link of a session whose peer was acquired for it. Call `notify` once it can be used. */
  link(session: Session, addrs: readonly Address[]): RegistrarLink {
    const link = new RegistrarLink(session, this.runtime, this.counters);
    this.claim(link, addrs);
    this.#links.set(session.peer.id.uuid, link);
    this.#noteLinks();
    return link;
  }

  #noteLinks(): void {
    const [only, other] = this.#links.values();
    this.#onlyLink = other === undefined ? only : undefined;
  }

  /** Notes that these registry addresses lead to the link's registrar. */
  claim(link: RegistrarLink, addrs: readonly Address[]): void {
    for (const addr of addrs) {
      link.addrs.add(addr);
      this.#faults.delete(addr);
    }
  }

  /** Ends a link; `error` says why its addresses have no registrar. */
  drop(link: RegistrarLink, error: Error): void {
    const { peer } = link.session;
    this.#links.delete(peer.id.uuid);
    this.#noteLinks();
    for (const addr of link.addrs) this.#faults.set(addr, error);
    if (this.#clusters.delete(link.session)) this.#noteStaleness();
    link.onEnd();
    if (peer.isOpen) peer.release();
    this.notify();
  }

  /** Begins to serve a table: from here on this actor's hello says so. Its addresses are about to be bound. */
  serve(): void {
    // most actors never become the registrar, and start sooner without its files (row `spawn`)
    const registrar = require("./registrar.ts") as typeof import("./registrar.ts");
    this.#service = new registrar.RegistrarService(this.runtime);
  }

  /** Ends that: another process has the addresses. */
  unserve(): void {
    this.#service?.stop();
    this.#service = undefined;
    this.notify();
  }

  /** Why that address had no registrar when it was last asked. */
  faultAt(addr: Address): Error | undefined {
    return this.#faults.get(addr);
  }

  noteFault(addr: Address, error: Error): void {
    this.#faults.set(addr, error);
  }

  /** The error for "there is no registrar to ask"; its cause is what each address last failed with. */
  unavailable(): RegistryUnavailableError {
    const failures = Array.from(this.#faults.values());
    const where = this.registryAddrs.join(", ");
    const why = messagesOf(failures);
    return new RegistryUnavailableError(`no registrar answers at ${where}${why ? `: ${why}` : ""}`, {
      cause: causeOf(failures),
    });
  }

  /**
   * Changes this actor's details, here and with all its registrars; resolves when those that are not lost meanwhile have
   * acknowledged it, and at least one has: the next one, which gets them with the registration, if need be. An actor that
   * isn't registered yet registers with them: it resolves at once.
   *
   * @throws {LimitError} when a registrar refuses the metadata; the last that all have accepted is back then
   * @throws {TimeoutError} with stage "lookup" when a registrar is silent; it applies the change when it reads it
   * @throws {RegistryUnavailableError} when no registrar has acknowledged it in time; the next registration brings it
   */
  async update(change: DetailsChange): Promise<void> {
    const { runtime } = this;
    const { metadata } = change;
    this.#accepted ??= runtime.metadata;
    Object.assign(runtime, change);
    const number = ++this.changes;
    const pushed = this.#service?.updateSelf();
    const timeout = registryPatienceMs(runtime.limits);
    const deadline = new Deadline({ timeout, signal: runtime.signal }, "update of the registration");
    const errors = await this.#send(change, deadline);
    await pushed;
    const refusal = errors.find((error) => error instanceof LimitError);
    if (metadata !== undefined && refusal === undefined) this.#accepted = metadata;
    // a registration with it would be refused too; unless it has changed again
    if (refusal !== undefined && runtime.metadata === metadata) {
      runtime.metadata = this.#accepted;
      this.changes++;
      const restored = this.#service?.updateSelf();
      await this.#send({ metadata: this.#accepted }, new Deadline({ timeout }, "update of the registration"));
      await restored;
    }
    const error = refusal ?? errors.find((one) => one instanceof TimeoutError);
    if (error !== undefined) throw error;
    await this.#acknowledged(number, deadline, timeout);
  }

  /** Sends the last change to all registrars; resolves to what went wrong. */
  async #send(change: DetailsChange, deadline: Deadline): Promise<Error[]> {
    const number = this.changes;
    const results = await Promise.allSettled(
      this.links.map((link) => deadline.race("lookup", link.update(change, number))),
    );
    return results.flatMap((result) => (result.status === "rejected" ? [asError(result.reason)] : []));
  }

  /** Resolves when some registrar has this change: those that were sent it may have been lost. */
  async #acknowledged(number: number, deadline: Deadline, timeout: number): Promise<void> {
    const isDone = (): boolean =>
      !this.registers ||
      this.#service?.hasSelf === true ||
      this.links.some(({ acknowledged }) => acknowledged >= number);
    while (!isDone()) {
      try {
        await deadline.race("lookup", this.changed);
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        const none = this.unavailable();
        const text = `no registrar has acknowledged the change within ${timeout} ms, it applies with the next registration`;
        throw new RegistryUnavailableError(`${text}: ${none.message}`, { cause: none.cause });
      }
    }
  }

  /**
   * Rejects if no further actor may register under the name, by what the registrar that decides on names says now; it is
   * only asked, and nothing else settles this.
   *
   * @throws {NameTakenError} synchronously, while this actor is the registrar
   */
  refusal(name: string): Promise<never> | undefined {
    const { service, firstLink } = this;
    const known = service?.refusalOf(name);
    if (known !== undefined) throw known;
    if (service !== undefined || !firstLink?.isOpen) return undefined;
    return new Promise((_, reject) => {
      const onError = (error: unknown): void => {
        const taken = nameTaken(error);
        if (taken !== undefined) reject(taken);
      };
      firstLink.session.request([Kind.claim, 0, name, false, "-", ClaimMode.ask]).catch(onError);
    });
  }

  lookupStats(): LookupStats {
    return { ...this.counters };
  }

  registrarStats(): RegistrarStats | undefined {
    return this.#service?.stats();
  }
}
