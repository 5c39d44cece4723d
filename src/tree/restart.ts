/** Decides whether a child that has ended is restarted, and after what delay. Pure: no clock, no processes. */

export type RestartWhen = "never" | "on-failure" | "always";

/** A complete policy; times are in milliseconds. */
export interface RestartPolicy {
  readonly when: RestartWhen;
  /** At most this many restarts within `withinMs`; the next end is final. Default 5. */
  readonly maxRestarts: number;
  /** Default 60,000. */
  readonly withinMs: number;
  /** The delay before the first restart, which doubles each time, and the longest delay. Default [50, 5000]. */
  readonly backoffMs: readonly [number, number];
}

/** The `restart` option of `startActor`. */
export type RestartOption =
  | RestartWhen
  | {
      readonly when: "on-failure" | "always";
      readonly maxRestarts?: number;
      readonly withinMs?: number;
      readonly backoffMs?: readonly [number, number];
    };

const defaults = { maxRestarts: 5, withinMs: 60_000, backoffMs: [50, 5_000] } as const;

/** With a longer delay, setTimeout fires immediately. */
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
    throw new RangeError(`restart.maxRestarts must be a non-negative integer, got ${String(maxRestarts)}`);
  }
  if (!(withinMs > 0)) throw new RangeError(`restart.withinMs must be positive, got ${String(withinMs)}`);
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

  /** Whether its child may be restarted at all. */
  get restarts(): boolean {
    return this.policy.when !== "never";
  }

  /** How many restarts of the current window are used up. */
  get used(): number {
    return this.#times.length;
  }

  /** Whether the policy restarts a child that ended like this, as long as the window allows. */
  appliesTo(failed: boolean): boolean {
    const { when } = this.policy;
    return when === "always" || (when === "on-failure" && failed);
  }

  /**
   * The delay in ms before the next restart of a child that ended at `nowMs`. Undefined if it isn't restarted, either
   * because of its policy or because the restarts of the window are used up.
   */
  next(failed: boolean, nowMs: number): number | undefined {
    const { maxRestarts, withinMs, backoffMs } = this.policy;
    if (!this.appliesTo(failed)) return undefined;
    this.#times = this.#times.filter((time) => nowMs - time < withinMs);
    if (this.#times.length >= maxRestarts) return undefined;
    const [first, longest] = backoffMs;
    // limit the exponent first: 0 times Infinity is NaN
    const wait = Math.min(longest, longestWaitMs, first * 2 ** Math.min(this.#times.length, maxDoublings));
    this.#times.push(nowMs);
    return wait;
  }
}
