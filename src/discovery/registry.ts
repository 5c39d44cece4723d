/** Portals to registrars: this actor's own, or the one that serves an address. */
import { currentRuntime } from "../actor/current.ts";
import { RefusedError } from "../channel/handshake.ts";
import type { Peer } from "../channel/peer.ts";
import { Deadline } from "../deadline.ts";
import { asError, RegistryUnavailableError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import { type LocalPortal, RemotePortal } from "../rpc/portal.ts";
import type { Session } from "../rpc/session.ts";
import { outsideTasks } from "../rpc/task.ts";
import type { Portal } from "../rpc/types.ts";
import { type Address, type AddressInput, normalizeAddress } from "../transport/address.ts";
import type { RegistrarApi } from "./registrar-api.ts";
import { RegistrarLink, registryPatienceMs } from "./registrar-link.ts";
import { Registrars } from "./registrars.ts";

export type RegistryPortal = Portal<RegistrarApi> | LocalPortal<RegistrarApi>;

/**
 * Opens a portal to a registrar: this actor's own, or the one that serves `addr`. Uses an existing connection if there is
 * one.
 *
 * @throws {RegistryUnavailableError} when no registrar answers there
 */
export async function getRegistry(addr?: AddressInput): Promise<RegistryPortal> {
  const runtime = currentRuntime();
  const registrars = Registrars.of(runtime);
  const at = addr === undefined ? undefined : normalizeAddress(addr);
  const since = performance.now();
  try {
    if (at !== undefined) return await registryAt(registrars, at, new Deadline({}, "getRegistry"));
    const timeout = registryPatienceMs(runtime.limits);
    return await anyRegistry(registrars, new Deadline({ timeout }, "getRegistry"));
  } catch (error) {
    throw withReport(error, registrars, at, since);
  }
}

/** The error of a lookup for a registrar, with a report of that. */
function withReport(
  error: unknown,
  registrars: Registrars,
  addr: Address | undefined,
  since: number,
): unknown {
  const { LookupRecord } = require("./lookup-record.ts") as typeof import("./lookup-record.ts");
  const registryAddrs = addr === undefined ? undefined : [addr];
  const allows = (): boolean => true;
  const lookup = { name: "", registrars, registryAddrs, selection: undefined, allows };
  const record = new LookupRecord(lookup, since);
  if (addr !== undefined) record.ask(addr, since).failed(error);
  return record.attachTo(error);
}

/** A portal to the registrar of that session. */
export function registryPortal(session: Session): Portal<RegistrarApi> {
  // if the registrar is gone, the portal says so when it is used
  if (session.peer.isOpen) session.peer.acquire();
  return new RemotePortal<RegistrarApi>(session, "registrar.");
}

/** A portal to the first of this actor's registrars, waiting for one while there is none. */
export async function anyRegistry(registrars: Registrars, deadline: Deadline): Promise<RegistryPortal> {
  const [link] = await connectedLinks(registrars, deadline);
  return link === undefined ? registrars.localPortal : registryPortal(link.session);
}

/** The links to registrars, waiting for one while there is none. Empty when this actor is the registrar itself. */
export async function connectedLinks(
  registrars: Registrars,
  deadline: Deadline,
): Promise<readonly RegistrarLink[]> {
  for (;;) {
    if (registrars.isRegistrar) return [];
    const { links, changed } = registrars;
    if (links.length > 0) return links;
    try {
      await deadline.race("lookup", changed);
    } catch (error) {
      if (error instanceof TimeoutError) throw registrars.unavailable();
      throw error;
    }
  }
}

/** A portal to the registrar that serves `addr`, over an existing connection or a new one. */
export async function registryAt(
  registrars: Registrars,
  addr: Address,
  deadline: Deadline,
): Promise<RegistryPortal> {
  const registrar = await reachRegistrar(registrars, addr, deadline);
  if (registrar === "self") return registrars.localPortal;
  if (registrar instanceof RegistrarLink) return registryPortal(registrar.session);
  return new RemotePortal<RegistrarApi>(registrar.handler, "registrar.");
}

/**
 * As `registrarAt`, for users.
 *
 * @throws {RegistryUnavailableError} when no registrar answers there
 * @throws {TimeoutError} when the actor at `addr` is silent
 */
export async function reachRegistrar(
  registrars: Registrars,
  addr: Address,
  deadline: Deadline,
): Promise<"self" | RegistrarLink | Peer<Session>> {
  try {
    return await registrarAt(registrars, addr, deadline);
  } catch (error) {
    const isClear = error instanceof TimeoutError || error instanceof RegistryUnavailableError;
    if (isClear || deadline.signal?.aborted) throw error;
    throw new RegistryUnavailableError(`no registrar answers at ${addr}: ${asError(error).message}`, {
      cause: error,
    });
  }
}

/**
 * The registrar that serves `addr`: this actor itself, a linked one, or a peer that is acquired for the caller, who must
 * release it.
 *
 * @throws {RegistryUnavailableError} when the actor at `addr` is not a registrar
 * @throws what the dial fails with
 */
export async function registrarAt(
  registrars: Registrars,
  addr: Address,
  deadline: Deadline,
): Promise<"self" | RegistrarLink | Peer<Session>> {
  const { runtime } = registrars;
  if (registrars.isRegistrar && runtime.addrs.includes(addr)) return "self";
  const link = registrars.linkTo(addr);
  if (link !== undefined) return link;
  let peer: Peer<Session>;
  try {
    peer = await outsideTasks(() => runtime.peers.connectTo(addr, deadline));
  } catch (error) {
    // another spelling of an own address
    if (registrars.isRegistrar && isOwnRefusal(error)) return "self";
    throw error;
  }
  if (peer.isRegistrar) return peer;
  peer.release();
  throw new RegistryUnavailableError(`${addr} is ${describeActor(peer.id)}, not a registrar`);
}

function isOwnRefusal(error: unknown): boolean {
  return error instanceof RefusedError && error.refusal === "self" && error.uuid !== undefined;
}
