/**
 * Finding actors by name.
 *
 * A lookup asks, in this order: the own table (in a registrar), what the coherent cache knows, connected peers of that
 * name, the registrars. It then chooses the instance, ranks the addresses of that instance alone, and dials them until
 * one shows the uuid that was looked up. Follows the discovery chapter of tractor.
 */
import { currentRuntime } from "../actor/current.ts";
import type { Runtime } from "../actor/runtime.ts";
import { RefusedError } from "../channel/handshake.ts";
import { type Peer, UnreachableError } from "../channel/peer.ts";
import { type Bounds, Deadline } from "../deadline.ts";
import {
  ActorNotFoundError,
  AddressError,
  asError,
  RegistryUnavailableError,
  TimeoutError,
  TransportClosedError,
} from "../errors.ts";
import { type ActorId, describeActor } from "../identity.ts";
import { logger } from "../log.ts";
import { LocalPortal, portalGroup, RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { ambientTask, outsideTasks } from "../rpc/task.ts";
import type { PeerInfo, Portal, PortalGroup } from "../rpc/types.ts";
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
import { dialOrder, type Registration, type RegistrarApi, registrationOf } from "./registration.ts";
import { askOnce, type RegistrarLink } from "./registrar-link.ts";
import { Registries } from "./registries.ts";

const log = logger("discovery");

/** Tries times `probeTimeoutMs`: how long a lookup without a timeout waits for a silent registrar. */
const patience = 3;

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

export type RegistryPortal = Portal<RegistrarApi> | LocalPortal<RegistrarApi>;

/** What `queryActor` found. Dispose it to let go of the registrar's portal. */
export interface QueryResult extends AsyncDisposable {
  /** The best address of the last registered instance, or null when there is none that can be dialled from here. */
  readonly addr: Address | null;
  readonly id: ActorId | null;
  /** The portal that was asked; null when no registrar was. */
  readonly registry: RegistryPortal | null;
}

type Instances = readonly Registration[];

/**
 * Finds an actor by name and connects to it: the last registered one, or null.
 *
 * With `onlyFirst: false` every live instance, one portal each. Instances that cannot be reached are passed over; when
 * none is left the answer is null.
 *
 * @throws {ActorNotFoundError} with `raiseOnNone`, when there is none; `cause` holds failed dials
 * @throws {RegistryUnavailableError} when no registrar could be asked; `cause` says why each
 * @throws {TimeoutError} when a peer or the registrar is silent, or `timeout` passes; `stage` says in which step
 * @throws {ActorNameError | AddressError} when an argument is malformed
 */
export function findActor<M = unknown>(
  name: string,
  options: FindOptions & { readonly onlyFirst: false },
): Promise<PortalGroup<M>>;
export function findActor<M = unknown>(
  name: string,
  options: FindOptions & { readonly raiseOnNone: true },
): Promise<Portal<M>>;
export function findActor<M = unknown>(name: string, options?: FindOptions): Promise<Portal<M> | null>;
export async function findActor<M>(
  name: string,
  options: FindOptions = {},
): Promise<Portal<M> | PortalGroup<M> | null> {
  const lookup = new Lookup(name, options);
  const found = options.onlyFirst === false ? await lookup.all<M>() : await lookup.last<M>();
  const none = found === null || (Array.isArray(found) && found.length === 0);
  if (none && options.raiseOnNone) throw lookup.notFound();
  return found;
}

/**
 * Waits until an actor of that name is registered, and connects to the first that did. There is no limit of its own to
 * the wait: pass `timeout` or `signal`.
 *
 * @throws {TimeoutError} when `timeout` passes, with stage "wait" while there was none
 * @throws {RegistryUnavailableError} when the registrar at `registryAddr` cannot be asked
 */
export async function waitForActor<M = unknown>(name: string, options: WaitOptions = {}): Promise<Portal<M>> {
  return await new Lookup(name, atRegistry(options)).first<M>();
}

/** The options with their one registry address as a list. */
function atRegistry(options: WaitOptions): FindOptions {
  const { signal, timeout, registryAddr } = options;
  return { signal, timeout, ...(registryAddr === undefined ? {} : { registryAddrs: [registryAddr] }) };
}

/**
 * Looks up where the last registered actor of a name can be dialled, without connecting to it.
 *
 * @throws {RegistryUnavailableError | TimeoutError} as `findActor`
 */
export async function queryActor(name: string, options: WaitOptions = {}): Promise<QueryResult> {
  if (options.registryAddr === undefined) {
    options.signal?.throwIfAborted();
    const known = queryKnown(Registries.of(currentRuntime()), name);
    if (known !== undefined) return known;
  }
  return await new Lookup(name, atRegistry(options)).query();
}

/**
 * A portal to a registrar: this actor's own, or the one that serves `addr`. Uses the connection that is there.
 *
 * @throws {RegistryUnavailableError} when no registrar answers there
 */
export async function getRegistry(addr?: AddressInput): Promise<RegistryPortal> {
  const runtime = currentRuntime();
  const registries = Registries.of(runtime);
  if (addr !== undefined)
    return await registryAt(registries, normalizeAddress(addr), new Deadline({}, "getRegistry"));
  if (registries.isRegistrar) return registries.localPortal;
  const deadline = new Deadline({ timeout: patience * runtime.limits.probeTimeoutMs }, "getRegistry");
  const [link] = await connectedLinks(registries, deadline);
  return link === undefined ? registries.localPortal : registryPortal(link.session);
}

/**
 * The connected actors of that name, in the order of connecting, or null when there is none. Asks nobody.
 *
 * @throws {NoRuntimeError} when this process has no actor
 */
export function getPeerByName(name: string): PeerInfo[] | null {
  const found =
    currentRuntime()
      .peers.byName(name)
      ?.filter((peer) => peer.isReady) ?? [];
  return found.length === 0 ? null : found.map(({ id, addrs }) => ({ id, addrs }));
}

/** A result that holds no connection. */
class KnownAddress implements QueryResult {
  readonly addr: Address | null;
  readonly id: ActorId | null;
  readonly registry: RegistryPortal | null;

  constructor(addr: Address | null, id: ActorId | null, registry: RegistryPortal | null) {
    this.addr = addr;
    this.id = id;
    this.registry = registry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry?.[Symbol.asyncDispose]();
  }
}

/** The answer from memory, or undefined when somebody must be asked. */
function queryKnown(registries: Registries, name: string): QueryResult | undefined {
  const { service } = registries;
  if (service !== undefined) {
    const entry = service.table.last(name);
    if (entry === undefined) return undefined;
    const found = registrationOf(entry, registries.runtime.id.host);
    return new KnownAddress(bestAddress(found), found.id, registries.localPortal);
  }
  const known = cached(registries, name);
  if (known === undefined) return undefined;
  const last = known[known.length - 1];
  return new KnownAddress(last === undefined ? null : bestAddress(last), last?.id ?? null, null);
}

/** The best address of a registration; remembered, since a cached one is asked again and again. */
function bestAddress(registration: Registration): Address | null {
  let best = bestAddresses.get(registration);
  if (best === undefined) bestAddresses.set(registration, (best = dialOrder(registration)[0] ?? null));
  return best;
}
const bestAddresses = new WeakMap<Registration, Address | null>();

/** What the coherent caches know of a name, or undefined when a registrar must be asked. A miss must be known to all. */
function cached(registries: Registries, name: string): Instances | undefined {
  const only = registries.onlyLink;
  if (only !== undefined) {
    const known = only.cache.get(name);
    if (known !== undefined) registries.counters.hits++;
    return known;
  }
  const { links } = registries;
  let all = links.length > 0;
  for (const link of links) {
    const known = link.cache.get(name);
    if (known !== undefined && known.length > 0) {
      registries.counters.hits++;
      return known;
    }
    all &&= known !== undefined;
  }
  if (!all) return undefined;
  registries.counters.hits++;
  return [];
}

function registryPortal(session: Session): Portal<RegistrarApi> {
  session.peer.acquire();
  return new RemotePortal<RegistrarApi>(session, "registrar.");
}

/** The registrar that serves `addr`, over the connection that is there or a new one. */
async function registryAt(
  registries: Registries,
  addr: Address,
  deadline: Deadline,
): Promise<RegistryPortal> {
  const { runtime } = registries;
  if (registries.isRegistrar && runtime.addrs.includes(addr)) return registries.localPortal;
  const link = registries.links.find(
    ({ addrs, session }) => addrs.has(addr) || session.peer.addrs.includes(addr),
  );
  if (link !== undefined) return registryPortal(link.session);
  let peer: Peer<Session>;
  try {
    peer = await outsideTasks(() => runtime.peers.connectTo(addr, deadline));
  } catch (error) {
    // another spelling of an address of its own
    if (registries.isRegistrar && isOwnRefusal(error)) return registries.localPortal;
    if (error instanceof TimeoutError || deadline.signal?.aborted) throw error;
    throw new RegistryUnavailableError(`no registrar answers at ${addr}: ${asError(error).message}`, {
      cause: error,
    });
  }
  if (peer.isRegistrar) return new RemotePortal<RegistrarApi>(peer.handler, "registrar.");
  peer.release();
  throw new RegistryUnavailableError(`${addr} is ${describeActor(peer.id)}, which is no registrar`);
}

/** The links to registrars, waiting for one while there is none; empty when this actor has become the registrar. */
async function connectedLinks(registries: Registries, deadline: Deadline): Promise<readonly RegistrarLink[]> {
  for (;;) {
    if (registries.isRegistrar) return [];
    const { links, changed } = registries;
    if (links.length > 0) return links;
    try {
      await deadline.race("lookup", changed);
    } catch (error) {
      if (error instanceof TimeoutError) throw registries.unavailable(registries.faults);
      throw error;
    }
  }
}

/** How long a wait leaves instances alone that are registered and refuse. */
const refusedRetryMs = 500;

/** Calls `fn` after `ms`; returns the function that calls it off. */
function after(ms: number, fn: () => void): () => void {
  const timer = setTimeout(fn, ms);
  return () => clearTimeout(timer);
}

function isOwnRefusal(error: unknown): boolean {
  return error instanceof RefusedError && error.refusal === "self";
}

/** The signal, and that of the task that looks something up: a called function's lookups end with it. */
function withTask(signal: AbortSignal | undefined): AbortSignal | undefined {
  const task = ambientTask()?.signal;
  return task === undefined || signal === undefined ? (signal ?? task) : AbortSignal.any([signal, task]);
}

/** One lookup: a name, options, and one deadline for all of it. */
class Lookup {
  readonly #name: string;
  readonly #runtime: Runtime;
  readonly #registries: Registries;
  readonly #deadline: Deadline;
  readonly #bounds: Bounds;
  readonly #registryAddrs: readonly Address[] | undefined;
  readonly #transports: readonly Transport[] | undefined;
  /** The dials that failed: what `notFound` has for a cause. */
  readonly #failures: Error[] = [];

  constructor(name: string, options: FindOptions) {
    checkActorName(name);
    this.#runtime = currentRuntime();
    this.#registries = Registries.of(this.#runtime);
    this.#name = name;
    this.#bounds = { signal: withTask(options.signal), timeout: options.timeout };
    this.#deadline = new Deadline(this.#bounds, `lookup of "${name}"`);
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
    const instances = known ?? (await this.#ask((found) => found.length > 0));
    const portal = await this.#reachLast<M>(instances, new Set());
    if (portal !== null || instances.length === 0 || !this.#hasSeveralRegistrars) return portal;
    // the first registrar to answer knew dead ones only; another may know a live one
    const tried = new Set(instances.map(({ id }) => id.uuid));
    return await this.#reachLast<M>(await this.#ask(() => false), tried);
  }

  /** The last of the instances that can be reached, but for those that were tried. */
  async #reachLast<M>(instances: Instances, tried: ReadonlySet<string>): Promise<Portal<M> | null> {
    for (const instance of instances.toReversed()) {
      if (tried.has(instance.id.uuid)) continue;
      const portal = await this.#reach<M>(instance);
      if (portal !== undefined) return portal;
    }
    return null;
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
        for (const instance of instances) {
          const portal = await this.#reach<M>(instance);
          if (portal !== undefined) return portal;
        }
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
    const peer = this.#registryAddrs === undefined ? this.#connectedPeer() : undefined;
    if (peer !== undefined) return new KnownAddress(rankAddresses(peer.addrs)[0] ?? null, peer.id, null);
    const addr = this.#registryAddrs?.[0];
    const registry =
      addr === undefined
        ? await this.#anyRegistry()
        : await registryAt(this.#registries, addr, this.#deadline);
    try {
      const instances = await this.#ask((found) => found.length > 0);
      const last = instances[instances.length - 1];
      return new KnownAddress(last === undefined ? null : bestAddress(last), last?.id ?? null, registry);
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
  }

  notFound(): ActorNotFoundError {
    const failures = this.#failures;
    const why = failures.length > 0 ? `; ${failures.map(({ message }) => message).join("; ")}` : "";
    return new ActorNotFoundError(`no live actor named "${this.#name}"${why}`, {
      cause: failures.length > 1 ? new AggregateError(failures, "every instance failed") : failures[0],
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
    return entries.map((entry) => registrationOf(entry, this.#runtime.id.host));
  }

  /** The last connected peer of that name, if the options leave it open whom to ask. */
  #connectedPeer(): Peer<Session> | undefined {
    if (this.#registryAddrs !== undefined) return undefined;
    const peers = this.#runtime.peers.byName(this.#name);
    return peers?.findLast(
      (peer) => peer.isReady && peer.isOpen && peer.leaving === undefined && this.#isWanted(peer.addr),
    );
  }

  #isWanted(addr: Address): boolean {
    return this.#transports === undefined || this.#transports.includes(parseAddress(addr).transport);
  }

  async #anyRegistry(): Promise<RegistryPortal> {
    if (this.#registries.isRegistrar) return this.#registries.localPortal;
    const [link] = await connectedLinks(this.#registries, this.#patient());
    return link === undefined ? this.#registries.localPortal : registryPortal(link.session);
  }

  /** The operation's deadline, or the default patience where it has none. */
  #patient(): Deadline {
    const timeout = Math.min(this.#deadline.remainingMs, patience * this.#runtime.limits.probeTimeoutMs);
    return new Deadline({ timeout, signal: this.#deadline.signal }, `lookup of "${this.#name}"`);
  }

  /** Asks the registrars side by side. `enough` ends it early, on one registrar's answer. */
  async #ask(enough: (found: Instances) => boolean): Promise<Instances> {
    const deadline = this.#patient();
    if (this.#registryAddrs !== undefined) {
      return await askAll(
        this.#registryAddrs.map((addr) => this.#askAddress(addr, deadline)),
        deadline,
        enough,
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
    const settling = this.#registries.service?.settling;
    if (settling !== undefined) await this.#deadline.race("lookup", settling);
    return this.#registries.isRegistrar ? (this.#known() ?? []) : undefined;
  }

  async #askAddress(addr: Address, deadline: Deadline): Promise<Instances> {
    const registries = this.#registries;
    if (registries.isRegistrar && this.#runtime.addrs.includes(addr)) return this.#ownEntries();
    const link = registries.links.find(
      ({ addrs, session }) => addrs.has(addr) || session.peer.addrs.includes(addr),
    );
    if (link !== undefined) return await link.lookup(this.#name);
    let peer: Peer<Session>;
    try {
      peer = await outsideTasks(() => this.#runtime.peers.connectTo(addr, deadline));
    } catch (error) {
      if (registries.isRegistrar && isOwnRefusal(error)) return this.#ownEntries();
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
    if (links.length > 1)
      for (const one of asked)
        one.then(
          (link) => link === first || onChange(),
          () => {},
        );
    const answered = links.filter((link) => link.cache.has(this.#name));
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
      return others.length > 0 ? others : [found];
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
  async #reach<M>(instance: Registration): Promise<Portal<M> | undefined> {
    const { id } = instance;
    if (id.uuid === this.#runtime.uuid) return new LocalPortal<M>(this.#runtime);
    const addrs = dialOrder(instance).filter((addr) => this.#isWanted(addr));
    try {
      const target = { name: id.name, uuid: id.uuid, addrs };
      const peer = await outsideTasks(() => this.#runtime.peers.connect(target, this.#deadline));
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

/**
 * Several registrars' answers as one. One that is down or silent does not fail it; all of them do.
 *
 * @throws {RegistryUnavailableError} when none answered; `cause` says why each
 * @throws {TimeoutError} when the only one asked is silent
 */
async function askAll(
  questions: readonly Promise<Instances>[],
  deadline: Deadline,
  enough: (found: Instances) => boolean,
): Promise<Instances> {
  const answers: Instances[] = [];
  const failures: Error[] = [];
  const early = Promise.withResolvers<void>();
  const all = Promise.all(
    questions.map(async (question) => {
      try {
        const found = await question;
        answers.push(found);
        if (enough(found)) early.resolve();
      } catch (error) {
        failures.push(asError(error));
      }
    }),
  );
  try {
    await deadline.race("lookup", Promise.race([all, early.promise]));
  } catch (error) {
    if (!(error instanceof TimeoutError) || questions.length === 1) throw error;
    failures.push(error);
  }
  if (answers.length > 0) return answers.find(enough) ?? answers.flat();
  const [only] = failures;
  if (questions.length === 1 && (only instanceof TimeoutError || only instanceof RegistryUnavailableError))
    throw only;
  throw new RegistryUnavailableError(
    `no registrar answered: ${failures.map(({ message }) => message).join("; ")}`,
    {
      cause: failures.length > 1 ? new AggregateError(failures) : only,
    },
  );
}
