/** The reply to a request that failed. There is always room for one. */
import type { Channel } from "../../channel/channel.ts";
import { type ActorDrainingError, asError, LimitError } from "../../errors.ts";
import type { ActorId } from "../../identity.ts";
import { Kind } from "../../wire/messages.ts";
import { encodeFailure, encodeRefusal } from "../remote-error.ts";

/** Loaded the first time that a reply doesn't fit. */
let refusals: typeof import("./refusals.ts") | undefined;
/** How much of an error's name to report if the error itself can't be sent. */
const maxNameChars = 64;

/** Replies to a request with a failure, or with a short `LimitError` if there's no room for the failure. */
export function sendFailure(channel: Channel, id: number, error: unknown, self: ActorId): void {
  if (channel.isOpen) sendForm(channel, id, encodeFailure(error, self), error, self);
}

/** Replies to a request that didn't run, because this actor is about to stop. */
export function sendRefusal(channel: Channel, id: number, refusal: ActorDrainingError, self: ActorId): void {
  if (channel.isOpen) sendForm(channel, id, encodeRefusal(refusal), refusal, self);
}

function sendForm(channel: Channel, id: number, form: unknown[], error: unknown, self: ActorId): void {
  try {
    channel.sendControl([Kind.error, id, form], true);
  } catch (tooLarge) {
    if (!channel.isOpen) return;
    const { message } = asError(tooLarge);
    // if it was the result that didn't fit, the limit says it all
    const text = error instanceof LimitError ? message : `${nameOf(error)}, which cannot be sent: ${message}`;
    refusals ??= require("./refusals.ts") as typeof import("./refusals.ts");
    refusals.refuse(channel, id, text, self);
  }
}

function nameOf(error: unknown): string {
  try {
    return String(asError(error).name).slice(0, maxNameChars);
  } catch {
    return "an error"; // a hostile error whose getter throws
  }
}
