/**
 * What a registrar keeps of a registered actor: one that is registered here, or one of another host that a shared directory
 * brought.
 */
import type { Details } from "../actor/details.ts";
import type { ActorId } from "../identity.ts";
import type { Address } from "../transport/address.ts";
import { decode } from "../wire/decode.ts";
import { decodeDetails, noDetails } from "./details.ts";

/**
 * A registration as the table keeps it. Flat, because a table may hold a million of them: six fields take 64 B, a
 * seventh makes it 80 (`memory.1000000`).
 */
export class StoredRegistration {
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  readonly host: string;
  readonly addrs: readonly Address[];
  readonly revision: number;

  constructor(id: Omit<ActorId, "host">, host: string, addrs: readonly Address[], revision: number) {
    this.name = id.name;
    this.uuid = id.uuid;
    this.pid = id.pid;
    this.host = host;
    this.addrs = addrs;
    this.revision = revision;
  }

  get id(): ActorId {
    return { name: this.name, uuid: this.uuid, pid: this.pid, host: this.host };
  }

  /** What the actor said about itself when it registered, or changed since. */
  get details(): Details {
    return noDetails;
  }

  get isDraining(): boolean {
    return false;
  }
}

/** A registration with details, in a class of its own: those without stay small. */
export class DetailedRegistration extends StoredRegistration {
  readonly given: Details;

  constructor(id: ActorId, host: string, addrs: readonly Address[], revision: number, given: Details) {
    super(id, host, addrs, revision);
    this.given = given;
  }

  override get details(): Details {
    return this.given;
  }

  override get isDraining(): boolean {
    return this.given.state === "draining";
  }
}

/** By which the instances of a name are ordered that a shared directory brought. */
export interface Place {
  /** The directory's revision since which it has the actor. */
  readonly created: number;
  /** The order of its host. */
  readonly order: number;
}

/** Orders instances by registration: across hosts by the store's revision, within one host by the host's own order. */
export function comparePlaces(a: Place, b: Place): number {
  return a.created - b.created || a.order - b.order;
}

/** What the table keeps of an actor that a shared directory brought. */
export interface RemoteActor extends Place {
  readonly name: string;
  readonly uuid: string;
  readonly pid: number;
  /** The host that it runs on. */
  readonly actorHost: string;
  readonly addrs: readonly Address[];
  readonly isDraining: boolean;
  readonly encodedDetails: Uint8Array;
  /** Stands for what the directory has of it. */
  digest: number;
}

/**
 * An actor that is registered on another host. It stands before those that are registered here. There may be very many of
 * these, too: their details stay encoded until they are asked for (`cluster.mirror.100000`).
 */
export class MirroredRegistration extends StoredRegistration implements RemoteActor {
  readonly encodedDetails: Uint8Array;
  readonly created: number;
  readonly order: number;
  readonly drains: boolean;
  digest: number;

  constructor(actor: RemoteActor, revision: number) {
    super(actor, actor.actorHost, actor.addrs, revision);
    this.encodedDetails = actor.encodedDetails;
    this.created = actor.created;
    this.order = actor.order;
    this.drains = actor.isDraining;
    this.digest = actor.digest;
  }

  get actorHost(): string {
    return this.host;
  }

  override get isDraining(): boolean {
    return this.drains;
  }

  override get details(): Details {
    return readDetails(this.encodedDetails);
  }
}

/** Of an actor whose details can't be read, as little as possible is known: it can be called all the same. */
export function readDetails(encoded: Uint8Array): Details {
  try {
    return decodeDetails(decode(encoded, 0, encoded.length));
  } catch {
    return noDetails;
  }
}

/** Whether lookups pass over it. */
export function isDraining(stored: StoredRegistration): boolean {
  return stored.isDraining;
}
