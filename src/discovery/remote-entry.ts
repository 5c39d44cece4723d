/**
 * An actor as a shared directory has it. The store's key says on which host, and which actor by its uuid; the value is
 * msgpack of `[name, pid, addrs, order, details, isDraining?, host?]`. The details are those of a registration on the wire,
 * as bytes of msgpack: a registrar mirrors very many actors, and is asked for the details of few. The host is left out if it
 * is that of the key.
 */
import type { Details } from "../actor/details.ts";
import { asError, FrameError } from "../errors.ts";
import { type ActorId, idFault } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { checkAddressLimits } from "../transport/address-limits.ts";
import { actorNameFault } from "../wire/actor-name.ts";
import { decode } from "../wire/decode.ts";
import { encodeMessage } from "../wire/encode.ts";
import { encodeDetails } from "./registration.ts";
import { type Place, readDetails, type StoredRegistration } from "./stored-registration.ts";

/** A number that grows with each change of a store. Revisions of different stores can't be compared. */
export type Revision = number;

/** An actor of any host, as a directory has it. */
export class RemoteEntry implements Place {
  /** The host that has published it. */
  readonly host: string;
  readonly uuid: string;
  readonly name: string;
  readonly pid: number;
  /** The host that it runs on, which may be registered with the registrar of another. */
  actorHost: string;
  /** As the host registered them, each qualified with the host that can dial it. */
  readonly addrs: readonly Address[];
  /** The revision since which the store has had it without a break: another lease of its host doesn't change that. */
  readonly created: Revision;
  /** The revision of its last change. */
  readonly changed: Revision;
  /** Its place among the entries of its host: grows in the order of registration. */
  readonly order: number;
  /** Whether its details say that it drains. */
  readonly isDraining: boolean;
  /** Its details, which few need: `readDetails` reads them. */
  readonly encodedDetails: Uint8Array;
  /** `entryDigest` of its value. */
  readonly digest: number;

  /** Why it can't be read, if it can't: by another version of furrow, say. Then its name is empty. */
  readonly fault: string | undefined;

  /** Keeps nothing of `value`, which may be a part of something larger. */
  constructor(host: string, uuid: string, value: Uint8Array, created: Revision, changed: Revision) {
    const fields = readFields(value, uuid, host);
    this.host = host;
    this.uuid = uuid;
    this.name = fields.name;
    this.pid = fields.pid;
    this.actorHost = fields.actorHost ?? host;
    this.addrs = fields.addrs;
    this.order = fields.order;
    this.isDraining = fields.isDraining;
    this.encodedDetails = fields.details;
    this.fault = fields.fault;
    this.created = created;
    this.changed = changed;
    this.digest = entryDigest(uuid, value);
  }

  get details(): Details {
    return readDetails(this.encodedDetails);
  }

  get id(): ActorId {
    return { name: this.name, uuid: this.uuid, pid: this.pid, host: this.actorHost };
  }
}

interface Fields {
  readonly name: string;
  readonly pid: number;
  readonly addrs: readonly Address[];
  readonly order: number;
  readonly details: Uint8Array;
  readonly isDraining: boolean;
  readonly actorHost: string | undefined;
  readonly fault: string | undefined;
}

const noFields: Omit<Fields, "fault"> = {
  name: "",
  pid: 0,
  addrs: [],
  order: 0,
  details: new Uint8Array(),
  isDraining: false,
  actorHost: undefined,
};

function readFields(value: Uint8Array, uuid: string, publisher: string): Fields {
  let fields: unknown[];
  try {
    fields = fieldsOf(value);
  } catch (error) {
    return { ...noFields, fault: asError(error).message };
  }
  const [name, pid, addrs, order, details, isDraining, actorHost] = fields;
  const fault = typeof name === "string" ? actorNameFault(name) : "it has no name";
  if (typeof name !== "string" || fault !== undefined) return { ...noFields, fault };
  if (
    typeof pid !== "number" ||
    typeof order !== "number" ||
    !Array.isArray(addrs) ||
    !addrs.every((addr) => typeof addr === "string") ||
    !(details instanceof Uint8Array)
  )
    return { ...noFields, fault: "a field is of another type" };
  const host = typeof actorHost === "string" ? actorHost : undefined;
  const ofId = idFault({ uuid, pid, host: host ?? publisher });
  if (ofId !== undefined) return { ...noFields, fault: ofId };
  try {
    checkAddressLimits(addrs);
  } catch (error) {
    return { ...noFields, fault: asError(error).message };
  }
  return {
    name,
    pid,
    addrs: addrs as Address[],
    order,
    details: details.slice(),
    isDraining: isDraining === true,
    actorHost: host,
    fault,
  };
}

const scratch = Buffer.allocUnsafeSlow(4_096);
/** msgpackr wants room for the length of a frame before the message. */
const scratchStart = 8;

/**
 * The value of an actor's entry, published by `host`. `order` must grow with each new registration of the host, and stay the
 * same when one changes.
 */
export function encodeEntry(
  stored: StoredRegistration,
  order: number,
  host: string = stored.host,
): Uint8Array {
  const details = encodeValue(encodeDetails(stored.details));
  const fields: unknown[] = [stored.name, stored.pid, stored.addrs, order, details];
  if (stored.host !== host) fields.push(stored.isDraining, stored.host);
  else if (stored.isDraining) fields.push(true);
  return encodeValue(fields);
}

/** msgpack of a list, in memory of its own. */
export function encodeValue(list: readonly unknown[]): Uint8Array {
  const written = encodeMessage(list, scratch, scratchStart);
  if (typeof written === "number") return Uint8Array.prototype.slice.call(scratch, scratchStart, written);
  return Uint8Array.prototype.slice.call(written, written.start + 4, written.end);
}

/** Reads what `encodeValue` made. @throws {FrameError} when it isn't a list */
export function fieldsOf(value: Uint8Array): unknown[] {
  const fields = decode(value, 0, value.length);
  if (!Array.isArray(fields)) throw new FrameError("a value in the directory is not a list");
  return fields as unknown[];
}

/** A 32-bit number that stands for an entry and its value. */
export function entryDigest(uuid: string, value: Uint8Array): number {
  return Bun.hash.xxHash32(value, Bun.hash.xxHash32(uuid));
}
