/** Actors of a name that are connected already. */
import { currentRuntime } from "../actor/current.ts";
import type { Peer } from "../channel/peer.ts";
import type { Session } from "../rpc/session.ts";
import type { PeerInfo } from "../rpc/types.ts";
import type { Lookup } from "./lookup.ts";

/**
 * The connected actors of that name, in the order of connecting, or null when there is none. Asks no registrar.
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

/** The last connected peer that can answer for the name, unless the lookup names the registrars to ask. */
export function connectedPeer(lookup: Lookup): Peer<Session> | undefined {
  if (lookup.registryAddrs !== undefined) return undefined;
  const peers = lookup.runtime.peers.byName(lookup.name);
  return peers?.findLast(
    // any peer can claim a name; it answers for that name only once it is registered
    (peer) =>
      peer.isVouched &&
      peer.isReady &&
      peer.isOpen &&
      peer.leaving === undefined &&
      lookup.allows(peer.transport),
  );
}
