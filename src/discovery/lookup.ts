/**
 * One lookup of a name.
 *
 * A lookup asks, in this order: the own table (in a registrar), what the coherent cache knows, connected peers of that
 * name, the registrars. It then chooses the instance, ranks the addresses of that instance alone, and dials them until
 * one shows the uuid that was looked up.
 */
import { currentRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { type Peer, UnreachableError } from "../channel/peer.ts";
import { type Bounds, Deadline } from "../deadline.ts";
import {
  ActorNotFoundError,
  AddressError,
  asError,
  causeOf,
  messagesOf,
  RegistryUnavailableError,
  TimeoutError,
  TransportClosedError,
  UnauthenticatedError,
} from "../errors.ts";
import { describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { LocalPortal, portalGroup, RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, outsideTasks } from "../rpc/task.ts";
import type { Portal, PortalGroup } from "../rpc/types.ts";
import {
  type Address,
  type AddressInput,
  normalizeAddress,
  parseAddress,
  rankAddresses,
  readTransports,
  type Transport,
} from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { firstReachable } from "./first-reachable.ts";
import { Instance } from "./instance.ts";
import { type Registration, registrationOf } from "./registration.ts";
import { registryPatienceMs } from "./bootstrap.ts";
import type { Instances } from "./cache.ts";
import { askOnce, type RegistrarLink } from "./registrar-link.ts";
import { Registries } from "./registries.ts";
import {
  askAll,
  cached,
  connectedLinks,
  isOwnRefusal,
  registryAt,
  type RegistryPortal,
  registryPortal,
} from "./ask.ts";
import { AddressResult, type QueryResult, resultOf } from "./query-result.ts";

const log = logger("discovery");

export interface FindOptions extends Bounds {
  readonly registryAddrs?: readonly AddressInput[];
  /** Dial only addresses of these transports. */
  readonly enableTransports?: readonly Transport[];
  /** Default true; false: all live instances, one portal each. */
  readonly onlyFirst?: boolean;
  /** Default false; true: `ActorNotFoundError` instead of null. */
  readonly raiseOnNone?: boolean;
}

export interface WaitOptions extends Bounds {
  readonly registryAddr?: AddressInput;
}

/** How long a wait leaves instances alone that are registered and refuse. */
const refusedRetryMs = 500;

/** Calls `fn` after `ms`; returns the function that calls it off. */
function after(ms: number, fn: () => void): () => void {
  const timer = setTimeout(fn, ms);
  return () => clearTimeout(timer);
}

/** The signal, and that of the task that looks something up: a called function's lookups end with it. */
function withTask(signal: AbortSignal | undefined): AbortSignal | undefined {
  const task = ambientTask()?.signal;
  return task === undefined || signal === undefined ? (signal ?? task) : AbortSignal.any([signal, task]);
}

function instanceOf({ id, addrs }: Registration): Instance {
  return new Instance(id, addrs);
}

function isAny(found: Instances): boolean {
  return found.length > 0;
}

/** Whether an error says that an instance is there, but can't be used: it is silent, or one of the two isn't trusted. */
function isPresence(error: unknown): boolean {
  return error instanceof TimeoutError || error instanceof UnauthenticatedError;
}

/** One lookup: a name, options, and one deadline for all of it. */
export class Lookup {
  readonly #name: string;
  readonly #runtime: Runtime;
  readonly #registries: Registries;
  readonly #deadline: Deadline;
  readonly #bounds: Bounds;
  readonly #registryAddrs: readonly Address[] | undefined;
  readonly #transports: readonly Transport[] | undefined;
  /** The dials that failed, and the registrars that didn't answer: what `notFound` has for a cause. */
  readonly #failures: Error[] = [];

  constructor(name: string, options: FindOptions) {
    checkActorName(name);
    this.#runtime = currentRuntime();
    this.#registries = Registries.of(this.#runtime);
    this.#name = name;
    this.#bounds = { signal: withTask(options.signal), timeout: options.timeout };
    this.#deadline = new Deadline(this.#bounds, "lookup of", name);
    this.#registryAddrs = options.registryAddrs?.map(normalizeAddress);
    if (this.#registryAddrs?.length === 0) {
      throw new AddressError(
        "registryAddrs must not be empty; leave it out to ask this actor's own registrars",
      );
    }
    this.#transports = options.enableTransports && readTransports(options.enableTransports);
    this.#bounds.signal?.throwIfAborted();
  }

  /** The last registered instance that can be reached. */
  async last<M>(): Promise<Portal<M> | null> {
    const known = this.#known();
    if (known === undefined) {
      const peer = this.#connectedPeer();
      if (peer !== undefined) return new RemotePortal<M>(peer.acquire().handler);
    }
    const instances = known ?? (await this.#ask(isAny));
    const portal = await this.#reachLast<M>(instances, new Set());
    if (portal !== null || instances.length === 0 || !this.#hasSeveralRegistrars) return portal;
    // the first registrar to answer knew dead ones only; another may know a live one
    const tried = new Set(instances.map(({ id }) => id.uuid));
    return await this.#reachLast<M>(await this.#ask(() => false), tried);
  }

  /** The last of the instances that can be reached, but for those that were tried. */
  async #reachLast<M>(instances: Instances, tried: ReadonlySet<string>): Promise<Portal<M> | null> {
    const untried = instances.toReversed().filter(({ id }) => !tried.has(id.uuid));
    return (await this.#firstReachable<M>(untried)) ?? null;
  }

  /** @throws what kept an instance that is there from answering, when no other one did */
  async #firstReachable<M>(instances: Instances): Promise<Portal<M> | undefined> {
    return await firstReachable<Portal<M>, Instance>(
      instances,
      (instance) => this.#reach<M>(instance),
      (error) => isPresence(error) && !this.#deadline.signal?.aborted,
      (portal) => void portal[Symbol.asyncDispose](),
    );
  }

  get #hasSeveralRegistrars(): boolean {
    return (this.#registryAddrs?.length ?? this.#registries.links.length) > 1;
  }

  /** Every instance that can be reached, each once. */
  async all<M>(): Promise<PortalGroup<M>> {
    // a hit of several registrars must be everybody's, so their caches are asked one by one
    const instances = await this.#ask(() => false);
    const byUuid = new Map(instances.map((one) => [one.id.uuid, one]));
    const results = await Promise.allSettled(Array.from(byUuid.values(), (one) => this.#reach<M>(one)));
    const portals = results.flatMap((result) => (result.status === "fulfilled" ? (result.value ?? []) : []));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined && (portals.length === 0 || this.#deadline.signal?.aborted)) {
      await portalGroup(portals)[Symbol.asyncDispose]();
      throw failed.reason;
    }
    return portalGroup(portals);
  }

  /** The first registered instance, as soon as there is one that can be reached. */
  async first<M>(): Promise<Portal<M>> {
    const { signal } = this.#runtime;
    for (;;) {
      signal.throwIfAborted();
      const change = Promise.withResolvers<void>();
      const onEnd = (): void => change.resolve();
      signal.addEventListener("abort", onEnd, { once: true });
      const stopWatching: (() => void)[] = [() => signal.removeEventListener("abort", onEnd)];
      try {
        const peer = this.#connectedPeer();
        if (peer !== undefined && !this.#isCached) return new RemotePortal<M>(peer.acquire().handler);
        const instances = await this.#watchedInstances(change.resolve, stopWatching);
        const portal = await this.#firstReachable<M>(instances);
        if (portal !== undefined) return portal;
        // those that are listed and refuse may only be busy: look again after a while
        if (instances.length > 0) stopWatching.push(after(refusedRetryMs, change.resolve));
        await this.#deadline.race("wait", change.promise);
      } finally {
        for (const stop of stopWatching) stop();
      }
    }
  }

  /** Whether a cache has the name; asked without counting, since the lookup that follows is counted. */
  get #isCached(): boolean {
    if (this.#registries.isRegistrar)
      return (this.#registries.service?.table.all(this.#name).length ?? 0) > 0;
    return this.#registries.links.some((link) => link.cache.has(this.#name));
  }

  async query(): Promise<QueryResult> {
    const addr = this.#registryAddrs?.[0];
    if (addr === undefined) {
      const peer = this.#connectedPeer();
      if (peer !== undefined) return new AddressResult(rankAddresses(peer.addrs)[0] ?? null, peer.id, null);
      const instances = await this.#ask(isAny);
      return resultOf(instances, this.#registryAsked ?? (await this.#anyRegistry()));
    }
    const registry = await registryAt(this.#registries, addr, this.#deadline);
    try {
      return resultOf(await this.#ask(isAny), registry);
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
  }

  notFound(): ActorNotFoundError {
    const failures = this.#failures;
    const why = failures.length > 0 ? `; ${messagesOf(failures)}` : "";
    return new ActorNotFoundError(`no live actor named "${this.#name}"${why}`, {
      cause: causeOf(failures),
    });
  }

  /** What is known without asking: the own table's entries, or the cached ones. */
  #known(): Instances | undefined {
    if (this.#registryAddrs !== undefined) return undefined;
    if (!this.#registries.isRegistrar) return cached(this.#registries, this.#name);
    const entries = this.#ownEntries();
    return entries.length === 0 ? undefined : entries;
  }

  #ownEntries(): Instances {
    const entries = this.#registries.service?.table.all(this.#name) ?? [];
    return entries.map((entry) => instanceOf(registrationOf(entry, this.#runtime.id.host)));
  }

  /**
   * As `#ownEntries`, once a miss can be relied on.
   *
   * @throws {RegistryUnavailableError} when another was faster at the addresses meanwhile
   */
  async #heldEntries(): Promise<Instances> {
    await this.#untilReliable();
    if (!this.#registries.isRegistrar)
      throw new RegistryUnavailableError("this actor is not the registrar any more");
    return this.#ownEntries();
  }

  async #untilReliable(): Promise<void> {
    const awaited = this.#registries.service?.awaited(this.#name);
    if (awaited !== undefined) await this.#deadline.race("lookup", awaited);
  }

  /** The last connected peer of that name, if the options leave it open whom to ask. */
  #connectedPeer(): Peer<Session> | undefined {
    if (this.#registryAddrs !== undefined) return undefined;
    const peers = this.#runtime.peers.byName(this.#name);
    return peers?.findLast(
      // whoever claims a name answers for it only when it is registered
      (peer) =>
        peer.isVouched &&
        peer.isReady &&
        peer.isOpen &&
        peer.leaving === undefined &&
        (this.#transports === undefined || this.#transports.includes(peer.transport)),
    );
  }

  #isWanted(addr: Address): boolean {
    return this.#transports === undefined || this.#transports.includes(parseAddress(addr).transport);
  }

  /** The one registrar that there is to ask, if there is just one. */
  get #registryAsked(): Session | RegistryPortal | undefined {
    return this.#registries.isRegistrar ? this.#registries.localPortal : this.#registries.onlyLink?.session;
  }

  async #anyRegistry(): Promise<RegistryPortal> {
    if (this.#registries.isRegistrar) return this.#registries.localPortal;
    const [link] = await connectedLinks(this.#registries, this.#patient());
    return link === undefined ? this.#registries.localPortal : registryPortal(link.session);
  }

  /** The operation's deadline, or the default patience where it has none. */
  #patient(): Deadline {
    const timeout = Math.min(this.#deadline.remainingMs, registryPatienceMs(this.#runtime.limits));
    return new Deadline({ timeout, signal: this.#deadline.signal }, "lookup of", this.#name);
  }

  /** Asks the registrars side by side. `enough` ends it early, on one registrar's answer. */
  async #ask(enough: (found: Instances) => boolean): Promise<Instances> {
    const deadline = this.#patient();
    if (this.#registryAddrs !== undefined) {
      return await askAll(
        this.#registryAddrs.map((addr) => this.#askAddress(addr, deadline)),
        deadline,
        enough,
        this.#failures,
      );
    }
    for (;;) {
      const links = await connectedLinks(this.#registries, deadline);
      if (links.length === 0) {
        const found = await this.#askOwnTable();
        if (found !== undefined) return found;
        continue;
      }
      try {
        const only = links.length === 1 ? links[0] : undefined;
        if (only !== undefined)
          return await deadline.race("lookup", Promise.resolve(only.lookup(this.#name)));
        return await askAll(
          links.map((link) => Promise.resolve(link.lookup(this.#name))),
          deadline,
          enough,
          this.#failures,
        );
      } catch (error) {
        // the registrar ended under the question: another will take over, and the deadline bounds the wait
        if (links.some((link) => link.isOpen) || error instanceof TimeoutError) throw error;
        deadline.check("lookup");
      }
    }
  }

  /**
   * In a registrar; one that has just taken over may still be waiting for those who were registered before. Undefined
   * when it is none after all: another was faster at binding the addresses.
   */
  async #askOwnTable(): Promise<Instances | undefined> {
    const known = this.#known();
    if (known !== undefined) return known;
    await this.#untilReliable();
    return this.#registries.isRegistrar ? (this.#known() ?? []) : undefined;
  }

  async #askAddress(addr: Address, deadline: Deadline): Promise<Instances> {
    const registries = this.#registries;
    if (registries.isRegistrar && this.#runtime.addrs.includes(addr)) return await this.#heldEntries();
    const link = registries.linkTo(addr);
    if (link !== undefined) return await link.lookup(this.#name);
    let peer: Peer<Session>;
    try {
      peer = await outsideTasks(() => this.#runtime.peers.connectTo(addr, deadline));
    } catch (error) {
      if (registries.isRegistrar && isOwnRefusal(error)) return await this.#heldEntries();
      throw error;
    }
    try {
      if (!peer.isRegistrar)
        throw new RegistryUnavailableError(`${addr} is ${describeActor(peer.id)}, which is no registrar`);
      return await askOnce(peer.handler, this.#name, registries.counters);
    } finally {
      peer.release();
    }
  }

  /** The instances now, with `onChange` called at the next change of them, wherever it comes from. */
  async #watchedInstances(onChange: () => void, stopWatching: (() => void)[]): Promise<Instances> {
    const registries = this.#registries;
    const addr = this.#registryAddrs?.[0];
    if (addr !== undefined) return await this.#watchedAt(addr, onChange, stopWatching);
    const { service, links, changed } = registries;
    if (service !== undefined) {
      stopWatching.push(service.watch(this.#name, onChange));
      return this.#known() ?? [];
    }
    void changed.then(onChange);
    if (links.length === 0) return [];
    const asked = links.map(async (link) => {
      await link.lookup(this.#name);
      return link;
    });
    // one answer is enough to go on with; a later one counts as a change
    const first = await this.#deadline.race(
      "wait",
      Promise.race([Promise.any(asked), changed]).catch(() => undefined),
    );
    for (const one of asked)
      one.then(
        (link) => link === first || onChange(),
        // a silent one is asked again; of one that is gone `changed` tells
        (error: unknown) => error instanceof TimeoutError && onChange(),
      );
    // the first may have answered, and its cache not have kept it
    const answered = links.filter((link) => link === first || link.cache.has(this.#name));
    return answered.flatMap((link) => this.#watchCache(link, onChange, stopWatching));
  }

  /** As above, for a registrar that this actor is not registered with: it does the waiting. */
  async #watchedAt(addr: Address, onChange: () => void, stopWatching: (() => void)[]): Promise<Instances> {
    const registry = await registryAt(this.#registries, addr, this.#deadline);
    try {
      const link = this.#registries.links.find(({ session }) => session.peer.id.uuid === registry.id.uuid);
      if (link !== undefined) {
        await this.#deadline.race("wait", Promise.resolve(link.lookup(this.#name)));
        return this.#watchCache(link, onChange, stopWatching);
      }
      const waiting = new AbortController();
      stopWatching.push(() => waiting.abort());
      const signal =
        this.#bounds.signal === undefined
          ? waiting.signal
          : AbortSignal.any([waiting.signal, this.#bounds.signal]);
      const waited = registry.with({ signal }).run;
      const found = await this.#deadline.race("wait", waited.waitForActor(this.#name));
      // it may be one that cannot be reached: all that are there now are tried
      const others = await this.#deadline.race("wait", waited.findActors(this.#name));
      return (others.length > 0 ? others : [found]).map(instanceOf);
    } finally {
      await registry[Symbol.asyncDispose]();
    }
  }

  /** Reads the cache and watches it in one step: no change can fall between the two. */
  #watchCache(link: RegistrarLink, onChange: () => void, stopWatching: (() => void)[]): Instances {
    const known = link.cache.get(this.#name);
    if (known === undefined) {
      // a registrar that has no room for the interest is asked now and then
      stopWatching.push(after(refusedRetryMs, onChange));
      return [];
    }
    stopWatching.push(link.cache.watch(this.#name, onChange));
    return known;
  }

  /** Connects to one instance. Undefined when nobody of that uuid answers at its addresses. */
  async #reach<M>(instance: Instance): Promise<Portal<M> | undefined> {
    const { id } = instance;
    if (id.uuid === this.#runtime.uuid) return new LocalPortal<M>(this.#runtime);
    const addrs = instance.dialOrder().filter((addr) => this.#isWanted(addr));
    try {
      const target = {
        name: id.name,
        uuid: id.uuid,
        addrs,
        ...(id.host === this.#runtime.id.host && { pid: id.pid }),
        ...(this.#transports && { transports: this.#transports }),
      };
      const peer = await outsideTasks(() => this.#runtime.peers.connect(target, this.#deadline));
      // this actor's own registrars know it; others' may not share what they know
      if (this.#registryAddrs === undefined) peer.isVouched = true;
      return new RemotePortal<M>(peer.handler);
    } catch (error) {
      if (!(error instanceof TransportClosedError)) throw error;
      log.info?.(asError(error).message);
      this.#failures.push(error);
      if (error instanceof UnreachableError && addrs.length > 0)
        for (const link of this.#registries.links) link.report(id.uuid);
      return undefined;
    }
  }
}
