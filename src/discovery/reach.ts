/** Connects to the registrations that a lookup found. */
import { type Peer, UnreachableError } from "../channel/peer.ts";
import type { Bounds } from "../deadline.ts";
import { asError, TimeoutError, TransportClosedError, UnauthenticatedError } from "../errors.ts";
import { logger } from "../log.ts";
import { LocalPortal, RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { parseAddress } from "../transport/address.ts";
import { Lookup } from "./lookup.ts";
import { type Found, foundOf, type FoundRegistration, type Registration } from "./registration.ts";
import { staggeredRace } from "./staggered-race.ts";

const log = logger("discovery");

/**
 * Connects to the first of them, in their order, that can be reached. Undefined when none answers.
 *
 * @throws what kept an actor that is there from answering, when no other one answered
 */
export async function reachFirst<M>(lookup: Lookup, found: Found): Promise<Portal<M> | undefined> {
  return await staggeredRace<Portal<M>, FoundRegistration>(
    staying(lookup, found),
    (one) => reach<M>(lookup, one),
    (error) => isPresence(error) && !lookup.deadline.signal?.aborted,
    (portal) => void portal[Symbol.asyncDispose](),
  );
}

/**
 * Without those that have said to this actor that they leave: the registrar's push of that comes over another connection, and
 * may come later than what they refuse.
 */
export function staying({ runtime }: Lookup, found: Found): Found {
  const leaves = ({ id }: FoundRegistration): boolean => runtime.peers.get(id.uuid)?.hasLeft === true;
  return found.some(leaves) ? found.filter((one) => !leaves(one)) : found;
}

/** Whether an error means that the actor is there but can't be used: it is silent, or one side doesn't trust the other. */
function isPresence(error: unknown): boolean {
  return error instanceof TimeoutError || error instanceof UnauthenticatedError;
}

/** Connects to one registered actor. Undefined when no actor of that uuid answers at its addresses. */
export async function reach<M>(
  lookup: Lookup,
  registration: FoundRegistration,
): Promise<Portal<M> | undefined> {
  const { runtime } = lookup;
  const { uuid } = registration.id;
  if (uuid === runtime.uuid) {
    const portal = new LocalPortal<M>(runtime);
    lookup.recorded?.connected(uuid, portal.addr, "this actor itself");
    return portal;
  }
  const peer = await reachPeer(lookup, registration);
  return peer && new RemotePortal<M>(peer.handler);
}

/** As `reach`, for an actor that a registry lists. */
export async function reachRegistered<M>(
  actor: Registration,
  bounds: Bounds,
): Promise<Portal<M> | undefined> {
  return await reach<M>(Lookup.at(actor.id.name, bounds), foundOf(actor));
}

/** As `reach`, for another actor than this one. The caller owes the peer one `release`. */
export async function reachPeer(
  lookup: Lookup,
  registration: FoundRegistration,
): Promise<Peer<Session> | undefined> {
  const { runtime, transports } = lookup;
  const { id } = registration;
  const all = registration.dialOrder();
  const addrs =
    transports === undefined ? all : all.filter((addr) => transports.includes(parseAddress(addr).transport));
  try {
    const pid = id.host === runtime.id.host ? id.pid : undefined;
    const target = { name: id.name, uuid: id.uuid, pid, addrs, transports };
    const peer = await outsideTasks(() => runtime.peers.connect(target, lookup.deadline, lookup));
    // this actor's own registrars vouch for it; other registries may not share what they know
    if (lookup.registryAddrs === undefined) peer.isVouched = true;
    lookup.recorded?.connected(id.uuid, peer.addr);
    return peer;
  } catch (error) {
    if (!(error instanceof TransportClosedError)) throw error;
    log.info?.(asError(error).message);
    lookup.record.failures.push(error);
    if (error instanceof UnreachableError && addrs.length > 0)
      for (const link of lookup.registrars.links) link.report(id.uuid);
    return undefined;
  }
}
