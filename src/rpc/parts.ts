/**
 * Sends long lists in parts: a few milliseconds of work in each turn of the event loop, for all of them in the process together.
 * Connections take turns; on each, one list is sent after the other, and no faster than the peer reads.
 */
import type { Channel } from "../channel/channel.ts";
import { asError, LimitError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { crowdedBytes } from "./flow.ts";
import type { LongList } from "./long-list.ts";
import { Slices } from "./slices.ts";

/** How many elements a part has. */
export const partLength = 32;
/** How many lists of one connection may wait. */
const mostWaiting = 10_000;

const slices = new Slices({ stepsPerLook: 1, takesTurns: true });

/** Where a list goes, and what becomes of it. */
export interface PartsSink {
  /** Sends a part that isn't the last; returns the size of its frame in bytes. Throws if nobody waits for the list any more. */
  sendPart(part: unknown[]): number;
  sendLast(part: unknown[]): void;
  /** Called if it can't be sent, or the connection ends first. */
  fail(error: unknown): void;
}

interface Waiting {
  readonly list: LongList;
  readonly sink: PartsSink;
}

const queues = new WeakMap<Channel, PartsQueue>();

/** Sends the list when its turn comes. Its items are those of then, and its first part is sent in the same turn. */
export function sendInParts(channel: Channel, limits: Limits, list: LongList, sink: PartsSink): void {
  let queue = queues.get(channel);
  if (queue === undefined) queues.set(channel, (queue = new PartsQueue(channel, limits)));
  queue.add({ list, sink });
}

/** The lists of one connection. */
class PartsQueue {
  readonly #channel: Channel;
  readonly #maxBytes: number;
  readonly #mostUnsent: number;
  readonly #waiting: Waiting[] = [];
  #isScheduled = false;
  /** How far the first of them has been sent. */
  #at = 0;
  #bytes = 0;

  constructor(channel: Channel, { maxFrameBytes, maxPendingSendBytes }: Limits) {
    this.#channel = channel;
    this.#maxBytes = maxFrameBytes;
    this.#mostUnsent = Math.min(crowdedBytes, maxPendingSendBytes / 2);
  }

  add(waiting: Waiting): void {
    if (this.#waiting.length >= mostWaiting) {
      const text = `${mostWaiting} long lists are waiting for this connection already`;
      waiting.sink.fail(new LimitError(text));
      return;
    }
    this.#waiting.push(waiting);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    slices.add(() => this.#step());
  }

  /** Sends a part; false when there is nothing to send now. */
  #step(): boolean {
    const { end, link } = this.#channel;
    const first = this.#waiting[0]!;
    if (end !== undefined) return this.#failAll(this.#channel.closedError(end));
    if (link.pendingBytes > this.#mostUnsent) {
      void link.drained().then(() => {
        this.#isScheduled = false;
        this.#schedule();
      });
      return false;
    }
    try {
      if (this.#send(first)) return true;
      this.#next();
    } catch (error) {
      this.#next();
      first.sink.fail(asError(error));
    }
    return (this.#isScheduled = this.#waiting.length > 0);
  }

  /** Sends a part of the list; false when that was the last. @throws when it can't be sent */
  #send({ list, sink }: Waiting): boolean {
    const part = list.slice(this.#at, this.#at + partLength);
    this.#at += partLength;
    if (this.#at >= list.length) {
      sink.sendLast(part);
      return false;
    }
    this.#bytes += sink.sendPart(part);
    if (this.#bytes <= this.#maxBytes) return true;
    throw new LimitError(`a list of ${list.length} takes more than maxFrameBytes ${this.#maxBytes}`);
  }

  #next(): void {
    this.#waiting.shift();
    this.#at = this.#bytes = 0;
  }

  #failAll(error: Error): false {
    this.#isScheduled = false;
    for (const { sink } of this.#waiting.splice(0)) sink.fail(error);
    this.#at = this.#bytes = 0;
    return false;
  }
}
