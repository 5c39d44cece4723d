/** The turns of this process's event loop, by what they compute: other processes don't count, collections of garbage do. */
export class Turns {
  readonly #timer: Timer;
  #last: number = computedMs();
  #longest = 0;

  constructor() {
    this.#timer = setInterval(() => this.#look(), 1);
  }

  /** How long the longest has computed since the last time, in ms. */
  take(): number {
    this.#look();
    const longest = this.#longest;
    this.#longest = 0;
    return longest;
  }

  /** Returns the longest, and looks no more. */
  end(): number {
    clearInterval(this.#timer);
    return this.take();
  }

  #look(): void {
    const now = computedMs();
    this.#longest = Math.max(this.#longest, now - this.#last);
    this.#last = now;
  }
}

/** By this thread. */
function computedMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
