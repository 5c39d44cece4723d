/**
 * Values in messages of calls, streams and dialogs, both ways: arguments, results, items. One that msgpack can't hold as it
 * is travels in the rich form of `wire/values.ts`, and the message says so.
 */
import type { Channel } from "../channel/channel.ts";
import { FrameError } from "../errors.ts";
import type { Kind } from "../wire/messages.ts";
import { isPlain } from "../wire/plain.ts";
import { fromWire, toWire } from "../wire/values.ts";

/**
 * Sends `[kind, id, value]`; returns the size of its frame in bytes. An error calls the value `role` ("result of") and
 * `name`.
 *
 * @throws {EncodeError} when the value cannot cross; as `Channel.send` otherwise
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

/** A value as it arrived: what the message has in its place, and whether that is the rich form. */
export function readValue(value: unknown, rich: unknown): unknown {
  return fromWire(value, rich === true);
}

/** @throws {FrameError} when they aren't a list */
export function readArguments(value: unknown, rich: unknown): unknown[] {
  const args = readValue(value, rich);
  if (!Array.isArray(args)) throw new FrameError("the arguments of a call must be an array");
  return args as unknown[];
}
