/**
 * Finding actors by name: what users call. Follows the discovery chapter of tractor.
 */
import { currentRuntime } from "../actor/current.ts";
import { Deadline } from "../deadline.ts";
import { TimeoutError } from "../errors.ts";
import { ambientTask } from "../rpc/task.ts";
import type { PeerInfo, Portal, PortalGroup } from "../rpc/types.ts";
import { type AddressInput, normalizeAddress } from "../transport/address.ts";
import { checkActorName } from "../wire/actor-name.ts";
import { Registries } from "./registries.ts";
import { connectedLinks, registryAt, type RegistryPortal, registryPortal } from "./ask.ts";
import { registryPatienceMs } from "./bootstrap.ts";
import { type FindOptions, Lookup, type WaitOptions } from "./lookup.ts";
import { type QueryResult, queryKnown, resultOf } from "./query-result.ts";

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
/**
 * Finds the last registered actor of a name and connects to it.
 *
 * @throws {ActorNotFoundError} when there is none; all else as for `onlyFirst: false`
 */
export function findActor<M = unknown>(
  name: string,
  options: FindOptions & { readonly onlyFirst?: true; readonly raiseOnNone: true },
): Promise<Portal<M>>;
/** Finds the last registered actor of a name and connects to it, or returns null. Throws as for `onlyFirst: false`. */
export function findActor<M = unknown>(
  name: string,
  options?: FindOptions & { readonly onlyFirst?: true },
): Promise<Portal<M> | null>;
/** Finds one actor or all of them, by an `onlyFirst` that is known at run time only. */
export function findActor<M = unknown>(
  name: string,
  options: FindOptions & { readonly raiseOnNone: true },
): Promise<Portal<M> | PortalGroup<M>>;
export function findActor<M = unknown>(
  name: string,
  options?: FindOptions,
): Promise<Portal<M> | PortalGroup<M> | null>;
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
export function queryActor(name: string, options: WaitOptions = {}): Promise<QueryResult> {
  try {
    return queryShortly(name, options) ?? new Lookup(name, atRegistry(options)).query();
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * The short ways to an answer: from memory, and from the only registrar when nothing bounds the wait and nobody of that
 * name is connected. Without async functions, each of which costs as much as an answer from memory does (rows
 * `lookup.cached` and `lookup.registrar.unix`). Undefined when it is not as simple as that.
 */
function queryShortly(name: string, options: WaitOptions): Promise<QueryResult> | undefined {
  const { signal, timeout, registryAddr } = options;
  if (registryAddr !== undefined) return undefined;
  signal?.throwIfAborted();
  const runtime = currentRuntime();
  const registries = Registries.of(runtime);
  const known = queryKnown(registries, name);
  if (known !== undefined) return Promise.resolve(known);
  const link = registries.onlyLink;
  if (link === undefined || runtime.peers.byName(name) !== undefined) return undefined;
  if (signal !== undefined || timeout !== undefined) return undefined;
  const task = ambientTask();
  if (task?.aborted) throw task.reason;
  checkActorName(name);
  const answer = Promise.resolve(link.lookup(name)).then(
    (found) => resultOf(found, link.session),
    (error: unknown) => {
      if (link.isOpen || error instanceof TimeoutError) throw error;
      // it ended under the question: another will take over
      return new Lookup(name, options).query();
    },
  );
  return task === undefined ? answer : task.follow(answer);
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
  const deadline = new Deadline({ timeout: registryPatienceMs(runtime.limits) }, "getRegistry");
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
