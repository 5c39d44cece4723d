/** Scopes for local tasks: a group that joins what it started, and a shield for clean-up. After trio. */
import { checkTimeout, startTimer } from "../deadline.ts";
import { TimeoutError } from "../errors.ts";
import { ambientTask, Task } from "./task.ts";

/** A scope for local tasks. Leaving its `await using` block joins all of them; the first error cancels the rest. */
export interface TaskGroup extends AsyncDisposable {
  /** Aborted when a task fails, or the scope around the group is cancelled. */
  readonly signal: AbortSignal;
  /**
   * Runs `fn` in the group. What it calls through portals is cancelled with the group. The promise may be ignored: an
   * error is thrown at the end of the block in any case.
   */
  start<T>(fn: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /**
   * Cancels all tasks; the end of the block does not tell of those that only pass the cancel on. A block that throws
   * does not cancel its group by itself: JavaScript does not tell a disposer why it is called.
   */
  cancel(): void;
}

/**
 * Opens a group. It is cancelled with the task that it is opened in, and with `signal`.
 *
 * At the end of its block it throws what failed: one error as itself, several as an `AggregateError` in the order of
 * failing. Tasks that only passed the cancel on do not count.
 */
export function openTaskGroup(options: { readonly signal?: AbortSignal } = {}): TaskGroup {
  return new Group(options.signal);
}

class Group implements TaskGroup {
  readonly #task: Task;
  readonly #running = new Set<Promise<unknown>>();
  readonly #errors: unknown[] = [];
  readonly #undo: (() => void)[] = [];
  /** The reason of a cancel by the group's owner. */
  #cancelled: Error | undefined;

  constructor(signal: AbortSignal | undefined) {
    const outer = ambientTask();
    this.#task = new Task(outer?.origin);
    if (outer !== undefined) this.#undo.push(outer.onAbort((reason) => this.#task.abort(reason)));
    if (signal === undefined) return;
    const onAbort = (): void => this.#task.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#undo.push(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
  }

  get signal(): AbortSignal {
    return this.#task.signal;
  }

  start<T>(fn: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      this.signal.throwIfAborted();
      return await fn(this.signal);
    };
    const running = this.#task.run(run);
    const watched = running.then(
      () => {},
      (error: unknown) => this.#onError(error),
    );
    this.#running.add(watched);
    void watched.then(() => this.#running.delete(watched));
    return running;
  }

  cancel(): void {
    this.#cancelled = new Error("the task group was cancelled");
    this.#task.abort(this.#cancelled);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // a task may start others while it is waited for
    while (this.#running.size > 0) await Promise.all(this.#running);
    for (const undo of this.#undo.splice(0)) undo();
    const errors = this.#errors.splice(0);
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, `${errors.length} tasks of a group failed`);
  }

  #onError(error: unknown): void {
    if (this.#cancelled !== undefined && error === this.#cancelled) return;
    if (this.#task.aborted && error === this.#task.reason) {
      // the cancel that came from outside is told once; the one that a failure caused is told as the failure
      if (!this.#errors.includes(error)) this.#errors.push(error);
      return;
    }
    this.#errors.push(error);
    this.#task.abort(error);
  }
}

/**
 * Runs clean-up that must not be cut short: no cancel from around it reaches `fn`, only the end of `timeout` (ms) does.
 *
 * @throws {TimeoutError} with stage "stop" when `fn` takes longer; its signal has fired then
 * @throws {RangeError} when `timeout` is no number of milliseconds from 0
 */
export async function shield<T>(
  fn: (signal: AbortSignal) => Promise<T>,
  options: { readonly timeout: number },
): Promise<T> {
  checkTimeout(options.timeout ?? Number.NaN); // without types it may be missing
  const task = new Task(ambientTask()?.origin);
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = startTimer(options.timeout, () => {
    const error = new TimeoutError("stop", `shielded work took longer than ${options.timeout} ms`);
    task.abort(error);
    reject(error);
  });
  const work = Promise.race([task.run(async () => await fn(task.signal)), promise]);
  // an actor that ends waits for it
  shields.set(task, work);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    shields.delete(task);
  }
}

const shields = new Map<Task, Promise<unknown>>();

/** Resolves when the shielded work that runs in this process now has ended, but for that of `except`; each has its bound. */
export async function shieldsEnded(except: Task | undefined): Promise<void> {
  const others = Array.from(shields).filter(([task]) => task !== except);
  await Promise.allSettled(others.map(([, work]) => work));
}
