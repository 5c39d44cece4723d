/**
 * Which way a value takes to bytes. It takes two decisions, and both are made here.
 *
 * 1. The form of a user's value inside its message: `sendValue`, `sendCall` and `toWire`.
 *    - A byte array by itself goes into its frame without a look at anything: there is nothing inside it.
 *    - A plain value goes as it is. Most values are plain (`plain.ts`), and looking costs less than copying.
 *    - Every other value is copied (`values.ts`), in rich form if it holds something that msgpack has no type for.
 * 2. The bytes of the whole message: `encodeMessage`.
 *    - Small messages of common types are written in place (`direct.ts`). msgpackr sets itself up for each message, which
 *      takes as long as writing one of these (rows `rpc.*` and `lookup.registrar.*` of the bench).
 *    - msgpackr encodes all others (`packr.ts`). It is loaded with the first of them, because most children never send
 *      one, and it is a third of all that they would load (rows `spawn` and `idle`).
 */
import { writeDirect } from "./direct.ts";
import { Kind, type Message } from "./messages.ts";
import type { Meta } from "./meta.ts";
import type { Cut, PackedFrame } from "./packr.ts";
import { isPlain } from "./plain.ts";
import type { Carrier } from "./shared-buffer.ts";
import type { WireValue } from "./values.ts";

let packr: typeof import("./packr.ts") | undefined;
let values: typeof import("./values.ts") | undefined;

/** Where `sendValue` sends its messages: a channel. */
export interface Outlet extends Carrier {
  /** Queues a message; returns the size of its frame in bytes. */
  send(message: Message): number;
  /** As `send` of `[kind, id, value]`. */
  sendBinary(kind: Kind, id: number, value: Uint8Array): number;
}

/**
 * Sends `[kind, id, value]`, or `[kind, id, value, true]` in rich form; returns the size of its frame in bytes. Errors
 * call the value `role` ("result of") and `name`. Large binaries are not copied: their memory must not change until they
 * have left.
 *
 * @throws {EncodeError} when the value cannot cross
 * @throws as `outlet.send`
 */
export function sendValue(
  outlet: Outlet,
  kind: typeof Kind.result | typeof Kind.item | typeof Kind.put,
  id: number,
  value: unknown,
  role: string,
  name: string,
): number {
  if (value instanceof Uint8Array) return outlet.sendBinary(kind, id, value);
  if (isPlain(value)) return outlet.send([kind, id, value]);
  const copied = copyForWire(value, `${role} ${name}`, outlet);
  return outlet.send([kind, id, copied.value, copied.rich]);
}

/** Sends a call, `[kind, id, name, args]` or with `rich` after that. @throws as `sendValue` */
export function sendCall(outlet: Outlet, id: number, name: string, args: readonly unknown[]): void {
  if (isPlain(args)) {
    outlet.send([Kind.call, id, name, args]);
  } else {
    const copied = copyForWire(args, `arguments of ${name}`, outlet);
    outlet.send([Kind.call, id, name, copied.value, copied.rich]);
  }
}

/** As its namesake, which is loaded by the first value that isn't plain. */
function copyForWire(
  value: readonly unknown[],
  what: string,
  carrier?: Carrier,
): WireValue<readonly unknown[]>;
function copyForWire(value: unknown, what: string, carrier?: Carrier): WireValue;
function copyForWire(value: unknown, what: string, carrier?: Carrier): WireValue {
  values ??= require("./values.ts") as typeof import("./values.ts");
  return values.copyForWire(value, what, carrier);
}

/** As `sendCall`, with what travels beside the arguments. */
export function sendCallWith(
  meta: Meta,
  outlet: Outlet,
  id: number,
  name: string,
  args: readonly unknown[],
): void {
  const { value, rich } = toWire(args, "arguments of", name, outlet);
  outlet.send([Kind.call, id, name, value, rich, meta]);
}

/**
 * Brings a value into the form in which a message carries it; a list stays a list. Errors and large binaries are as for
 * `sendValue`. Without a `carrier`, shared buffers are copied.
 *
 * @throws {EncodeError} with the path to the part of it that cannot cross
 */
export function toWire(
  value: readonly unknown[],
  role: string,
  name?: string,
  carrier?: Carrier,
): WireValue<readonly unknown[]>;
export function toWire(value: unknown, role: string, name?: string, carrier?: Carrier): WireValue;
export function toWire(value: unknown, role: string, name?: string, carrier?: Carrier): WireValue {
  if (isPlain(value)) return { value, rich: false };
  return copyForWire(value, name === undefined ? role : `${role} ${name}`, carrier);
}

/**
 * Encodes a message into `buffer`, from `start` on; a frame's length fits in front of it. Returns where the message ends
 * in the buffer when it was written in place; else msgpackr's frame, which may be in another buffer. Call `takeCuts` after
 * that.
 *
 * @throws {EncodeError} when msgpackr cannot encode it
 */
export function encodeMessage(
  message: readonly unknown[],
  buffer: Buffer,
  start: number,
): number | PackedFrame {
  const end = writeDirect(buffer, start, message);
  if (end >= 0) return end;
  packr ??= require("./packr.ts") as typeof import("./packr.ts");
  return packr.pack(message, buffer, start);
}

/** Takes the large binaries that msgpackr left out of the last message, in order. */
export function takeCuts(): readonly Cut[] {
  return packr?.takeCuts() ?? [];
}
