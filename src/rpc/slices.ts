/** Does long work a few milliseconds at a time, so that it never holds up the event loop for longer. */

/** The longest slice. A page or a batch of a store is decoded before that, in the same turn. */
const sliceMs = 2;

/** One step of some work; false when there is none left. */
export type Step = () => boolean;

export class Slices {
  readonly #work: Step[] = [];
  #idle: PromiseWithResolvers<void> | undefined;
  #timer: NodeJS.Immediate | undefined;
  #isRunning = false;
  readonly #stepsPerLook: number;
  readonly #takesTurns: boolean;

  /**
   * `stepsPerLook`: how many steps take longer than reading the clock. `takesTurns`: with each slice the next work goes on,
   * instead of one after the other.
   */
  constructor(stepsPerLook: number, takesTurns: boolean) {
    this.#stepsPerLook = stepsPerLook;
    this.#takesTurns = takesTurns;
  }

  /** Takes these steps, now or after all work that was added before. */
  add(step: Step): void {
    this.#work.push(step);
    if (this.#timer === undefined && !this.#isRunning) this.#run();
  }

  /** Takes a step for each of them. */
  each<T>(all: Iterable<T>, step: (one: T) => void): void {
    const rest = all[Symbol.iterator]();
    this.add(() => {
      const { done, value } = rest.next();
      if (done !== true) step(value);
      return done !== true;
    });
  }

  /** Resolves when there is nothing left to do; undefined when that is so. */
  get idle(): Promise<void> | undefined {
    if (this.#work.length === 0) return undefined;
    return (this.#idle ??= Promise.withResolvers()).promise;
  }

  /** Drops what is left to do. */
  clear(): void {
    this.#work.length = 0;
    clearImmediate(this.#timer);
    this.#timer = undefined;
    this.#tell();
  }

  #run(): void {
    this.#timer = undefined;
    this.#isRunning = true;
    const end = performance.now() + sliceMs;
    try {
      for (let step = this.#work[0]; step !== undefined; step = this.#work[0]) {
        for (let steps = 1; step(); steps++)
          if (steps % this.#stepsPerLook === 0 && performance.now() > end) return this.#goOn();
        // it may have cleared all
        if (this.#work[0] === step) this.#work.shift();
        if (performance.now() > end && this.#work.length > 0) return this.#goOn();
      }
    } finally {
      this.#isRunning = false;
    }
    this.#tell();
  }

  #goOn(): void {
    if (this.#takesTurns && this.#work.length > 1) this.#work.push(this.#work.shift()!);
    this.#timer = setImmediate(() => this.#run());
  }

  #tell(): void {
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}
