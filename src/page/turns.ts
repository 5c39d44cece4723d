/** Lets so many at once do something, and the others wait in the order in which they came. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when it's the caller's turn, which lasts until disposal. A second disposal does nothing. */
  async take(signal: AbortSignal): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isOver = false;
    const turn = {
      [Symbol.dispose]: () => {
        if (!isOver) this.#pass();
        isOver = true;
      },
    };
    if (!signal.aborted) return turn;
    this.#pass();
    throw signal.reason;
  }

  #pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
