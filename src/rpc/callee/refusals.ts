/**
 * Short replies that report a reached limit, for results and errors that don't fit into the send queue of a peer. If
 * even those don't fit, only the ids of the calls are kept until they do. So every call gets a reply, and a peer that
 * reads nothing costs a bounded amount of memory.
 */
import { asError, LimitError } from "../../errors.ts";
import type { ActorId } from "../../identity.ts";
import type { Channel } from "../../channel/channel.ts";
import { Kind } from "../../wire/messages.ts";
import { encodeFailure } from "../remote-error.ts";

/** How many calls of one connection may wait for such a reply. */
const maxOwed = 65_536;

interface Owed {
  readonly ids: number[];
  readonly text: string;
  readonly self: ActorId;
}

const owed = new WeakMap<Channel, Owed>();

/** Replies to the request `id` with a `LimitError`: now, or as soon as the peer has read enough. */
export function refuse(channel: Channel, id: number, text: string, self: ActorId): void {
  const waiting = owed.get(channel);
  if (waiting === undefined) {
    if (sendRefusal(channel, id, text, self)) return;
    owed.set(channel, { ids: [id], text, self });
    void payWhenDrained(channel);
  } else if (waiting.ids.push(id) > maxOwed) {
    channel.abort(new LimitError(`more than ${maxOwed} calls wait for a reply: ${waiting.text}`));
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

/** Returns false if there's no room for it; true if it was sent, or needn't be because the channel has ended. */
function sendRefusal(channel: Channel, id: number, text: string, self: ActorId): boolean {
  if (!channel.isOpen) return true;
  const error = new LimitError(text);
  // its stack is no use to the caller, and there may be thousands of these errors
  error.stack = "";
  try {
    channel.sendControl([Kind.error, id, encodeFailure(error, self)], true);
  } catch (full) {
    if (full instanceof LimitError) return false;
    channel.abort(asError(full));
  }
  return true;
}
