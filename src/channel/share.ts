/**
 * How many messages of one connection are processed in one turn of the event loop, so that it doesn't keep the others
 * waiting: what takes about `budgetMs`. Only connections that send many messages at once have a share; the others pay
 * for no clock (row `rpc.unix.64`).
 */
const budgetMs = 10;
/** How often the clock is read, in messages. */
const step = 8;
const most = 4_096;

export class Share {
  /** As many messages of a turn are processed without a look at the clock. */
  readonly #unclocked: number;
  #size: number;
  #granted: number;
  /** How many had been granted when the clock was first read in this turn, and when that was. */
  #clockedFrom = 0;
  #since = 0;
  #isSpent = false;

  /** Begins with a turn in which `unclocked` messages have been processed. */
  constructor(unclocked: number) {
    this.#unclocked = unclocked;
    this.#granted = unclocked;
    // no more at first: the work of calls that await something only shows after the turn
    this.#size = 2 * unclocked;
  }

  /** Begins a turn; returns after how many messages to call `more`. */
  begin(): number {
    this.#granted = 0;
    this.#isSpent = false;
    return this.#size > this.#unclocked ? this.#grant(this.#unclocked) : this.#startClock();
  }

  /** Returns how many more messages may be processed in this turn; 0 ends it. */
  more(): number {
    const left = this.#size - this.#granted;
    if (left > 0) {
      if (this.#granted === this.#unclocked && this.#size > this.#unclocked) return this.#startClock();
      if (performance.now() - this.#since < budgetMs) return this.#grant(Math.min(step, left));
    }
    this.#isSpent = true;
    return 0;
  }

  /** Adapts the size to what a turn took. Call it once all is done that the turn has begun and that can be done at once. */
  measure(): void {
    if (!this.#isSpent) return;
    const each = (performance.now() - this.#since) / (this.#granted - this.#clockedFrom);
    // in steps: this process may have had to wait for a processor
    const least = Math.max(1, this.#size >> 2);
    this.#size = Math.max(least, Math.min(Math.floor(budgetMs / each), 2 * this.#size, most));
  }

  #startClock(): number {
    this.#clockedFrom = this.#granted;
    this.#since = performance.now();
    return this.#grant(Math.min(step, this.#size - this.#granted));
  }

  #grant(count: number): number {
    this.#granted += count;
    return count;
  }
}
