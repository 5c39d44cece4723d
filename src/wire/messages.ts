/**
 * The protocol's messages: arrays that begin with their kind. `docs/protocol.md` is the specification, and this file says
 * the same in code. Every received message is checked before any of it is used.
 */
import { FrameError } from "../errors.ts";

/** The version in every hello. Peers of different versions refuse each other. */
export const protocolVersion = 1;

export const Kind = {
  // the connection
  hello: 0,
  refuse: 1,
  bye: 2,
  ping: 3,
  pong: 4,
  idle: 5,
  idleAgreed: 6,
  resume: 7,
  prove: 24,
  // calls
  call: 8,
  result: 9,
  error: 10,
  cancel: 11,
  // streams and dialogs: what the caller sends, then what the callee sends
  stream: 12,
  open: 13,
  put: 14,
  putEnd: 15,
  allowItems: 16,
  started: 17,
  item: 18,
  itemEnd: 19,
  allowPuts: 20,
  // shared buffers
  unshare: 21,
  released: 22,
  // discovery
  register: 32,
  unregister: 33,
  lookup: 34,
  forget: 35,
  added: 36,
  removed: 37,
  report: 38,
  unwatched: 39,
  retired: 40,
  update: 41,
  watch: 42,
  unwatch: 43,
  change: 44,
  resync: 45,
  claim: 46,
  unclaim: 47,
  // the tree
  stop: 48,
  ready: 49,
  failed: 50,
  stopping: 51,
  drain: 52,
  // how busy an actor is
  watchLoad: 53,
  load: 54,
  data: 55,
  registrars: 61,
  // discovery again
  partial: 56,
  store: 57,
  fence: 58,
  // long answers
  part: 59,
  state: 60,
} as const;

export type Kind = (typeof Kind)[keyof typeof Kind];

type KindName = keyof typeof Kind;

/** What a `claim` asks for. */
export const ClaimMode = {
  /** The name. If it is to be unique: now or not at all. Else it waits until the name is free, or an actor has it. */
  take: 0,
  /** To belong to the hold of that key. */
  join: 1,
  /** The same, for one that belonged to it when its connection ended. The first to come back makes the hold anew. */
  resume: 2,
  /** Nothing, but to know whether another actor of the name could register now. */
  ask: 3,
} as const;

export type ClaimMode = (typeof ClaimMode)[keyof typeof ClaimMode];

/** An array whose elements its reader checks. */
type List = readonly unknown[];

/** Whether the message's value is in rich form: see `values.ts`. */
type Rich = boolean | null | undefined;

/** What follows the kind in a message. `id` is the request's; "messages" and "bytes" are credit that the sender grants. */
interface Fields {
  hello: [
    version: number,
    uuid: string,
    name: string,
    host: string,
    pid: number,
    purpose: string,
    addrs: List,
    isRegistrar: boolean,
    target?: string | null,
    nonce?: unknown,
    proof?: unknown,
  ];
  /** `proof`: over plain tcp, to a dialler that has knocked with one. */
  refuse: [code: string, text: string, uuid?: unknown, proof?: unknown];
  /** Over plain tcp: the dialler's proof, and what its hello left out. */
  prove: [proof: unknown, name: string, host: string, pid: number, addrs: List, isRegistrar: boolean];
  /** `unanswered`: the ids of the receiver's calls, streams and dialogs that have arrived and have no answer. */
  bye: [reason: string, unanswered?: unknown];
  ping: [n: number];
  pong: [n: number];
  idle: [];
  idleAgreed: [];
  resume: [];
  /** `meta`: what travels with a request, for those who trace it; see `meta.ts`. */
  call: [id: number, fn: string, args: List, rich?: Rich, meta?: unknown];
  result: [id: number, value?: unknown, rich?: Rich];
  error: [id: number, failure: List];
  /** A part of a list that is the result of the request: the result itself brings the last part. */
  part: [id: number, list: List, rich?: Rich];
  cancel: [id: number, reason?: string | null];
  stream: [id: number, fn: string, args: List, rich: Rich, messages: number, bytes: number, meta?: unknown];
  open: [id: number, fn: string, args: List, rich: Rich, messages: number, bytes: number, meta?: unknown];
  /** To the callee of a dialog. */
  put: [id: number, value?: unknown, rich?: Rich];
  /** No more puts follow. */
  putEnd: [id: number];
  allowItems: [id: number, messages: number, bytes: number];
  started: [id: number, value?: unknown, rich?: Rich];
  /** To the caller. */
  item: [id: number, value?: unknown, rich?: Rich];
  /** No more items follow; the result is still to come. */
  itemEnd: [id: number];
  allowPuts: [id: number, messages: number, bytes: number];
  /** The sender's buffer is disposed; `times` as in `released`, for all that was sent. Answered with `released`. */
  unshare: [buffer: number, times: number];
  /** The receiver's buffer, as sent up to that `times`, is held here no more. */
  released: [buffer: number, times: number];
  /** `details`: see `registration.ts`. */
  register: [id: number, addrs: List, details?: unknown];
  unregister: [id: number];
  /** `all`: the answer must have those, too, that a new registrar still waits for. */
  lookup: [id: number, name: string, interest: boolean, detailed?: boolean | null, all?: boolean | null];
  forget: [name: string];
  /**
   * `registration`: in one of the two forms of `registration.ts`. `before`: the uuid of the one that it comes before; without it,
   * it comes last.
   */
  added: [name: string, registration: unknown, before?: string | null];
  removed: [name: string, uuid: string, revision: number];
  report: [uuid: string];
  /** The registrar has no room for that interest. */
  unwatched: [name: string];
  /** The sender is no longer the registrar. */
  retired: [];
  /** Changes one's own registration; what is null stays. */
  update: [id: number, metadata?: unknown, state?: string | null];
  /** The pattern is a name, or the beginning of names and a star. */
  watch: [id: number, pattern: string];
  /** Gives a watch back; `watchId` is the id of its request. */
  unwatch: [watchId: number];
  /** `type` is 0 for up, 1 for changed, 2 for down. */
  change: [watchId: number, type: number, name: string, registration: List];
  /** A part of what a watch begins with, or of a resync: the result, or the resync, brings the last part. */
  state: [watchId: number, actors: List];
  /** In place of changes that were left out; with a failure, a list, the watch is over. */
  resync: [watchId: number, revision: number, actors: List, failure?: unknown];
  /** `mode`: see `ClaimMode`. */
  claim: [
    id: number,
    name: string,
    isUnique: boolean,
    key: string,
    mode: number,
    /** Whether the hold will be unique, of one that takes the name and waits for it. */
    startsUnique?: boolean | null,
  ];
  /** Gives back what was claimed with that key. */
  unclaim: [name: string, key: string];
  /** The answer for that name, which follows, may lack some that the registrar still waits for. */
  partial: [name: string];
  /**
   * Whether the registrar may be behind with what it says of other hosts: for how many milliseconds, and why; null if it
   * isn't.
   */
  store: [staleMs: unknown, reason?: string | null];
  /** In a cluster, to those that hold the name: the number of the hold among all of that name. */
  fence: [name: string, fence: number];
  stop: [id: number];
  /** The sender has booted and is registered. With false: it drains or ends, and isn't to be found by name any more. */
  ready: [isReady?: boolean | null];
  /** A child could not start, or ends because of this uncaught error. */
  failed: [failure: List];
  /**
   * The sender was asked to stop, and is still ending its own children or cleaning up. `neededMs`: how much longer that
   * may take.
   */
  stopping: [neededMs?: unknown];
  /**
   * `among`: the uuids of actors that drain along with the receiver and may still call it; the receiver then waits for
   * its stop, and doesn't end by itself.
   */
  drain: [id: number, timeoutMs: number, among?: unknown];
  /** Asks to hear of the receiver's load from now on. */
  watchLoad: [];
  /** How many calls, streams and dialogs the sender has in flight for others than the receiver. */
  load: [calls: number];
  /** A child asks its parent for the data that it is started with: the result is bytes, see `tree/start-data.ts`. */
  data: [id: number];
  /** To a child: the registrars that its parent has now, each as [name, uuid, addrs]. */
  registrars: [list: List];
}

type Messages = {
  [Name in KindName as (typeof Kind)[Name]]: readonly [kind: (typeof Kind)[Name], ...fields: Fields[Name]];
};

/** A well-formed message of one kind. */
export type MessageOf<K extends Kind> = Messages[K];

/** The hello of a peer with another protocol version: nothing is known of its other fields. */
type ForeignHello = readonly [kind: typeof Kind.hello, version: number, ...fields: unknown[]];

/** A message; its kind, the first element, tells which fields follow. */
export type Message = MessageOf<Kind> | ForeignHello;

/** The letter that stands for a field's type in `shapes`. */
type Letter<Field> = unknown extends Field
  ? "V"
  : [Field] extends [number]
    ? "n"
    : [Field] extends [string]
      ? "s"
      : [Field] extends [List]
        ? "a"
        : [Field] extends [boolean]
          ? "b"
          : [Field] extends [string | null | undefined]
            ? "S"
            : "B";
type Letters<All extends List> = All extends readonly [infer First, ...infer Rest]
  ? `${Letter<First>}${Letters<Rest>}`
  : "";

/**
 * The types of `Fields` for the check at run time, a letter for each field: `n` a non-negative integer, `s` a string, `a` an
 * array, `b` a boolean, `S` and `B` the same or absent or null, `V` anything. The compiler holds the two together.
 */
const shapes: { readonly [Name in KindName]: Letters<Required<Fields[Name]>> } = {
  hello: "nsssnsabSVV",
  refuse: "ssVV",
  prove: "Vssnab",
  bye: "sV",
  ping: "n",
  pong: "n",
  idle: "",
  idleAgreed: "",
  resume: "",
  call: "nsaBV",
  result: "nVB",
  error: "na",
  part: "naB",
  cancel: "nS",
  stream: "nsaBnnV",
  open: "nsaBnnV",
  put: "nVB",
  putEnd: "n",
  allowItems: "nnn",
  started: "nVB",
  item: "nVB",
  itemEnd: "n",
  allowPuts: "nnn",
  unshare: "nn",
  released: "nn",
  register: "naV",
  unregister: "n",
  lookup: "nsbBB",
  forget: "s",
  added: "sVS",
  removed: "ssn",
  report: "s",
  unwatched: "s",
  retired: "",
  update: "nVS",
  watch: "ns",
  unwatch: "n",
  change: "nnsa",
  state: "na",
  resync: "nnaV",
  claim: "nsbsnB",
  unclaim: "ss",
  partial: "s",
  store: "VS",
  fence: "sn",
  stop: "n",
  ready: "B",
  failed: "a",
  stopping: "V",
  drain: "nnV",
  watchLoad: "",
  load: "n",
  data: "n",
  registrars: "a",
};

const shapeOfKind: (string | undefined)[] = [];
// a field of any type at the end needs no check
for (const name in Kind) shapeOfKind[Kind[name as KindName]] = shapes[name as KindName].replace(/V+$/, "");

/**
 * Checks that the decoded value of a frame is a message. Fields after the last known one are ignored, so that a later
 * version can add some. Of a hello of another version only the version is checked: the handshake reports it to the peer.
 *
 * @throws {FrameError} when the value is not a message of this protocol
 */
export function checkMessage(value: unknown): Message {
  if (!Array.isArray(value)) {
    throw new FrameError(`a message must be an array, got ${value === null ? "null" : typeof value}`);
  }
  const kind: unknown = value[0];
  if (typeof kind !== "number") throw new FrameError(`a message kind must be a number, got ${typeof kind}`);
  const shape = shapeOfKind[kind];
  if (shape === undefined) throw new FrameError(`unknown message kind ${kind}`);
  if (kind === Kind.hello && typeof value[1] === "number" && value[1] !== protocolVersion) {
    return value as unknown as ForeignHello;
  }
  for (let at = 0; at < shape.length; at++) {
    if (!fits(shape.charCodeAt(at), value[at + 1])) {
      throw new FrameError(`field ${at + 1} of a message of kind ${kind} is malformed`);
    }
  }
  return value as unknown as Message;
}

function fits(letter: number, field: unknown): boolean {
  switch (letter) {
    case 0x6e: // n
      return typeof field === "number" && field >= 0 && Number.isInteger(field);
    case 0x73: // s
      return typeof field === "string";
    case 0x61: // a
      return Array.isArray(field);
    case 0x62: // b
      return typeof field === "boolean";
    case 0x53: // S
      return field === undefined || field === null || typeof field === "string";
    case 0x42: // B
      return field === undefined || field === null || typeof field === "boolean";
    default:
      return true;
  }
}
