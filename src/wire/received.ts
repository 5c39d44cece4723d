/** The values in received messages. */
import { FrameError } from "../errors.ts";
import type { Kind, MessageOf } from "./messages.ts";
import type { Carrier } from "./shared-buffer.ts";

/** Loaded by the first value in rich form. */
let values: typeof import("./values.ts") | undefined;

/** Reads the value in a message. @throws as `fromWire` */
export function readValue(
  message: MessageOf<typeof Kind.result | typeof Kind.put | typeof Kind.started | typeof Kind.item>,
  carrier?: Carrier,
): unknown {
  return fromWire(message[2], message[3] === true, carrier);
}

/** Reads the arguments in a message. @throws {FrameError} when they are not an array; as `fromWire` otherwise */
export function readArguments(
  message: MessageOf<typeof Kind.call | typeof Kind.stream | typeof Kind.open>,
  carrier?: Carrier,
): unknown[] {
  const args = fromWire(message[3], message[4] === true, carrier);
  if (!Array.isArray(args)) throw new FrameError("the arguments of a call must be an array");
  return args as unknown[];
}

/**
 * Brings a value back from the form in which a message carries it; may change it in place. `carrier`: where it came from,
 * without which no memory can have been shared.
 *
 * @throws {FrameError} when the rich form is malformed
 */
export function fromWire(value: unknown, rich: boolean, carrier?: Carrier): unknown {
  if (!rich) return value;
  values ??= require("./values.ts") as typeof import("./values.ts");
  return values.revive(value, carrier);
}
