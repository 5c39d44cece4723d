/** How many processes may be starting at once: the others wait, first come, first served. Pure: no clock, no processes. */

/** Gives a place back; a second call does nothing. */
export type Leave = () => void;

export class Admission {
  readonly #places: number;
  #taken = 0;
  /** Those who wait, in the order of their coming; each takes its place by being called. */
  readonly #waiting = new Set<() => void>();

  constructor(places: number) {
    this.#places = places;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** A place, if there is one and nobody waits. */
  tryEnter(): Leave | undefined {
    return this.#taken < this.#places && this.#waiting.size === 0 ? this.#take() : undefined;
  }

  /** Waits for a place. Rejects with the signal's reason; then none is taken. */
  async enter(signal: AbortSignal): Promise<Leave> {
    signal.throwIfAborted();
    const free = this.tryEnter();
    if (free !== undefined) return free;
    const { promise, resolve, reject } = Promise.withResolvers<Leave>();
    const admit = (): void => resolve(this.#take());
    const onAbort = (): void => {
      // one that has its place keeps it, and gives it back itself
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
