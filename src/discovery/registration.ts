/**
 * A registered actor, in its three forms:
 *
 * - `StoredRegistration` (stored-registration.ts): the registrar's own record, with addresses that any host can read;
 * - on the wire, the name being known from context: a text (brief.ts); for those who ask for the details (details.ts)
 *   `[uuid, pid, host, addrs, revision, details]`;
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
export abstract class FoundRegistration {
  abstract readonly id: ActorId;
  abstract readonly addrs: readonly Address[];
  #best: Address | null | undefined;

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

/** One that is known from elsewhere than a registrar's answer. */
export class PlainFound extends FoundRegistration {
  readonly id: ActorId;
  readonly addrs: readonly Address[];

  constructor(id: ActorId, addrs: readonly Address[]) {
    super();
    this.id = id;
    this.addrs = addrs;
  }
}

/** One in brief form, which is read when somebody wants to know: most names in a cache are asked for once. */
class BriefFound extends FoundRegistration {
  readonly #name: string;
  readonly #brief: string;
  #id: ActorId | undefined;
  #addrs: readonly Address[] | undefined;

  constructor(name: string, text: string) {
    super();
    this.#name = name;
    this.#brief = text;
  }

  get id(): ActorId {
    if (this.#id === undefined) this.#read();
    return this.#id!;
  }

  get addrs(): readonly Address[] {
    if (this.#addrs === undefined) this.#read();
    return this.#addrs!;
  }

  #read(): void {
    const { id, addrs } = briefs().readBrief(this.#name, this.#brief);
    this.#id = id;
    this.#addrs = addrs;
  }
}

/** A registration that was asked for with its details. */
export class DetailedFound extends PlainFound {
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

/** A registrar's answer to a lookup: one that is alone stays in brief form until somebody wants to know. */
export type Answered = string | Found;

/** The registrations that an answer for the name consists of. */
export function listOf(name: string, answered: Answered): Found {
  return typeof answered === "string" ? [new BriefFound(name, answered)] : answered;
}

/** The last of them. */
export function lastOf(name: string, answered: Answered): FoundRegistration | undefined {
  return typeof answered === "string" ? new BriefFound(name, answered) : answered[answered.length - 1];
}

/** A stored registration as shown to an actor on `host`. */
export function registrationOf(stored: StoredRegistration, host: string): Registration {
  const { id, revision, details } = stored;
  return { id, addrs: addressesFor(stored, host), revision, ...details };
}

/** A stored registration as a lookup in the registrar on `host` has it. */
export function foundHere(stored: StoredRegistration, host: string): FoundRegistration {
  return new PlainFound(stored.id, addressesFor(stored, host));
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
  return new PlainFound(id, addrs);
}

/** What a registrar sends of a registration, unless it is asked for the details. */
export function encodeRegistration({ uuid, pid, revision, host, addrs }: StoredRegistration): string {
  return briefs().writeBrief(uuid, pid, revision, host, addrs);
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

/** Loaded by the first lookup: a child that makes none starts sooner without it (row `spawn`). */
let brief: typeof import("./brief.ts") | undefined;

function briefs(): typeof import("./brief.ts") {
  return (brief ??= require("./brief.ts") as typeof import("./brief.ts"));
}

/**
 * Reads what `encodeRegistration` or `encodeDetailed` made, and takes over its arrays.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeRegistration(name: string, form: unknown): FoundRegistration {
  if (briefs().isBrief(form)) return new BriefFound(name, form);
  return detailedOf(name, form);
}

function detailedOf(name: string, form: unknown): DetailedFound {
  const [uuid, pid, host, addrs, revision, details] = Array.isArray(form) ? (form as unknown[]) : [];
  if (
    typeof uuid !== "string" ||
    typeof pid !== "number" ||
    typeof host !== "string" ||
    !Array.isArray(addrs) ||
    typeof revision !== "number" ||
    details === undefined
  ) {
    throw new FrameError(`malformed registration of "${name}" from a registrar`);
  }
  // most actors never ask for details, and start sooner without the file (row `spawn`)
  const { decodeDetails } = require("./details.ts") as typeof import("./details.ts");
  return new DetailedFound({ name, uuid, pid, host }, localized(addrs), revision, decodeDetails(details));
}

/**
 * Reads what `encodeDetailed` made as users see it, and takes over its arrays.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeDetailed(name: string, form: unknown): Registration {
  const { id, addrs, revision, details } = detailedOf(name, form);
  return { id, addrs: addrs as Address[], revision, ...details };
}

/**
 * Reads a registrar's answer to a lookup: one brief form, or a list, which is changed in place.
 *
 * @throws {FrameError} when it is malformed
 */
export function decodeAnswer(name: string, answer: unknown): Answered {
  return briefs().isBrief(answer) ? answer : decodeRegistrations(name, answer);
}

/** Reads a list of registrations, in place. @throws {FrameError} when it is malformed */
export function decodeRegistrations(name: string, answer: unknown): FoundRegistration[] {
  if (!Array.isArray(answer)) throw new FrameError(`a registrar's answer for "${name}" is not a list`);
  const list = answer as unknown[];
  for (let at = 0; at < list.length; at++) list[at] = decodeRegistration(name, list[at]);
  return list as FoundRegistration[];
}

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
