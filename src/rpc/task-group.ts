/** Scopes for local tasks: a group that joins the tasks it started, and a shield for clean-up. Modelled on trio. */
import { checkTimeout, startTimer } from "../deadline.ts";
import { TimeoutError } from "../errors.ts";
import { ambientTask, innerTask, shields, type Task } from "./task.ts";

/** A scope for local tasks. Leaving its `await using` block joins all of them; the first error cancels the rest. */
export interface TaskGroup extends AsyncDisposable {
  /** Aborted when a task fails, when the group is cancelled, or when the surrounding scope is. */
  readonly signal: AbortSignal;
  /**
   * Runs `fn` in the group. The calls that it makes through portals are cancelled with the group. You may ignore the
   * promise: the end of the block throws an error in any case.
   */
  start<T>(fn: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /**
   * Cancels all tasks; the end of the block doesn't report those that merely pass the cancel on. A block that throws
   * doesn't cancel its group automatically, because JavaScript doesn't tell a disposer why it is called.
   */
  cancel(): void;
}

/**
 * Opens a task group. It is cancelled with the task in which it is opened, and with `signal`.
 *
 * The end of its block throws what failed: a single error as itself, several as an `AggregateError` in the order in
 * which they failed. Tasks that merely pass on the group's own cancel don't count.
 */
export function openTaskGroup(options: { readonly signal?: AbortSignal } = {}): TaskGroup {
  return new Group(options.signal);
}

class Group implements TaskGroup {
  readonly #task: Task;
  readonly #running = new Set<Promise<unknown>>();
  readonly #errors: unknown[] = [];
  readonly #undo: (() => void)[] = [];
  /** The reason of `cancel()`. */
  #cancelled: Error | undefined;

  constructor(signal: AbortSignal | undefined) {
    const outer = ambientTask();
    this.#task = innerTask(outer);
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
    // a task may start others while we wait for it
    while (this.#running.size > 0) await Promise.all(this.#running);
    for (const undo of this.#undo.splice(0)) undo();
    const errors = this.#errors.splice(0);
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, `${errors.length} tasks of a group failed`);
  }

  #onError(error: unknown): void {
    if (this.#cancelled !== undefined && error === this.#cancelled) return;
    if (this.#task.aborted && error === this.#task.reason) {
      // report a cancel from outside once; the error of a failed task is already in the list
      if (!this.#errors.includes(error)) this.#errors.push(error);
      return;
    }
    this.#errors.push(error);
    this.#task.abort(error);
  }
}

/**
 * Runs clean-up that must not be cut short: cancels of the surrounding task don't reach `fn`, only its own `timeout`
 * (ms).
 *
 * @throws {TimeoutError} with stage "stop" when `fn` takes longer; its signal has been aborted by then
 * @throws {RangeError} when `timeout` isn't a non-negative number of milliseconds
 */
export async function shield<T>(
  fn: (signal: AbortSignal) => Promise<T>,
  options: { readonly timeout: number },
): Promise<T> {
  checkTimeout(options.timeout ?? Number.NaN); // untyped callers may leave it out
  const task = innerTask(ambientTask());
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = startTimer(options.timeout, () => {
    const error = new TimeoutError("stop", `shielded work took longer than ${options.timeout} ms`);
    task.abort(error);
    reject(error);
  });
  const work = Promise.race([task.run(async () => await fn(task.signal)), promise]);
  // an actor that is ending waits for it
  shields.set(task, { work, endsAt: performance.now() + options.timeout });
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    shields.delete(task);
  }
}
