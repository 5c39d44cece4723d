/**
 * A registered actor, in its three forms:
 *
 * - `StoredRegistration` (stored-registration.ts): the registrar's own record, with addresses that any host can read;
 * - `[uuid, pid, host, addrs, revision]`: on the wire, the name being known from context; in its detailed form with the
 *   details after that (details.ts);
 * - `FoundRegistration`: what a lookup keeps, ready to be dialled from here; `DetailedFound`, if it asked for details.
 *
 * `Registration` is the plain value that users see.
 */
import type { Details } from "../actor/details.ts";
import { FrameError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import {
  type Address,
  bestAddress,
  dialOrder,
  isAddress,
  localizeAddress,
  qualifyAddress,
} from "../transport/address.ts";
import { hostId } from "../transport/host.ts";
import type { StoredRegistration } from "./stored-registration.ts";

/** One registered actor, with the table's revision of that change. */
export interface Registration extends Details {
  readonly id: ActorId;
  readonly addrs: Address[];
  readonly revision: number;
}

/** A registered actor as a lookup finds it, and where it can be dialled from here. */
export class FoundRegistration {
  readonly id: ActorId;
  readonly addrs: readonly Address[];
  #best: Address | null | undefined;

  constructor(id: ActorId, addrs: readonly Address[]) {
    this.id = id;
    this.addrs = addrs;
  }

  /** The address to dial first, or null when there is none. Computed once: cached lookups ask for it each time. */
  get best(): Address | null {
    if (this.#best === undefined) this.#best = bestAddress(this.addrs, this.id.host) ?? null;
    return this.#best;
  }

  /** The addresses in the order of dialling. */
  dialOrder(): Address[] {
    // an unreadable address is the actor's fault, not the registrar's: its other addresses may do
    return dialOrder(this.addrs.filter(isAddress), this.id.host);
  }
}

/** A registration that was asked for with its details. */
export class DetailedFound extends FoundRegistration {
  readonly revision: number;
  readonly details: Details;

  constructor(id: ActorId, addrs: readonly Address[], revision: number, details: Details) {
    super(id, addrs);
    this.revision = revision;
    this.details = details;
  }
}

/** Whether all of them have their details. */
export function isDetailed(found: Found): boolean {
  return found.every((one) => one instanceof DetailedFound);
}

/** What is known of a name: its registrations, in the order of registration. */
export type Found = readonly FoundRegistration[];

/** A stored registration as shown to an actor on `host`. */
export function registrationOf(stored: StoredRegistration, host: string): Registration {
  const { id, revision, details } = stored;
  return { id, addrs: addressesFor(stored, host), revision, ...details };
}

/** A stored registration as a lookup in the registrar on `host` has it. */
export function foundHere(stored: StoredRegistration, host: string): FoundRegistration {
  return new FoundRegistration(stored.id, addressesFor(stored, host));
}

/** As `foundHere`, with the details. */
export function detailedHere(stored: StoredRegistration, host: string): DetailedFound {
  return new DetailedFound(stored.id, addressesFor(stored, host), stored.revision, stored.details);
}

function addressesFor({ addrs }: StoredRegistration, host: string): Address[] {
  return addrs.map((addr) => localizeAddress(addr, host));
}

/** A received registration as a lookup on its host has it. */
export function foundOf({ id, addrs }: Registration): FoundRegistration {
  return new FoundRegistration(id, addrs);
}

/** What a registrar sends of a registration, unless it is asked for the details. */
export function encodeRegistration(stored: StoredRegistration): unknown[] {
  return [stored.uuid, stored.pid, stored.host, stored.addrs, stored.revision];
}

/** What a registrar sends of a registration to those who ask for the details, as of `revision`. */
export function encodeDetailed(stored: StoredRegistration, revision: number = stored.revision): unknown[] {
  return [stored.uuid, stored.pid, stored.host, stored.addrs, revision, encodeDetails(stored.details)];
}

/** Details as they travel: from the actor to a registrar, and from there to those who ask. */
export function encodeDetails(details: Details): unknown[] {
  const { version, metadata, parent, startedAt, functions, state } = details;
  return [version, metadata, parent, startedAt, functions.map(({ name, verb }) => [name, verb]), state];
}

/**
 * Reads what `encodeRegistration` or `encodeDetailed` made, and takes over its arrays.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeRegistration(name: string, form: unknown): FoundRegistration {
  const fields = Array.isArray(form) ? (form as unknown[]) : [];
  const uuid = fields[0];
  const pid = fields[1];
  const host = fields[2];
  const addrs = fields[3];
  const revision = fields[4];
  if (
    typeof uuid !== "string" ||
    typeof pid !== "number" ||
    typeof host !== "string" ||
    !Array.isArray(addrs) ||
    typeof revision !== "number"
  ) {
    throw new FrameError(`malformed registration of "${name}" from a registrar`);
  }
  const id = { name, uuid, pid, host };
  if (fields.length <= detailsAt) return new FoundRegistration(id, localized(addrs));
  // most actors never ask for details, and start sooner without the file (row `spawn`)
  const { decodeDetails } = require("./details.ts") as typeof import("./details.ts");
  return new DetailedFound(id, localized(addrs), revision, decodeDetails(fields[detailsAt]));
}

/**
 * Reads what `encodeDetailed` made as users see it, and takes over its arrays.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeDetailed(name: string, form: unknown): Registration {
  const found = decodeRegistration(name, form);
  if (!(found instanceof DetailedFound))
    throw new FrameError(`a registration of "${name}" without details from a registrar`);
  const { id, addrs, revision, details } = found;
  return { id, addrs: addrs as Address[], revision, ...details };
}

/**
 * Reads a registrar's answer to a lookup, in place: the list is as large as what is kept of it.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeRegistrations(name: string, answer: unknown): FoundRegistration[] {
  if (!Array.isArray(answer)) throw new FrameError(`a registrar's answer for "${name}" is not a list`);
  const list = answer as unknown[];
  for (let at = 0; at < list.length; at++) list[at] = decodeRegistration(name, list[at]);
  return list as FoundRegistration[];
}

/** The place of the details in the detailed form. */
const detailsAt = 5;

function localized(addrs: unknown[]): Address[] {
  const own = hostId();
  for (let at = 0; at < addrs.length; at++) {
    const addr = addrs[at];
    if (typeof addr !== "string") return localized(addrs.filter((one) => typeof one === "string"));
    addrs[at] = localizeAddress(addr as Address, own);
  }
  return addrs as Address[];
}

/** The addresses that an actor on `host` asks a registrar to register. */
export function encodeAddresses(addrs: readonly Address[], host: string): Address[] {
  return addrs.map((addr) => qualifyAddress(addr, host));
}

/**
 * Reads the addresses that a peer on `host` asks to register, as the table keeps them.
 *
 * @throws {LimitError} when there are too many, or one is too long
 * @throws {FrameError} when one is malformed
 */
export function decodeAddresses(addrs: unknown, host: string): Address[] {
  if (Array.isArray(addrs)) checkAddressLimits(addrs);
  return checkAddresses(addrs).map((addr) => qualifyAddress(addr, host));
}

/** @throws {FrameError} when one is malformed */
export function checkAddresses(addrs: unknown): Address[] {
  if (!Array.isArray(addrs)) throw new FrameError("malformed addresses");
  if (!addrs.every(isAddress)) throw new FrameError("malformed address");
  return addrs;
}
