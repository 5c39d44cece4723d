import { type Stage, TimeoutError } from "./errors.ts";

/** With a longer delay, setTimeout fires immediately. */
const longestTimerMs = 0x7fff_ffff;

/** How long a drain may take, unless `timeout` says otherwise. */
export const defaultDrainMs = 30_000;

/** A timeout as messages carry it: a whole number, and no longer than a timer can be. */
export function wholeMs(timeout: number): number {
  return Math.min(Math.ceil(timeout), longestTimerMs);
}

/** Waits that users don't set. One object, and not constants, so that a test can shorten them. */
export const timing = {
  /** How long an unused connection stays open. */
  defaultIdleMs: 2_000,
  /** How long a peer that offered to close may take to say bye or resume, once this side has agreed. */
  leavingTimeoutMs: 2_000,
  /** On links that can fall silent: how often to ask for a sign of life, and how many may stay unanswered. */
  pingIntervalMs: 2_000,
  pingsUnanswered: 3,
  /** How long a new registrar waits for missing processes that it knows: a stopped one must not keep the others waiting. */
  gracePeriodMs: 2_000,
  /** The same when it doesn't know which are missing. Longer than any pause between two of their probes for a registrar. */
  blindGracePeriodMs: 500,
  /** How long a new registrar waits for what other hosts have published. Shorter than lookups wait for a registrar. */
  firstLoadMs: 2_000,
  /** How often an actor checks that its sockets still exist; a registrar checks more often (`Tenure`). */
  upkeepMs: 1_000,
  /** How often an actor that listens on all interfaces checks which addresses they have. */
  addressesMs: 5_000,
  /** How long an orderly close of a socket waits, without progress, for the peer to read or to end. */
  closeTimeoutMs: 1_000,
  /** How often a service looks for instances that have stopped answering. One that is silent for three of these is frozen. */
  silenceCheckMs: 250,
  /** How long a load counts that an instance has reported: after that it says nothing about now. */
  loadLastsMs: 1_000,
  /** How long a writer waits for its reader before `furrow.stream.stall` tells of it. */
  stallMs: 1_000,
  /** How long a tree may take to answer a look at its metrics. An actor that takes longer is down. */
  collectMs: 2_000,
  /** How long `metricsText` goes on measuring after a call. */
  metricsLapseMs: 600_000,
  /** How long a step of an actor's end may take before the log mentions it. */
  noticeableMs: 100,
  /** How long work of the `Slices` may take in one turn. A page or a batch of a store is decoded before that, in the same turn. */
  sliceMs: 2,
  /** How long a test tree waits for faults to be seen and ends to be complete before it calls that a leak. */
  settleMs: 5_000,
};

/** @throws {RangeError} when `timeout` is given but isn't a non-negative number of milliseconds */
export function checkTimeout(timeout: number | undefined): void {
  if (timeout === undefined || timeout >= 0) return;
  throw new RangeError(`timeout must be a non-negative number of milliseconds, got ${String(timeout)}`);
}

/** Calls `onTimeout` after `timeout` ms, or never if it is undefined or Infinity. Pass the result to `clearTimeout`. */
export function startTimer(timeout: number | undefined, onTimeout: () => void): Timer | undefined {
  if (timeout === undefined || timeout === Number.POSITIVE_INFINITY) return undefined;
  return setTimeout(onTimeout, Math.min(timeout, longestTimerMs));
}

/** The two ways a caller can bound an operation. */
export interface Bounds {
  /** Aborting rejects with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole operation, across all its stages. */
  readonly timeout?: number | undefined;
}

/** One deadline and signal shared by every step of an operation, so that a timeout can name the step in progress. */
export class Deadline {
  readonly signal: AbortSignal | undefined;
  readonly #endsAt: number;
  readonly #what: string;
  readonly #name: string | undefined;

  /**
   * Errors describe the operation as `what`, followed by `name` in quotes if given.
   *
   * @throws {RangeError} when `timeout` is given but isn't a non-negative number of milliseconds
   */
  constructor(bounds: Bounds, what: string, name?: string) {
    const { signal, timeout } = bounds;
    checkTimeout(timeout);
    this.signal = signal;
    this.#endsAt = timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout;
    this.#what = what;
    this.#name = name;
  }

  /** Milliseconds left: never negative, and Infinity without a timeout. */
  get remainingMs(): number {
    return Math.max(0, this.#endsAt - performance.now());
  }

  /** The error to throw when time runs out in `stage`. */
  expired(stage: Stage): TimeoutError {
    const what = this.#name === undefined ? this.#what : `${this.#what} "${this.#name}"`;
    return new TimeoutError(stage, `${what}: deadline passed in stage "${stage}"`);
  }

  /** Throws when the signal is aborted or the time is up. */
  check(stage: Stage): void {
    this.signal?.throwIfAborted();
    if (this.remainingMs === 0) throw this.expired(stage);
  }

  /**
   * Settles as `work` does, unless the signal or the deadline comes first. In that case `work` keeps running, and a
   * late rejection is swallowed. If the stage can change during `work`, pass a function that returns the current one.
   *
   * @throws {TimeoutError} with `stage` when time runs out
   */
  race<T>(stage: Stage | (() => Stage), work: Promise<T>): Promise<T> {
    const { signal } = this;
    if (signal === undefined && this.#endsAt === Number.POSITIVE_INFINITY) return work;
    const now = typeof stage === "function" ? stage : () => stage;
    // written by hand: Promise.race in an async function costs three times as much, and each dial has two races
    return new Promise((resolve, reject) => {
      const timer = startTimer(this.remainingMs, () => settle(reject, this.expired(now())));
      const onAbort = (): void => settle(reject, signal?.reason);
      const settle = <R>(end: (result: R) => void, result: R): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        end(result);
      };
      work.then(
        (value) => settle(resolve, value),
        (error: unknown) => settle(reject, error),
      );
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        this.check(now());
      } catch (error) {
        settle(reject, error);
      }
    });
  }
}

/** Resolves after `ms`, or rejects with the signal's reason. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
