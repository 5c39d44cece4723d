/** The values of a directory in etcd, msgpack lists, and what they say as a directory's additions and removals. */
import { encodeValue, fieldsOf, RemoteEntry } from "../discovery/remote-entry.ts";
import { asError, FrameError } from "../errors.ts";
import { readActorId } from "../identity.ts";
import { logger, printable } from "../log.ts";
import type { Holder, RemoteAddition, RemoteChange, RemoteHost } from "../discovery/store.ts";
import type { Keys } from "./keys.ts";
import type { KeyValue, WatchEvent } from "./messages.ts";

const log = logger("discovery");

/** A host's record, with the leases under which earlier registrars of it may have left something. */
export interface StoredHost extends RemoteHost {
  readonly formerLeases: readonly number[];
}

export function encodeHost({
  registrar,
  registry,
  epoch,
  ttlMs,
  content,
  formerLeases,
}: Omit<StoredHost, "host">): Uint8Array {
  const { name, uuid, pid } = registrar;
  const summary = content === null ? null : [content.count, content.digest];
  return encodeValue([epoch, ttlMs, registry, name, uuid, pid, summary, formerLeases]);
}

/** @throws {FrameError} when it is malformed */
export function decodeHost(host: string, value: Uint8Array): StoredHost {
  const [epoch, ttlMs, registry, name, uuid, pid, summary, former] = fieldsOf(value);
  const registrar = readActorId({ name, uuid, pid, host });
  if (registrar === undefined || typeof registry !== "string" || !isNumber(epoch) || !isNumber(ttlMs))
    throw new FrameError(`malformed record of host ${host}`);
  const [count, digest] = Array.isArray(summary) ? (summary as unknown[]) : [];
  const content = isNumber(count) && isNumber(digest) ? { count, digest } : null;
  const formerLeases = Array.isArray(former) ? former.filter((lease) => isNumber(lease) && lease > 0) : [];
  return { host, registrar, registry, epoch, ttlMs, content, formerLeases };
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function encodeHolder(uuid: string, host: string): Uint8Array {
  return encodeValue([uuid, host]);
}

/** @throws {FrameError} when it is malformed */
export function decodeHolder({ value, created }: KeyValue): Holder {
  const [uuid, host] = fieldsOf(value);
  if (typeof uuid !== "string" || typeof host !== "string") throw new FrameError("malformed claim");
  return { type: "held", uuid, host, fence: created };
}

/** Reads a key and its value; undefined if they say nothing that a follower has to know, or can't be read. */
export function additionOf(keys: Keys, pair: KeyValue): RemoteAddition | undefined {
  const place = keys.read(pair.key);
  try {
    switch (place.kind) {
      case "entry": {
        const { host, uuid } = place;
        return { type: "put", entry: new RemoteEntry(host, uuid, pair.value, pair.created, pair.changed) };
      }
      case "host":
        return { type: "host", host: decodeHost(place.host, pair.value) };
      case "claim":
        return { type: "claim", name: place.name, holder: decodeHolder(pair) };
      case "identity":
      case "other":
        return undefined;
    }
  } catch (error) {
    // another version of furrow, or another program: the rest is not its fault
    const key = printable(Buffer.from(pair.key).toString());
    log.warn?.(`skipped ${key} in the directory: ${asError(error).message}`);
    return undefined;
  }
}

export function changeOf(keys: Keys, { isDeleted, pair }: WatchEvent): RemoteChange | undefined {
  if (!isDeleted) return additionOf(keys, pair);
  const place = keys.read(pair.key);
  switch (place.kind) {
    case "entry":
      return { type: "remove", host: place.host, uuid: place.uuid };
    case "host":
      return { type: "hostGone", host: place.host };
    case "claim":
      return { type: "unclaim", name: place.name };
    case "identity":
    case "other":
      return undefined;
  }
}
