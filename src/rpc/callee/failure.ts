/** The answer to a request that failed. There is always room for one. */
import type { Channel } from "../../channel/channel.ts";
import { asError, LimitError } from "../../errors.ts";
import type { ActorId } from "../../identity.ts";
import { Kind } from "../../wire/messages.ts";
import { encodeFailure } from "../remote-error.ts";

/** Loaded when an answer does not fit for the first time. */
let refusals: typeof import("./refusals.ts") | undefined;
/** How much of an error's name is told of one that cannot be sent. */
const maxNameChars = 64;

/**
 * Answers a request with a failure; where there is no room for all of it, a `LimitError` says so in few words.
 */
export function sendFailure(channel: Channel, id: number, error: unknown, self: ActorId): void {
  if (!channel.isOpen) return;
  try {
    channel.sendControl([Kind.error, id, encodeFailure(error, self)], true);
  } catch (tooLarge) {
    if (!channel.isOpen) return;
    const { message } = asError(tooLarge);
    // of a result that did not fit, that is all there is to say
    const text = error instanceof LimitError ? message : `${nameOf(error)}, which cannot be sent: ${message}`;
    refusals ??= require("./refusals.ts") as typeof import("./refusals.ts");
    refusals.refuse(channel, id, text, self);
  }
}

function nameOf(error: unknown): string {
  try {
    return String(asError(error).name).slice(0, maxNameChars);
  } catch {
    return "an error"; // a getter of a hostile one
  }
}
