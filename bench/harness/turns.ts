/** The turns of this process's event loop. */

/** The longest turn of a time, in ms. */
export interface LongestTurn {
  /** What this thread has computed: other processes don't count, collections of garbage do. */
  readonly computedMs: number;
  /** How long it was by the clock, whatever else the machine did. An idle loop has turns of 1 ms. */
  readonly wallMs: number;
}

export class Turns {
  readonly #timer: Timer;
  #computed: number = computedMs();
  #clock: number = performance.now();
  #longest: LongestTurn = { computedMs: 0, wallMs: 0 };

  constructor() {
    this.#timer = setInterval(() => this.#look(), 1);
  }

  /** Returns how long the longest has computed since the last time, in ms. */
  take(): number {
    return this.takeLongest().computedMs;
  }

  /** As `take`, by the clock, too. The two may be of different turns. */
  takeLongest(): LongestTurn {
    this.#look();
    const longest = this.#longest;
    this.#longest = { computedMs: 0, wallMs: 0 };
    return longest;
  }

  /** Returns the longest, and looks no more. */
  end(): number {
    clearInterval(this.#timer);
    return this.take();
  }

  #look(): void {
    const [computed, clock] = [computedMs(), performance.now()];
    this.#longest = {
      computedMs: Math.max(this.#longest.computedMs, computed - this.#computed),
      wallMs: Math.max(this.#longest.wallMs, clock - this.#clock),
    };
    this.#computed = computed;
    this.#clock = clock;
  }
}

/** By this thread. */
function computedMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
