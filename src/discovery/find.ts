/** `findActor`: finding actors by name. Follows the discovery chapter of tractor. */
import { ActorNotFoundError, causeOf, messagesOf } from "../errors.ts";
import { portalGroup, RemotePortal } from "../rpc/portal.ts";
import type { Portal, PortalGroup } from "../rpc/types.ts";
import { askAll, askAny } from "./ask.ts";
import { connectedPeer } from "./connected.ts";
import { known } from "./known.ts";
import { type FindOptions, Lookup } from "./lookup.ts";
import { reach, reachFirst } from "./reach.ts";
import type { Found } from "./registration.ts";

/**
 * Finds an actor by name and connects to it: the last registered one, or null.
 *
 * With `onlyFirst: false` it connects to every live instance, and gives one portal each. Instances that can't be reached
 * are passed over; when none is left the result is null.
 *
 * @throws {ActorNotFoundError} with `raiseOnNone`, when there is none; `cause` holds any failed dials
 * @throws {RegistryUnavailableError} when no registrar could be asked; `cause` says why for each
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
  const found = options.onlyFirst === false ? await findAll<M>(lookup) : await findLast<M>(lookup);
  const none = found === null || (Array.isArray(found) && found.length === 0);
  if (none && options.raiseOnNone) throw notFound(lookup);
  return found;
}

/** The last registered actor that can be reached. */
export async function findLast<M>(lookup: Lookup): Promise<Portal<M> | null> {
  const { registrars, registryAddrs } = lookup;
  const local = registryAddrs === undefined ? known(registrars, lookup.name) : undefined;
  if (local === undefined) {
    const peer = connectedPeer(lookup);
    if (peer !== undefined) return new RemotePortal<M>(peer.acquire().handler);
  }
  const found = local ?? (await askAny(lookup));
  const portal = await reachLast<M>(lookup, found, new Set());
  if (portal !== null || found.length === 0 || !hasSeveralRegistrars(lookup)) return portal;
  // the first registrar to answer knew only dead ones; another may know a live one
  const tried = new Set(found.map(({ id }) => id.uuid));
  return await reachLast<M>(lookup, await askAll(lookup), tried);
}

function hasSeveralRegistrars({ registrars, registryAddrs }: Lookup): boolean {
  return (registryAddrs?.length ?? registrars.links.length) > 1;
}

/** Connects to the last one that can be reached, leaving out the uuids that were tried. */
async function reachLast<M>(
  lookup: Lookup,
  found: Found,
  tried: ReadonlySet<string>,
): Promise<Portal<M> | null> {
  const untried = found.toReversed().filter(({ id }) => !tried.has(id.uuid));
  return (await reachFirst<M>(lookup, untried)) ?? null;
}

/** Every actor of the name that can be reached, each once. */
async function findAll<M>(lookup: Lookup): Promise<PortalGroup<M>> {
  // no single cache has them all: each registrar is asked, or its cache
  const found = await askAll(lookup);
  const byUuid = new Map(found.map((one) => [one.id.uuid, one]));
  const results = await Promise.allSettled(Array.from(byUuid.values(), (one) => reach<M>(lookup, one)));
  const portals = results.flatMap((result) => (result.status === "fulfilled" ? (result.value ?? []) : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined && (portals.length === 0 || lookup.deadline.signal?.aborted)) {
    await portalGroup(portals)[Symbol.asyncDispose]();
    throw failed.reason;
  }
  return portalGroup(portals);
}

function notFound({ name, failures }: Lookup): ActorNotFoundError {
  const why = failures.length > 0 ? `; ${messagesOf(failures)}` : "";
  return new ActorNotFoundError(`no live actor named "${name}"${why}`, { cause: causeOf(failures) });
}
