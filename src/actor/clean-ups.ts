/** The clean-ups that a program has registered with `onEnd`: run at the actor's end, the last one first. */
import { checkTimeout } from "../deadline.ts";
import { asError, NoRuntimeError, TimeoutError } from "../errors.ts";
import { logger } from "../log.ts";
import { outsideTasks } from "../rpc/task.ts";

const log = logger("actor");

/** Ends something that a program has opened. `signal` fires when its time is up. */
export type CleanUp = (signal: AbortSignal) => unknown;

interface Entry {
  readonly fn: CleanUp;
  readonly timeoutMs: number;
}

export class CleanUps {
  readonly #entries: Entry[] = [];
  /** When the one that runs has to be done. */
  #endsAt = 0;
  #areOver = false;

  /**
   * Registers a clean-up; returns a function that takes it back.
   *
   * @throws {RangeError} when `timeoutMs` isn't a finite number from 0
   * @throws {NoRuntimeError} when all clean-ups have run
   */
  add(fn: CleanUp, timeoutMs: number): () => void {
    checkTimeout(timeoutMs);
    if (timeoutMs === Number.POSITIVE_INFINITY)
      throw new RangeError("the timeout of a clean-up must be finite: the end of the actor waits for it");
    if (this.#areOver)
      throw new NoRuntimeError("the actor has ended: a clean-up registered now would not run");
    const entry = { fn, timeoutMs };
    this.#entries.push(entry);
    return () => {
      const at = this.#entries.indexOf(entry);
      if (at >= 0) this.#entries.splice(at, 1);
    };
  }

  /** How much longer they may take, all in all. */
  get neededMs(): number {
    const current = Math.max(0, this.#endsAt - performance.now());
    return this.#entries.reduce((sum, { timeoutMs }) => sum + timeoutMs, current);
  }

  /** Runs them one after the other, those that they register included. `onDone` is called after each. */
  async run(onDone: (what: string, since: number) => void): Promise<void> {
    for (let next = this.#entries.pop(); next !== undefined; next = this.#entries.pop()) {
      const what = next.fn.name === "" ? "a clean-up" : `clean-up ${next.fn.name}`;
      const since = performance.now();
      await this.#runOne(next, what);
      onDone(what, since);
    }
    this.#areOver = true;
  }

  /** What fails, or takes too long, is logged, and the next one runs. */
  async #runOne({ fn, timeoutMs }: Entry, what: string): Promise<void> {
    const late = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endsAt = performance.now() + timeoutMs;
    const timer = setTimeout(() => {
      const text = `${what} took longer than ${timeoutMs} ms`;
      late.abort(new TimeoutError("stop", text));
      log.warn?.(`${text}: ending without it`);
      resolve();
    }, timeoutMs);
    const work = (async () => await outsideTasks(() => fn(late.signal)))().catch((error: unknown) => {
      log.warn?.(`${what} failed: ${asError(error).message}`);
    });
    await Promise.race([work, promise]);
    clearTimeout(timer);
    this.#endsAt = 0;
  }
}
