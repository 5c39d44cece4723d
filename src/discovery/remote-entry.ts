/**
 * An actor as a shared directory has it. The store's key says on which host, and which actor by its uuid; the value is
 * msgpack of `[name, pid, addrs, order, details]`, the details as in a registration on the wire.
 */
import type { Details } from "../actor/details.ts";
import { FrameError } from "../errors.ts";
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { decode } from "../wire/decode.ts";
import { encodeMessage } from "../wire/encode.ts";
import { decodeDetails, noDetails } from "./details.ts";
import { encodeDetails } from "./registration.ts";
import type { StoredRegistration } from "./table.ts";

/** A number that grows with each change of a store. Revisions of different stores can't be compared. */
export type Revision = number;

/** What an entry is compared by, to order the instances of a name. */
export interface Place {
  readonly created: Revision;
  readonly order: number;
}

/** Orders instances by registration: across hosts by the store's revision, within one host by the host's own order. */
export function comparePlaces(a: Place, b: Place): number {
  return a.created - b.created || a.order - b.order;
}

/** An actor of any host, decoded when it is first asked for more than its name. */
export class RemoteEntry implements Place {
  readonly host: string;
  readonly uuid: string;
  readonly name: string;
  /** The revision since which the store has had it without a break: another lease of its host doesn't change that. */
  readonly created: Revision;
  /** The revision of its last change. */
  readonly changed: Revision;
  /** Its place among the entries of its host: grows in the order of registration. */
  readonly order: number;
  /** `entryDigest` of its value. */
  readonly digest: number;
  #bytes: Uint8Array | undefined;
  #pid = 0;
  #addrs: readonly Address[] = [];
  #details: Details | undefined;

  /**
   * Copies `value`, which may be a part of something larger.
   *
   * @throws {FrameError} when the value isn't an entry's
   */
  constructor(host: string, uuid: string, value: Uint8Array, created: Revision, changed: Revision) {
    const [name, , , order] = fieldsOf(value);
    if (typeof name !== "string" || typeof order !== "number")
      throw new FrameError(`malformed entry of ${uuid} in the directory`);
    this.host = host;
    this.uuid = uuid;
    this.name = name;
    this.order = order;
    this.created = created;
    this.changed = changed;
    this.digest = entryDigest(uuid, value);
    this.#bytes = value.slice();
  }

  get pid(): number {
    this.#read();
    return this.#pid;
  }

  /** As the host registered them, each qualified with the host that can dial it. */
  get addrs(): readonly Address[] {
    this.#read();
    return this.#addrs;
  }

  get details(): Details {
    this.#read();
    return this.#details!;
  }

  get id(): ActorId {
    return { name: this.name, uuid: this.uuid, pid: this.pid, host: this.host };
  }

  #read(): void {
    if (this.#bytes === undefined) return;
    const [, pid, addrs, , details] = fieldsOf(this.#bytes);
    if (typeof pid === "number") this.#pid = pid;
    if (Array.isArray(addrs)) this.#addrs = addrs.filter((addr): addr is Address => typeof addr === "string");
    this.#details = readDetails(details);
    this.#bytes = undefined;
  }
}

/** Of an actor whose details can't be read, as little as possible is known: it can be called all the same. */
function readDetails(form: unknown): Details {
  try {
    return decodeDetails(form);
  } catch {
    return noDetails;
  }
}

const scratch = Buffer.allocUnsafeSlow(4_096);
/** msgpackr wants room for the length of a frame before the message. */
const scratchStart = 8;

/** The value of an actor's entry. `order` must grow with each new registration of the host, and stay the same when one changes. */
export function encodeEntry(stored: StoredRegistration, order: number): Uint8Array {
  return encodeValue([stored.name, stored.pid, stored.addrs, order, encodeDetails(stored.details)]);
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
