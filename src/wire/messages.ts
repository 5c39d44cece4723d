/**
 * The protocol's messages: arrays that begin with their kind. `docs/protocol.md` is the specification; this file is
 * the same in code. Every message is checked against `shapes` on receipt, before any of it is used.
 */
import { FrameError } from "../errors.ts";

/** The version that hello carries. Peers of different versions refuse each other. */
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
  // the tree
  stop: 48,
  ready: 49,
  failed: 50,
  stopping: 51,
} as const;

export type Kind = (typeof Kind)[keyof typeof Kind];

/** A message as it arrives: its kind, then fields that `shapes` has checked. */
export type Message = readonly [kind: number, ...fields: unknown[]];

/**
 * The fields of each kind, a letter each: `n` a non-negative integer, `s` a string, `a` an array, `b` a boolean, `v`
 * any value. Upper case: the field may be absent or null. Further fields are ignored, so that a later version can add
 * some.
 */
const shapes: readonly (string | undefined)[] = (() => {
  const table: (string | undefined)[] = [];
  table[Kind.hello] = "nsssnsabSVV"; // version, uuid, name, host, pid, purpose, addrs, registrar, target, nonce, proof
  table[Kind.refuse] = "ss"; // code, text
  table[Kind.prove] = "Vssnab"; // proof, name, host, pid, addrs, registrar: the dialler's, over plain tcp
  table[Kind.bye] = "s"; // reason
  table[Kind.ping] = "n";
  table[Kind.pong] = "n";
  table[Kind.idle] = "";
  table[Kind.idleAgreed] = "";
  table[Kind.resume] = "";
  table[Kind.call] = "nsaB"; // id, function, args, rich
  table[Kind.result] = "nVB"; // id, value, rich
  table[Kind.error] = "na"; // id, error
  table[Kind.cancel] = "nS"; // id, reason
  table[Kind.stream] = "nsaBnn"; // id, function, args, rich, messages and bytes that the callee may send
  table[Kind.open] = "nsaBnn"; // the same
  table[Kind.put] = "nVB"; // id, value, rich: to the callee of a dialog
  table[Kind.putEnd] = "n"; // id: no more of them
  table[Kind.allowItems] = "nnn"; // id, messages, bytes: the callee may send so much more
  table[Kind.started] = "nVB"; // id, value, rich
  table[Kind.item] = "nVB"; // id, value, rich: to the caller
  table[Kind.itemEnd] = "n"; // id: no more of them; the result is still to come
  table[Kind.allowPuts] = "nnn"; // id, messages, bytes: the caller may send so much more
  table[Kind.register] = "na"; // id, addrs
  table[Kind.unregister] = "n"; // id
  table[Kind.lookup] = "nsb"; // id, name, interest
  table[Kind.forget] = "s"; // name
  table[Kind.added] = "sa"; // name, registration
  table[Kind.removed] = "ssn"; // name, uuid, revision
  table[Kind.report] = "s"; // uuid
  table[Kind.unwatched] = "s"; // name: the registrar has no room for that interest
  table[Kind.retired] = ""; // the sender is not the registrar any more
  table[Kind.stop] = "n"; // id
  table[Kind.ready] = ""; // booted, and registered
  table[Kind.stopping] = ""; // asked to stop, and still ending: its own children, or clean-up
  table[Kind.failed] = "a"; // a child could not start, or ends on this uncaught error
  return table;
})();

/**
 * The decoded value of a frame as a message.
 *
 * @throws {FrameError} when it is no message of this protocol
 */
export function checkMessage(value: unknown): Message {
  if (!Array.isArray(value)) {
    throw new FrameError(`a message must be an array, got ${value === null ? "null" : typeof value}`);
  }
  const kind: unknown = value[0];
  if (typeof kind !== "number") throw new FrameError(`a message kind must be a number, got ${typeof kind}`);
  const shape = shapes[kind];
  if (shape === undefined) throw new FrameError(`unknown message kind ${kind}`);
  // another version may have other fields behind it; the handshake says so to the peer
  if (kind === Kind.hello && typeof value[1] === "number" && value[1] !== protocolVersion) {
    return value as unknown as Message;
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
