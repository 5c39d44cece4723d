/** `queryActor`: where an actor can be dialled, without connecting to it. */
import { currentRuntime } from "../actor/current.ts";
import { TimeoutError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { Session } from "../rpc/session.ts";
import { ambientTask, type Task } from "../rpc/task.ts";
import { type Address, bestAddress } from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { askAny, patience } from "./ask.ts";
import { connectedPeer } from "./connected.ts";
import { lastKnown } from "./known.ts";
import { Lookup, type WaitOptions } from "./lookup.ts";
import type { Asker } from "./cached-name.ts";
import type { RegistrarLink } from "./registrar-link.ts";
import { Registrars } from "./registrars.ts";
import type { FoundRegistration } from "./registration.ts";
import { anyRegistry, registryAt, type RegistryPortal, registryPortal } from "./registry.ts";

/** What `queryActor` found. Dispose it to release the registrar's portal. */
export interface QueryResult extends AsyncDisposable {
  /** The best address of the last registered instance, or null when none can be dialled from here. */
  readonly addr: Address | null;
  readonly id: ActorId | null;
  /**
   * Whether the actor is on another host, and this may be out of date: the registrar can't reach the store that it shares
   * with the registrars of other hosts. An actor that is connected, or on this host, is never stale.
   */
  readonly stale: boolean;
  /** The portal that was asked; null when no registrar was. */
  readonly registry: RegistryPortal | null;
}

/**
 * Looks up where the last registered actor of a name can be dialled, without connecting to it.
 *
 * @throws {RegistryUnavailableError | TimeoutError} as `findActor`
 */
export function queryActor(name: string, options: WaitOptions = {}): Promise<QueryResult> {
  try {
    return queryShortly(name, options) ?? query(Lookup.at(name, options));
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * The short ways to an answer: what is known, or one request to the only registrar if nothing bounds the wait and no peer
 * of that name is connected. Without async functions, each of which costs as much as a known answer does (rows
 * `lookup.cached` and `lookup.registrar.unix`). Undefined when it takes more than that.
 */
function queryShortly(name: string, options: WaitOptions): Promise<QueryResult> | undefined {
  const { signal, timeout, registryAddr } = options;
  if (registryAddr !== undefined) return undefined;
  signal?.throwIfAborted();
  const runtime = currentRuntime();
  const registrars = Registrars.of(runtime);
  const link = registrars.isRegistrar || registrars.areAnyStale ? undefined : registrars.onlyLink;
  const entry = link?.cache.find(name);
  const last = link === undefined ? lastKnown(registrars, name) : link.lastKnown(name, entry);
  if (last !== undefined) {
    const asked = registrars.isRegistrar ? registrars.localPortal : null;
    return Promise.resolve(resultOf(last, asked, isStale(registrars, last)));
  }
  if (link === undefined || runtime.peers.byName(name) !== undefined) return undefined;
  if (signal !== undefined || timeout !== undefined) return undefined;
  const task = ambientTask();
  if (task?.aborted) throw task.reason;
  checkActorName(name);
  const answer = new Promise<QueryResult>((resolve, reject) => {
    link.ask(name, new ShortQuery(name, registrars, link, task, resolve, reject), entry);
  });
  return task === undefined ? answer : task.follow(answer);
}

/** A lookup of `queryShortly` that is one request to the only registrar. */
class ShortQuery implements Asker {
  readonly #name: string;
  readonly #registrars: Registrars;
  readonly #link: RegistrarLink;
  readonly #task: Task | undefined;
  readonly #resolve: (result: QueryResult | Promise<QueryResult>) => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    name: string,
    registrars: Registrars,
    link: RegistrarLink,
    task: Task | undefined,
    resolve: (result: QueryResult | Promise<QueryResult>) => void,
    reject: (error: unknown) => void,
  ) {
    this.#name = name;
    this.#registrars = registrars;
    this.#link = link;
    this.#task = task;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  found(last: FoundRegistration | undefined): void {
    const registrars = this.#registrars;
    const { session } = this.#link;
    if (!registrars.areAnyStale) this.#resolve(resultOf(last, session));
    else if (last === undefined) this.#goOn();
    else this.#resolve(resultOf(last, session, isStale(registrars, last)));
  }

  failed(error: unknown, since: number): void {
    // the registrar ended during the request: another will take over
    if (!this.#link.isOpen && !(error instanceof TimeoutError)) return this.#goOn();
    const lookup = this.#lookup();
    lookup?.recordSince(since).ask(this.#link, since);
    this.#reject(lookup === undefined ? error : lookup.reported(error));
  }

  /** Asks anew, the long way. */
  #goOn(): void {
    const lookup = this.#lookup();
    if (lookup === undefined) this.#reject(this.#task?.reason);
    else this.#resolve(query(lookup));
  }

  /** The same lookup, of the same task, which isn't the ambient one here; undefined if that has ended, and nobody waits. */
  #lookup(): Lookup | undefined {
    const task = this.#task;
    return task?.aborted === true ? undefined : new Lookup(this.#name, { signal: task?.signal });
  }
}

async function query(lookup: Lookup): Promise<QueryResult> {
  const { registrars, registryAddrs } = lookup;
  const addr = registryAddrs?.[0];
  try {
    if (addr !== undefined) return await queryAt(lookup, addr);
    const peer = connectedPeer(lookup);
    if (peer !== undefined)
      return new AddressResult(bestAddress(peer.addrs, peer.id.host) ?? null, peer.id, null, false);
    const last = (await askAny(lookup)).at(-1);
    const asked = registrars.isRegistrar ? registrars.localPortal : registrars.onlyLink?.session;
    const registry = asked ?? (await anyRegistry(registrars, patience(lookup)));
    return resultOf(last, registry, isStale(registrars, last));
  } catch (error) {
    throw lookup.reported(error);
  }
}

async function queryAt(lookup: Lookup, addr: Address): Promise<QueryResult> {
  const { registrars, record, deadline } = lookup;
  record.ask(addr);
  const registry = await registryAt(registrars, addr, deadline);
  try {
    const last = (await askAny(lookup)).at(-1);
    return resultOf(last, registry, isStale(registrars, last));
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  }
}

function resultOf(
  last: FoundRegistration | null | undefined,
  asked: Session | RegistryPortal | null,
  stale = false,
): QueryResult {
  return new AddressResult(last?.best ?? null, last?.id ?? null, asked, stale);
}

const nothingLeft = Promise.resolve();

/** Whether what is known of the actor may be behind. */
function isStale(registrars: Registrars, found: FoundRegistration | null | undefined): boolean {
  const host = found?.id.host;
  return registrars.areAnyStale && host !== undefined && host !== registrars.runtime.id.host;
}

/** An address, and the registrar that was asked for it. Its portal is only made when it is read. */
class AddressResult implements QueryResult {
  readonly addr: Address | null;
  readonly id: ActorId | null;
  readonly stale: boolean;
  readonly #asked: Session | RegistryPortal | null;
  #registry: RegistryPortal | null | undefined;
  #disposed = false;

  constructor(
    addr: Address | null,
    id: ActorId | null,
    asked: Session | RegistryPortal | null,
    stale: boolean,
  ) {
    this.addr = addr;
    this.id = id;
    this.stale = stale;
    this.#asked = asked;
  }

  get registry(): RegistryPortal | null {
    if (this.#registry === undefined) {
      this.#registry = this.#asked instanceof Session ? registryPortal(this.#asked) : this.#asked;
      // read after disposal: it must not hold the connection
      if (this.#disposed) void this.#registry?.[Symbol.asyncDispose]();
    }
    return this.#registry;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const portal = this.#asked instanceof Session ? this.#registry : this.#asked;
    return portal ? Promise.resolve(portal[Symbol.asyncDispose]()) : nothingLeft;
  }
}
