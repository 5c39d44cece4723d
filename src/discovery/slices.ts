/** Does long work a few milliseconds at a time, so that it never holds up the event loop for longer. */

/** The longest slice. A page or a batch of a store is decoded before that, in the same turn. */
const sliceMs = 4;
/** Reading the clock takes longer than most steps. */
const stepsPerLook = 16;

export class Slices {
  readonly #work: Iterator<unknown>[] = [];
  #idle: PromiseWithResolvers<void> | undefined;
  #timer: NodeJS.Immediate | undefined;
  #isRunning = false;

  /** Work that is added is done in the order of adding, from now on. An iterator yields wherever the rest can wait. */
  add(work: Iterator<unknown>): void {
    this.#work.push(work);
    if (this.#timer === undefined && !this.#isRunning) this.#run();
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
      for (let work = this.#work[0]; work !== undefined; work = this.#work[0]) {
        for (let steps = 0; work.next().done !== true;) {
          if (++steps % stepsPerLook === 0 && performance.now() > end) return this.#goOn();
        }
        // it may have cleared all
        if (this.#work[0] === work) this.#work.shift();
        if (performance.now() > end && this.#work.length > 0) return this.#goOn();
      }
    } finally {
      this.#isRunning = false;
    }
    this.#tell();
  }

  #goOn(): void {
    this.#timer = setImmediate(() => this.#run());
  }

  #tell(): void {
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}
