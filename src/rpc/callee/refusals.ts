/**
 * Answers that say no more than that a limit was reached: for results and errors that a peer has left no room for. They wait
 * as ids until there is room for them too, so that each call gets its answer, and a peer that reads nothing costs a bounded
 * amount of memory.
 */
import { asError, LimitError } from "../../errors.ts";
import type { ActorId } from "../../identity.ts";
import type { Channel } from "../../channel/channel.ts";
import { Kind } from "../../wire/messages.ts";
import { encodeFailure } from "../remote-error.ts";

/** Calls that may wait for such an answer, for each connection. */
const maxOwed = 65_536;

interface Owed {
  readonly ids: number[];
  readonly text: string;
  readonly self: ActorId;
}

const owed = new WeakMap<Channel, Owed>();

/** Answers the request `id` with a `LimitError` of that text: now, or as soon as the peer has read enough. */
export function refuse(channel: Channel, id: number, text: string, self: ActorId): void {
  const waiting = owed.get(channel);
  if (waiting === undefined) {
    if (sendRefusal(channel, id, text, self)) return;
    owed.set(channel, { ids: [id], text, self });
    void payWhenDrained(channel);
  } else if (waiting.ids.push(id) > maxOwed) {
    channel.abort(new LimitError(`${maxOwed} calls wait for an answer that says: ${waiting.text}`));
  }
}

async function payWhenDrained(channel: Channel): Promise<void> {
  for (;;) {
    await channel.link.drained();
    const waiting = owed.get(channel);
    if (waiting === undefined || !channel.isOpen) break;
    const { ids, text, self } = waiting;
    const sent = ids.findIndex((id) => !sendRefusal(channel, id, text, self));
    if (sent < 0) break;
    ids.splice(0, sent);
  }
  owed.delete(channel);
}

/** Whether it was sent, or need not be: the channel has ended. */
function sendRefusal(channel: Channel, id: number, text: string, self: ActorId): boolean {
  if (!channel.isOpen) return true;
  const error = new LimitError(text);
  // where it was made says nothing to the caller, and there may be thousands of them
  error.stack = "";
  try {
    channel.sendControl([Kind.error, id, encodeFailure(error, self)], true);
  } catch (full) {
    if (full instanceof LimitError) return false;
    channel.abort(asError(full));
  }
  return true;
}
