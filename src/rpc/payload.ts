/**
 * The values in messages of calls, streams and dialogs: arguments, results, items. A value that msgpack can't represent
 * directly is sent in the rich form of `wire/values.ts`, and the message is marked as such.
 */
import type { Channel } from "../channel/channel.ts";
import { FrameError } from "../errors.ts";
import type { Kind } from "../wire/messages.ts";
import { isPlain } from "../wire/plain.ts";
import { fromWire, toWire } from "../wire/values.ts";

/**
 * Sends `[kind, id, value]`; returns the size of its frame in bytes. Errors describe the value as `role` ("result of")
 * followed by `name`.
 *
 * @throws {EncodeError} when the value can't be sent; otherwise as `Channel.send`
 */
export function sendValue(
  channel: Channel,
  kind: typeof Kind.result | typeof Kind.item | typeof Kind.put,
  id: number,
  value: unknown,
  role: string,
  name: string,
): number {
  if (value instanceof Uint8Array) return channel.sendBinary(kind, id, value);
  if (isPlain(value)) return channel.send([kind, id, value]);
  const wire = toWire(value, role, name);
  return channel.send([kind, id, wire.value, wire.rich]);
}

/** Decodes a received value; `rich` is the message's mark for the rich form. */
export function readValue(value: unknown, rich: unknown): unknown {
  return fromWire(value, rich === true);
}

/** Decodes received arguments. @throws {FrameError} when they aren't an array */
export function readArguments(value: unknown, rich: unknown): unknown[] {
  const args = readValue(value, rich);
  if (!Array.isArray(args)) throw new FrameError("the arguments of a call must be an array");
  return args as unknown[];
}
