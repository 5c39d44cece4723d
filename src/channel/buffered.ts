/**
 * Bounds what all connections of an actor hold together: bytes that a peer hasn't read, unfinished frames, and
 * messages that no stream or dialog has read. Above the limit, the connection that holds the most is closed, then the
 * next, until the rest fits.
 *
 * There is no running total: connections report growth, and once the growth could exceed the limit, all are summed
 * up.
 */
import { LimitError } from "../errors.ts";
import { logger } from "../log.ts";

const log = logger("channel");

/** The most checks that growth by `maxBufferedBytes` can cause. */
const maxChecks = 64;

/** What this file needs of a connection. */
export interface Holder {
  readonly label: string;
  /** Bytes held now. */
  readonly heldBytes: number;
  abort(error: Error): void;
}

export class Buffered {
  readonly #maxBufferedBytes: number;
  readonly #holders = new Set<Holder>();
  /** Bytes of growth reported since the last check, and how many may be reported before the next one is due. */
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

  /** Reports that a holder now keeps `bytes` more, if only briefly. */
  grew(bytes: number): void {
    this.#grown += bytes;
    if (this.#grown <= this.#spare || this.#scheduled) return;
    this.#scheduled = true;
    // not inside the caller's send or read: a check may close its connection
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
        const text = `connections of this actor hold ${sum} B, more than maxBufferedBytes ${this.#maxBufferedBytes}: closing ${holder.label}, which holds the most, ${bytes} B`;
        log.warn?.(text);
        holder.abort(new LimitError(text));
        sum -= bytes;
        if (sum <= this.#maxBufferedBytes) break;
      }
      // collect now: buffers hardly bring the next collection forward, and reconnecting peers would pile up dropped
      // ones
      Bun.gc(true);
    }
    this.#spare = Math.max(this.#maxBufferedBytes - sum, this.#maxBufferedBytes / maxChecks);
  }
}
