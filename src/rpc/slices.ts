/** Does long work a few milliseconds at a time, so that it never holds up the event loop for longer. */
import { timing } from "../deadline.ts";
import { asError } from "../errors.ts";
import { logger } from "../log.ts";

const log = logger("rpc");

/** One step of some work; false when there is none left. */
export type Step = () => boolean;

export interface SlicesOptions {
  /** How many steps take longer than reading the clock. */
  readonly stepsPerLook: number;
  /** With each slice the next work goes on, instead of one after the other. Default false. */
  readonly takesTurns?: boolean;
  /** Asked before each step: what it returns has to resolve first. */
  readonly pause?: () => Promise<void> | undefined;
}

export class Slices {
  readonly #work: Step[] = [];
  #idle: PromiseWithResolvers<void> | undefined;
  #timer: NodeJS.Immediate | undefined;
  /** Set while it is paused; each time to another one. */
  #paused: object | undefined;
  #isRunning = false;
  readonly #stepsPerLook: number;
  readonly #takesTurns: boolean;
  readonly #pause: (() => Promise<void> | undefined) | undefined;

  constructor({ stepsPerLook, takesTurns = false, pause }: SlicesOptions) {
    this.#stepsPerLook = stepsPerLook;
    this.#takesTurns = takesTurns;
    this.#pause = pause;
  }

  /** Takes these steps, now or after all work that was added before. */
  add(step: Step): void {
    this.#work.push(step);
    if (this.#timer === undefined && this.#paused === undefined && !this.#isRunning) this.#run();
  }

  /** As `add`, for work of one step: without more ado if there is nothing else to do. */
  do(work: () => void): void {
    const step = (): boolean => {
      work();
      return false;
    };
    if (!this.isIdle || this.#pause !== undefined) return this.add(step);
    this.#isRunning = true;
    attempt(step);
    this.#isRunning = false;
    if (this.#work.length > 0) this.#run();
    else this.#tell();
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

  /** Whether there is nothing left to do. */
  get isIdle(): boolean {
    return this.#work.length === 0 && !this.#isRunning;
  }

  /** Resolves when there is nothing left to do; undefined when that is so. */
  get idle(): Promise<void> | undefined {
    if (this.isIdle) return undefined;
    return (this.#idle ??= Promise.withResolvers()).promise;
  }

  /** Drops what is left to do. */
  clear(): void {
    this.#work.length = 0;
    this.#stopWaiting();
    this.#tell();
  }

  /** Does what is left at once, up to a pause. Returns false, and does nothing, while one of the steps runs. */
  finish(): boolean {
    if (this.#isRunning) return false;
    this.#stopWaiting();
    this.#run(Infinity);
    return true;
  }

  #stopWaiting(): void {
    clearImmediate(this.#timer);
    this.#timer = this.#paused = undefined;
  }

  #run(end: number = performance.now() + timing.sliceMs): void {
    this.#timer = undefined;
    this.#isRunning = true;
    let steps = 0;
    try {
      for (let step = this.#work[0]; step !== undefined; step = this.#work[0]) {
        const pause = this.#pause?.();
        if (pause !== undefined) return this.#goOnAfter(pause);
        const isOver = !attempt(step);
        // it may have cleared all
        if (isOver && this.#work[0] === step) this.#work.shift();
        const looks = isOver || ++steps % this.#stepsPerLook === 0;
        if (looks && this.#work.length > 0 && performance.now() > end) return this.#goOn();
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

  #goOnAfter(pause: Promise<void>): void {
    const paused = (this.#paused = {});
    void pause.then(() => {
      if (this.#paused !== paused) return;
      this.#paused = undefined;
      this.#goOn();
    });
  }

  #tell(): void {
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}

/** Work that fails is over; what waits after it can't help that. */
function attempt(step: Step): boolean {
  try {
    return step();
  } catch (error) {
    log.error?.(`long work failed: ${asError(error).stack}`);
    return false;
  }
}
