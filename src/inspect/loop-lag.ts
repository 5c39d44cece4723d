/** How late the timers of this process are: what keeps its event loop busy keeps every call waiting. */

const periodMs = 100;

export class LoopLag {
  /** The longest delay that each reader has yet to hear of. */
  readonly #readers = new Map<object, number>();
  #timer: Timer | undefined;
  #dueAt = 0;

  add(reader: object): void {
    this.#readers.set(reader, 0);
    if (this.#timer !== undefined) return;
    this.#dueAt = performance.now() + periodMs;
    this.#timer = setInterval(() => {
      this.#note();
      this.#dueAt = performance.now() + periodMs;
    }, periodMs);
    this.#timer.unref();
  }

  remove(reader: object): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The longest delay since the reader asked last. */
  take(reader: object): number {
    // a timer that is due and hasn't run yet is late already
    this.#note();
    const lagMs = this.#readers.get(reader) ?? 0;
    this.#readers.set(reader, 0);
    return lagMs;
  }

  #note(): void {
    const lagMs = performance.now() - this.#dueAt;
    if (lagMs <= 0) return;
    for (const [reader, most] of this.#readers) if (lagMs > most) this.#readers.set(reader, lagMs);
  }
}
