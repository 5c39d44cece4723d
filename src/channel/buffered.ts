/**
 * What the connections of an actor hold, taken together: bytes that a peer has not read, a part of a frame, messages that no
 * stream or dialog has read. Where it is too much, the connection that holds the most ends, and again until it is not.
 *
 * Nothing is kept up to date for it: those who begin to hold more say so, and when that could be too much they are all asked.
 */
import { LimitError } from "../errors.ts";
import { logger } from "../log.ts";

const log = logger("channel");

/** They are asked at most so many times while they take on as much as the limit. */
const maxChecks = 64;

/** A connection, as it is seen here. */
export interface Holder {
  readonly label: string;
  /** Bytes that it holds now. */
  readonly heldBytes: number;
  abort(error: Error): void;
}

export class Buffered {
  readonly #maxBufferedBytes: number;
  readonly #holders = new Set<Holder>();
  /** What was taken on since they were asked, and how much of that is certainly not too much. */
  #grown = 0;
  #spare: number;
  #scheduled = false;

  constructor(maxBufferedBytes: number) {
    this.#maxBufferedBytes = maxBufferedBytes;
    this.#spare = maxBufferedBytes;
  }

  add(holder: Holder): void {
    this.#holders.add(holder);
  }

  remove(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /** A holder keeps so many bytes more, maybe for a moment only. */
  grew(bytes: number): void {
    this.#grown += bytes;
    if (this.#grown <= this.#spare || this.#scheduled) return;
    this.#scheduled = true;
    // not from within whoever is just sending, or reading a chunk
    queueMicrotask(() => this.#check());
  }

  #check(): void {
    this.#scheduled = false;
    this.#grown = 0;
    const held = Array.from(this.#holders, (holder) => ({ holder, bytes: holder.heldBytes }));
    let sum = held.reduce((total, { bytes }) => total + bytes, 0);
    if (sum > this.#maxBufferedBytes) {
      held.sort((a, b) => b.bytes - a.bytes);
      for (const { holder, bytes } of held) {
        const text = `${sum} B wait on the connections of this actor: maxBufferedBytes is ${this.#maxBufferedBytes}; ${holder.label} has the most, ${bytes} B`;
        log.warn?.(text);
        holder.abort(new LimitError(text));
        sum -= bytes;
        if (sum <= this.#maxBufferedBytes) break;
      }
      // now: buffers hardly hasten the next collection, and peers that come back would fill the memory with dropped ones
      Bun.gc(true);
    }
    this.#spare = Math.max(this.#maxBufferedBytes - sum, this.#maxBufferedBytes / maxChecks);
  }
}
