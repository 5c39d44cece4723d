/**
 * Sends a long list in parts: a few milliseconds of work in each turn of the event loop, for all such lists of the process
 * together, and no more at a time than the peer reads.
 */
import type { Channel } from "../../channel/channel.ts";
import { LimitError } from "../../errors.ts";
import { Slices } from "../slices.ts";
import type { LongList } from "./long-list.ts";

/** How many elements a part has. */
export const partLength = 32;
/** With so many unsent bytes, the peer has to read first. */
const crowdedBytes = 1_048_576;

const slices = new Slices(1, true);

/** Where a list goes, and what becomes of it. */
export interface PartsSink {
  readonly channel: Channel;
  /** The most bytes that all parts together may take. */
  readonly maxBytes: number;
  /** Sends a part that isn't the last; returns the size of its frame in bytes. Throws if nobody waits for the list any more. */
  sendPart(part: unknown[]): number;
  sendLast(part: unknown[]): void;
  /** Called if it can't be sent, or the connection ends first. */
  fail(error: unknown): void;
}

/** Sends the list that `begin` gives when it is time for its first part, which is sent in the same turn. */
export function sendInParts(begin: () => LongList, sink: PartsSink): void {
  const { channel } = sink;
  let list: LongList | undefined;
  let at = 0;
  let bytes = 0;
  const step = (): boolean => {
    if (channel.link.pendingBytes > crowdedBytes) {
      void channel.link.drained().then(() => slices.add(step));
      return false;
    }
    try {
      if (channel.end !== undefined) throw channel.closedError(channel.end);
      list ??= begin();
      const part = list.slice(at, (at += partLength));
      if (at >= list.length) {
        sink.sendLast(part);
        return false;
      }
      bytes += sink.sendPart(part);
      if (bytes > sink.maxBytes) {
        const text = `a list of ${list.length} takes more than maxFrameBytes ${sink.maxBytes}`;
        throw new LimitError(text);
      }
      return true;
    } catch (error) {
      sink.fail(error);
      return false;
    }
  };
  slices.add(step);
}
