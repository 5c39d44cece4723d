/** A registration as users see it, and as it travels: `[uuid, pid, host, addrs, revision]`, its name known from context. */
import { FrameError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import {
  type Address,
  localizeAddress,
  parseAddress,
  qualifyAddress,
  rankAddresses,
} from "../transport/address.ts";
import { hostId, isLoopback } from "../transport/host.ts";
import type { Entry } from "./table.ts";

/** More than any host has interfaces worth listening on. */
const maxAddresses = 256;

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

/** @throws {FrameError} when it is malformed */
export function decodeRegistration(name: string, form: unknown): Registration {
  const [uuid, pid, host, addrs, revision] = Array.isArray(form) ? (form as unknown[]) : [];
  if (
    typeof uuid !== "string" ||
    typeof pid !== "number" ||
    typeof host !== "string" ||
    typeof revision !== "number"
  ) {
    throw new FrameError(`malformed registration of "${name}" from a registrar`);
  }
  return { id: { name, uuid, pid, host }, addrs: decodeAddresses(addrs), revision };
}

function decodeAddresses(addrs: unknown): Address[] {
  const own = hostId();
  if (!Array.isArray(addrs)) throw new FrameError("malformed addresses in a registration");
  // one that cannot be read is somebody else's fault, not the registrar's: the others may do
  return addrs.filter(isAddress).map((addr) => localizeAddress(addr, own));
}

function isAddress(addr: unknown): addr is Address {
  try {
    parseAddress(addr as string);
    return true;
  } catch {
    return false;
  }
}

/** @throws {FrameError} when one is malformed */
function checkAddresses(addrs: unknown): Address[] {
  if (!Array.isArray(addrs)) throw new FrameError("malformed addresses in a registration");
  if (!addrs.every(isAddress)) throw new FrameError("malformed address in a registration");
  return addrs;
}

/** Addresses that a peer of `host` wants registered, as the table keeps them. @throws {FrameError} when one is malformed */
export function readRegisteredAddresses(addrs: unknown, host: string): Address[] {
  if (Array.isArray(addrs) && addrs.length > maxAddresses) {
    throw new FrameError(`an actor may register ${maxAddresses} addresses, not ${addrs.length}`);
  }
  return checkAddresses(checkAddresses(addrs).map((addr) => qualifyAddress(addr, host)));
}

/**
 * The addresses of an instance in the order of dialling. As `rankAddresses`, but the loopback of another host comes
 * last: most likely it is not this one's, and when the two only differ in a mount namespace it is.
 */
export function dialOrder(registration: Registration): Address[] {
  const ranked = rankAddresses(registration.addrs);
  if (registration.id.host === hostId()) return ranked;
  const foreign = (addr: Address): boolean => {
    const parsed = parseAddress(addr);
    return parsed.transport === "tcp" && isLoopback(parsed.host);
  };
  return [...ranked.filter((addr) => !foreign(addr)), ...ranked.filter(foreign)];
}
