/** A registration as users see it, and as it travels: `[uuid, pid, host, addrs, revision]`, its name known from context. */
import { FrameError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import { type Address, isAddress, localizeAddress, qualifyAddress } from "../transport/address.ts";
import type { Entry } from "./table.ts";

/** One registered actor, with the table's revision of that change. */
export interface Registration {
  readonly id: ActorId;
  readonly addrs: Address[];
  readonly revision: number;
  readonly metadata?: Record<string, unknown>;
}

/** What a registrar offers on `portal.run`. */
export interface RegistrarApi {
  /** The last registered actor of that name. */
  findActor(name: string): Registration | null;
  /** All actors of that name, in the order of registration. */
  findActors(name: string): Registration[];
  /** The first registered actor of that name, as soon as there is one. */
  waitForActor(name: string): Registration;
  listActors(): Registration[];
}

/** An entry as it is shown on `host`. */
export function registrationOf(entry: Entry, host: string): Registration {
  return {
    id: entry.id,
    addrs: entry.addrs.map((addr) => localizeAddress(addr, host)),
    revision: entry.revision,
  };
}

export function encodeRegistration(entry: Entry): unknown[] {
  return [entry.uuid, entry.pid, entry.host, entry.addrs, entry.revision];
}

/** @throws {FrameError} when one is malformed */
function checkAddresses(addrs: unknown): Address[] {
  if (!Array.isArray(addrs)) throw new FrameError("malformed addresses in a registration");
  if (!addrs.every(isAddress)) throw new FrameError("malformed address in a registration");
  return addrs;
}

/**
 * Addresses that a peer of `host` wants registered, as the table keeps them.
 *
 * @throws {LimitError} when there are too many, or one is too long
 * @throws {FrameError} when one is malformed
 */
export function readRegisteredAddresses(addrs: unknown, host: string): Address[] {
  if (Array.isArray(addrs)) checkAddressLimits(addrs);
  return checkAddresses(addrs).map((addr) => qualifyAddress(addr, host));
}
