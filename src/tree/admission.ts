/**
 * Limits how many processes start at the same time; others queue, first come, first served. Pure: no clock or
 * processes.
 */

/** Gives a place back. Idempotent. */
export type Leave = () => void;

export class Admission {
  readonly #places: number;
  #taken = 0;
  /** The queue, in order of arrival. Calling an entry gives it its place. */
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#places = places;
  }

  /** The length of the queue. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether no place is taken, and so nobody waits for one. */
  get isIdle(): boolean {
    return this.#taken === 0;
  }

  /** Takes a place if one is free and the queue is empty. */
  tryEnter(): Leave | undefined {
    return this.#taken < this.#places && this.#waiting.size === 0 ? this.#take() : undefined;
  }

  /** Waits for a place. On abort it rejects with the signal's reason, without having taken a place. */
  async enter(signal: AbortSignal): Promise<Leave> {
    signal.throwIfAborted();
    const free = this.tryEnter();
    if (free !== undefined) return free;
    const { promise, resolve, reject } = Promise.withResolvers<Leave>();
    const admit = (): void => resolve(this.#take());
    const onAbort = (): void => {
      // not in the queue: it already has its place, and has to give it back itself
      if (this.#waiting.delete(admit)) reject(signal.reason);
    };
    this.#waiting.add(admit);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #take(): Leave {
    this.#taken++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#taken--;
      this.#admitNext();
    };
  }

  #admitNext(): void {
    for (const admit of this.#waiting) {
      if (this.#taken >= this.#places) return;
      this.#waiting.delete(admit);
      admit();
    }
  }
}
