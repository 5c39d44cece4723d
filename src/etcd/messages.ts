/**
 * The messages of etcd's API that a directory needs, with the numbers of their fields from etcd's `rpc.proto`, `kv.proto` and
 * `auth.proto`. Fields that nothing here uses are skipped.
 */
import { ProtoReader, ProtoWriter } from "./protobuf.ts";

export const methods = {
  range: "/etcdserverpb.KV/Range",
  transaction: "/etcdserverpb.KV/Txn",
  watch: "/etcdserverpb.Watch/Watch",
  grant: "/etcdserverpb.Lease/LeaseGrant",
  revoke: "/etcdserverpb.Lease/LeaseRevoke",
  keepAlive: "/etcdserverpb.Lease/LeaseKeepAlive",
  authenticate: "/etcdserverpb.Auth/Authenticate",
} as const;

export interface Header {
  /** Which cluster answers. */
  readonly cluster: number;
  /** The store's revision at that member. */
  readonly revision: number;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly created: number;
  readonly changed: number;
  readonly lease: number;
}

export interface RangeRequest {
  readonly key: Uint8Array;
  /** Default: that key alone. */
  readonly end?: Uint8Array;
  readonly limit?: number;
  /** Default: the newest. */
  readonly revision?: number;
  /** Whether only the keys are wanted, or their number. */
  readonly isKeysOnly?: boolean;
  readonly isCount?: boolean;
}

export interface RangeAnswer {
  readonly header: Header;
  readonly pairs: readonly KeyValue[];
  /** How many keys there are in the range. */
  readonly count: number;
  /** Whether there are keys after the last one. */
  readonly more: boolean;
}

/** A condition of a transaction. A key that isn't there has revision and lease 0. */
export type Condition =
  | { readonly key: Uint8Array; readonly is: "created" | "changed" | "lease"; readonly value: number }
  | { readonly key: Uint8Array; readonly is: "value"; readonly value: Uint8Array };

export type Operation =
  | { readonly put: Uint8Array; readonly value: Uint8Array; readonly lease: number }
  | { readonly remove: Uint8Array }
  | { readonly read: Uint8Array }
  | { readonly count: Uint8Array; readonly end: Uint8Array };

export interface TransactionAnswer {
  readonly header: Header;
  readonly succeeded: boolean;
  /** What each `read` found, in order; of a `count`, its number is in `counts` at the same place. */
  readonly found: readonly (KeyValue | undefined)[];
  readonly counts: readonly number[];
}

/** For an answer that says nothing but that it was done. */
export function decodeNothing(): void {}

export interface WatchAnswer {
  readonly header: Header;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Above 0 if the watch began at a revision that is compacted. */
  readonly compacted: number;
  readonly reason: string;
  /** Each is read by `decodeEvent`. */
  readonly events: readonly ProtoReader[];
}

export interface WatchEvent {
  readonly isDeleted: boolean;
  readonly pair: KeyValue;
}

const nothing: Uint8Array = new Uint8Array(0);
/** Of the enumeration `CompareTarget`, and the field that holds the value. */
const targets = {
  created: { target: 1, field: 5 },
  changed: { target: 2, field: 6 },
  value: { target: 3, field: 7 },
  lease: { target: 4, field: 8 },
} as const;

export function encodeRange(request: RangeRequest): Uint8Array {
  return rangeWriter(request).finish();
}

function rangeWriter(request: RangeRequest): ProtoWriter {
  const { key, end = nothing, limit = 0, revision = 0, isKeysOnly = false, isCount = false } = request;
  const writer = new ProtoWriter().bytes(1, key).bytes(2, end).number(3, limit).number(4, revision);
  return writer.flag(8, isKeysOnly).flag(9, isCount);
}

/** @throws {FrameError} as every function here that decodes, when the message is malformed */
export function decodeRange(bytes: Uint8Array): RangeAnswer {
  return readRange(new ProtoReader(bytes));
}

function readRange(reader: ProtoReader): RangeAnswer {
  let header = noHeader;
  let more = false;
  let count = 0;
  const pairs: KeyValue[] = [];
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) header = readHeader(reader.message());
    else if (field === 2) pairs.push(readPair(reader.message()));
    else if (field === 3) more = reader.number() !== 0;
    else if (field === 4) count = reader.number();
    else reader.skip();
  }
  return { header, pairs, count, more };
}

/** Does `then` if all conditions hold, else `otherwise`. */
export function encodeTransaction(
  conditions: readonly Condition[],
  then: readonly Operation[],
  otherwise: readonly Operation[],
): Uint8Array {
  const writer = new ProtoWriter();
  for (const condition of conditions) writer.message(1, conditionWriter(condition));
  for (const operation of then) writer.message(2, operationWriter(operation));
  for (const operation of otherwise) writer.message(3, operationWriter(operation));
  return writer.finish();
}

function conditionWriter(condition: Condition): ProtoWriter {
  const { target, field } = targets[condition.is];
  const writer = new ProtoWriter().number(2, target).bytes(3, condition.key);
  return condition.is === "value"
    ? writer.bytes(field, condition.value)
    : writer.number(field, condition.value);
}

function operationWriter(operation: Operation): ProtoWriter {
  const writer = new ProtoWriter();
  if ("read" in operation) return writer.message(1, rangeWriter({ key: operation.read }));
  if ("count" in operation)
    return writer.message(1, rangeWriter({ key: operation.count, end: operation.end, isCount: true }));
  if ("remove" in operation) return writer.message(3, new ProtoWriter().bytes(1, operation.remove));
  const { put, value, lease } = operation;
  return writer.message(2, new ProtoWriter().bytes(1, put).bytes(2, value).number(3, lease));
}

export function decodeTransaction(bytes: Uint8Array): TransactionAnswer {
  const reader = new ProtoReader(bytes);
  let header = noHeader;
  let succeeded = false;
  const found: (KeyValue | undefined)[] = [];
  const counts: number[] = [];
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) header = readHeader(reader.message());
    else if (field === 2) succeeded = reader.number() !== 0;
    else if (field === 3) readAnswer(reader.message(), found, counts);
    else reader.skip();
  }
  return { header, succeeded, found, counts };
}

/** Adds what a `read` or `count` found; the answers to other operations say nothing. */
function readAnswer(reader: ProtoReader, found: (KeyValue | undefined)[], counts: number[]): void {
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field !== 1) {
      reader.skip();
      continue;
    }
    const { pairs, count } = readRange(reader.message());
    found.push(pairs[0]);
    counts.push(count);
  }
}

/** Watches keys from `from` to before `end`, beginning with the changes of revision `start`. */
export function encodeWatch(from: Uint8Array, end: Uint8Array, start: number): Uint8Array {
  const create = new ProtoWriter().bytes(1, from).bytes(2, end).number(3, start);
  return new ProtoWriter().message(1, create).finish();
}

/** Asks for a sign of life on a watch. */
export function encodeProgress(): Uint8Array {
  return new ProtoWriter().message(3, new ProtoWriter()).finish();
}

export function decodeWatch(bytes: Uint8Array): WatchAnswer {
  const reader = new ProtoReader(bytes);
  const answer = { header: noHeader, created: false, canceled: false, compacted: 0, reason: "" };
  const events: ProtoReader[] = [];
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) answer.header = readHeader(reader.message());
    else if (field === 3) answer.created = reader.number() !== 0;
    else if (field === 4) answer.canceled = reader.number() !== 0;
    else if (field === 5) answer.compacted = reader.number();
    else if (field === 6) answer.reason = reader.text();
    else if (field === 11) events.push(reader.message());
    else reader.skip();
  }
  return { ...answer, events };
}

export function decodeEvent(reader: ProtoReader): WatchEvent {
  let isDeleted = false;
  let pair = noPair;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) isDeleted = reader.number() === 1;
    else if (field === 2) pair = readPair(reader.message());
    else reader.skip();
  }
  return { isDeleted, pair };
}

/** Asks for a lease with an id of our choice, so that asking again after a timeout doesn't make a second one. */
export function encodeGrant(id: number, ttlSeconds: number): Uint8Array {
  return new ProtoWriter().number(1, ttlSeconds).number(2, id).finish();
}

/** For `revoke` and `keepAlive`. */
export function encodeLease(id: number): Uint8Array {
  return new ProtoWriter().number(1, id).finish();
}

/** The seconds left of a renewed lease: 0 if it is gone. */
export function decodeKeepAlive(bytes: Uint8Array): number {
  const reader = new ProtoReader(bytes);
  let ttl = 0;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 3) ttl = reader.number();
    else reader.skip();
  }
  return ttl;
}

export function encodeAuthenticate(username: string, password: string): Uint8Array {
  return new ProtoWriter().text(1, username).text(2, password).finish();
}

/** The token. */
export function decodeAuthenticate(bytes: Uint8Array): string {
  const reader = new ProtoReader(bytes);
  let token = "";
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 2) token = reader.text();
    else reader.skip();
  }
  return token;
}

const noHeader: Header = { cluster: 0, revision: 0 };
const noPair: KeyValue = { key: nothing, value: nothing, created: 0, changed: 0, lease: 0 };

function readHeader(reader: ProtoReader): Header {
  let cluster = 0;
  let revision = 0;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    // larger than a number holds exactly, but different for different clusters all the same
    if (field === 1) cluster = reader.number();
    else if (field === 3) revision = reader.number();
    else reader.skip();
  }
  return { cluster, revision };
}

function readPair(reader: ProtoReader): KeyValue {
  let key: Uint8Array = nothing;
  let value: Uint8Array = nothing;
  let created = 0;
  let changed = 0;
  let lease = 0;
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) key = reader.bytes();
    else if (field === 2) created = reader.number();
    else if (field === 3) changed = reader.number();
    else if (field === 5) value = reader.bytes();
    else if (field === 6) lease = reader.number();
    else reader.skip();
  }
  return { key, value, created, changed, lease };
}
