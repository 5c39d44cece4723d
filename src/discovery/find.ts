/** `findActor`: finding actors by name. Follows the discovery chapter of tractor. */
import { ActorNotFoundError, causeOf, messagesOf } from "../errors.ts";
import { portalGroup, RemotePortal } from "../rpc/portal.ts";
import type { Portal, PortalGroup } from "../rpc/types.ts";
import { askAll, askAny } from "./ask.ts";
import { connectedPeer } from "./connected.ts";
import { knownFor } from "./known.ts";
import { loadOf } from "./load.ts";
import { type FindOptions, Lookup } from "./lookup.ts";
import type { Source } from "./lookup-record.ts";
import { reach, reachFirst, staying } from "./reach.ts";
import type { Found } from "./registration.ts";

/**
 * Finds an actor by name and connects to it: the last registered one, or null.
 *
 * With `onlyFirst: false` it connects to every live instance, and gives one portal each. Instances that can't be reached
 * are passed over; when none is left the result is null. `where` and `needs` leave out instances in either case, and
 * `pick` says which one to take.
 *
 * @throws {ActorNotFoundError} with `raiseOnNone`, when there is none; `cause` holds any failed dials, or for each of the
 *   last few instances what it lacks
 * @throws {RegistryUnavailableError} when no registrar could be asked, or none is known and other hosts may have one, but
 *   the registrar can't reach the cluster's store; `cause` says why for each
 * @throws {TimeoutError} when a peer or the registrar is silent, or `timeout` passes; `stage` says in which step
 * @throws {ActorNameError | AddressError | TypeError | RangeError} when an argument is malformed
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
  try {
    const found = options.onlyFirst === false ? await findAll<M>(lookup) : await findOne<M>(lookup);
    const none = found === null || (Array.isArray(found) && found.length === 0);
    if (none && lookup.registryAddrs === undefined) lookup.registrars.checkMiss(name);
    if (none && options.raiseOnNone) throw notFound(lookup);
    return found;
  } catch (error) {
    throw lookup.reported(error);
  }
}

/** The actor to pick, by default the last registered, or the next one that can be reached. */
export async function findOne<M>(lookup: Lookup): Promise<Portal<M> | null> {
  const local = lookup.registryAddrs === undefined ? knownAndStaying(lookup) : undefined;
  // a connection says nothing of other instances, nor of what its peer has registered
  if (local === undefined && lookup.selection === undefined) {
    const peer = connectedPeer(lookup);
    if (peer !== undefined) {
      lookup.recorded?.byPeer(peer);
      return new RemotePortal<M>(peer.acquire().handler);
    }
  }
  const found = local ?? (await askAny(lookup));
  const fit = fitting(lookup, found);
  const portal = await reachOne<M>(lookup, fit, found, local && lookup.registrars.memory);
  if (portal !== null || fit.length === 0 || !hasSeveralRegistrars(lookup)) return portal;
  // the first registrar to answer knew only dead ones; another may know a live one
  const tried = new Set(fit.map(({ id }) => id.uuid));
  const all = await askAll(lookup);
  const others = lookup.filter(all).filter(({ id }) => !tried.has(id.uuid));
  return await reachOne<M>(lookup, others, all);
}

/**
 * What is known without asking. When all of them leave it is forgotten, and undefined: the registrars are asked anew, since they
 * may know another one by now.
 */
function knownAndStaying(lookup: Lookup): Found | undefined {
  const known = knownFor(lookup);
  if (known === undefined || known.length === 0 || staying(lookup, known).length > 0) return known;
  for (const { cache } of lookup.registrars.links) cache.drop(lookup.name);
  return undefined;
}

/** Those that the caller wants. If none is, the failures say why. */
function fitting(lookup: Lookup, found: Found): Found {
  const fit = lookup.filter(found);
  if (fit.length === 0 && lookup.selection !== undefined)
    lookup.record.failures.push(...lookup.selection.lacks(found));
  return fit;
}

function hasSeveralRegistrars({ registrars, registryAddrs }: Lookup): boolean {
  return (registryAddrs?.length ?? registrars.links.length) > 1;
}

/** Connects to the one to pick, or the next that can be reached. `found`: those among which these are the ones that fit. */
async function reachOne<M>(
  lookup: Lookup,
  fit: Found,
  found: Found,
  source?: Source,
): Promise<Portal<M> | null> {
  const { runtime, selection } = lookup;
  const ordered = selection?.order(fit, (id) => loadOf(runtime, id)) ?? fit.toReversed();
  lookup.consider(ordered, found, source);
  return (await reachFirst<M>(lookup, ordered)) ?? null;
}

/** Every actor of the name that can be reached, each once. */
export async function findAll<M>(lookup: Lookup): Promise<PortalGroup<M>> {
  lookup.wantsAll = true;
  // no single cache has them all: each registrar is asked, or its cache
  const found = await askAll(lookup);
  const byUuid = new Map(fitting(lookup, found).map((one) => [one.id.uuid, one]));
  const each = Array.from(byUuid.values());
  lookup.consider(each, found);
  const results = await Promise.allSettled(each.map((one) => reach<M>(lookup, one)));
  const portals = results.flatMap((result) => (result.status === "fulfilled" ? (result.value ?? []) : []));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined && (portals.length === 0 || lookup.deadline.signal?.aborted)) {
    await portalGroup(portals)[Symbol.asyncDispose]();
    throw failed.reason;
  }
  return portalGroup(portals);
}

function notFound({ name, record, wantsDetails }: Lookup): ActorNotFoundError {
  const { failures } = record;
  const why = failures.length > 0 ? `; ${messagesOf(failures)}` : "";
  const kind = wantsDetails ? " that fits" : "";
  return new ActorNotFoundError(`no live actor named "${name}"${kind}${why}`, { cause: causeOf(failures) });
}
