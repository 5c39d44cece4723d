/** When a child that has ended is started again, and after how long. Pure: no clock, no processes. */

export type RestartWhen = "never" | "on-failure" | "always";

/** A policy in full; times are milliseconds. */
export interface RestartPolicy {
  readonly when: RestartWhen;
  /** At most so many restarts within `withinMs`; the next end is final. Default 5. */
  readonly maxRestarts: number;
  /** Default 60,000. */
  readonly withinMs: number;
  /** The wait before the first restart, and the longest: it doubles in between. Default [50, 5000]. */
  readonly backoffMs: readonly [number, number];
}

/** What `startActor` takes. */
export type RestartOption =
  | RestartWhen
  | {
      readonly when: "on-failure" | "always";
      readonly maxRestarts?: number;
      readonly withinMs?: number;
      readonly backoffMs?: readonly [number, number];
    };

const defaults = { maxRestarts: 5, withinMs: 60_000, backoffMs: [50, 5_000] } as const;

/** setTimeout fires at once for anything longer. */
const longestWaitMs = 0x7fff_ffff;
const maxDoublings = 31;

/** @throws {RangeError} when a number is out of range, or `when` is unknown */
export function readRestart(option: RestartOption = "never"): RestartPolicy {
  const policy: RestartPolicy = { ...defaults, ...(typeof option === "string" ? { when: option } : option) };
  const { when, maxRestarts, withinMs, backoffMs } = policy;
  if (!["never", "on-failure", "always"].includes(when)) {
    throw new RangeError(`restart must be "never", "on-failure" or "always", got ${JSON.stringify(when)}`);
  }
  if (!Number.isInteger(maxRestarts) || maxRestarts < 0) {
    throw new RangeError(`restart.maxRestarts must be an integer from 0, got ${String(maxRestarts)}`);
  }
  if (!(withinMs > 0)) throw new RangeError(`restart.withinMs must be above 0, got ${String(withinMs)}`);
  if (!(backoffMs[0] >= 0 && backoffMs[1] >= backoffMs[0])) {
    throw new RangeError(`restart.backoffMs must be [first, longest], got ${JSON.stringify(backoffMs)}`);
  }
  return policy;
}

/** Counts the restarts of one child. */
export class RestartBudget {
  readonly policy: RestartPolicy;
  #times: number[] = [];

  constructor(policy: RestartPolicy) {
    this.policy = policy;
  }

  /**
   * The wait in ms before the next restart of a child that ended at `nowMs`, or undefined when it is not started again:
   * its policy says so, or the window's restarts are used up.
   */
  next(failed: boolean, nowMs: number): number | undefined {
    const { when, maxRestarts, withinMs, backoffMs } = this.policy;
    if (when === "never" || (when === "on-failure" && !failed)) return undefined;
    this.#times = this.#times.filter((time) => nowMs - time < withinMs);
    if (this.#times.length >= maxRestarts) return undefined;
    const [first, longest] = backoffMs;
    // bounded before it is multiplied: 0 times Infinity is no number
    const wait = Math.min(longest, longestWaitMs, first * 2 ** Math.min(this.#times.length, maxDoublings));
    this.#times.push(nowMs);
    return wait;
  }
}
