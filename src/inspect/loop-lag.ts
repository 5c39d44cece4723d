/** How late the timers of this process are: what keeps its event loop busy keeps every call waiting. */

/**
 * How often to look, as a share of the time between a reader's samples, and in ms. A wake-up costs an idle process as much as ten
 * calls, so one that is seldom sampled wakes up seldom.
 */
const looksPerSample = 10;
const leastPeriodMs = 100;
const mostPeriodMs = 1_000;

interface Reading {
  readonly periodMs: number;
  /** The longest delay that the reader has yet to hear of. */
  lagMs: number;
}

export class LoopLag {
  readonly #readers = new Map<object, Reading>();
  #timer: Timer | undefined;
  #periodMs = 0;
  #dueAt = 0;

  /** `everyMs`: how often it takes a sample. */
  add(reader: object, everyMs: number): void {
    const periodMs = Math.min(mostPeriodMs, Math.max(leastPeriodMs, everyMs / looksPerSample));
    this.#readers.set(reader, { periodMs, lagMs: 0 });
    this.#begin();
  }

  remove(reader: object): void {
    this.#readers.delete(reader);
    this.#begin();
  }

  /** Looks as often as the most frequent reader wants. */
  #begin(): void {
    const periodMs = Math.min(...Array.from(this.#readers.values(), (one) => one.periodMs));
    if (this.#timer !== undefined && periodMs === this.#periodMs) return;
    if (this.#timer !== undefined) this.#note();
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#readers.size === 0) return;
    this.#periodMs = periodMs;
    this.#dueAt = performance.now() + periodMs;
    this.#timer = setInterval(() => {
      this.#note();
      this.#dueAt = performance.now() + periodMs;
    }, periodMs);
    this.#timer.unref();
  }

  /** The longest delay since the reader asked last. */
  take(reader: object): number {
    // a timer that is due and hasn't run yet is late already
    this.#note();
    const reading = this.#readers.get(reader);
    if (reading === undefined) return 0;
    const { lagMs } = reading;
    reading.lagMs = 0;
    return lagMs;
  }

  #note(): void {
    const lagMs = performance.now() - this.#dueAt;
    if (lagMs <= 0) return;
    for (const reading of this.#readers.values()) reading.lagMs = Math.max(reading.lagMs, lagMs);
  }
}
