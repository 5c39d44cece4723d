/** Rates and quantiles from counters: differences between two looks at an actor, over the actor's own clock. Pure. */
import { quantile } from "../../inspect/histogram.ts";
import type { ActorSample } from "../protocol.ts";

/** What the actor did between two of its samples. */
export interface Rates {
  readonly callsPerSecond: number;
  /** Of one core: 1 is one core that is busy all the time. */
  readonly cpu: number;
}

/** Undefined if the two don't compare: the actor began to count again. */
export function ratesOf(before: ActorSample, after: ActorSample): Rates | undefined {
  const seconds = (after.clockMs - before.clockMs) / 1_000;
  if (seconds <= 0) return undefined;
  const cpu = Math.max(0, after.cpuSeconds - before.cpuSeconds) / seconds;
  // what isn't measured while nobody looks isn't zero
  if (before.sinceMs !== after.sinceMs) return undefined;
  return {
    callsPerSecond: Math.max(0, after.calls - before.calls) / seconds,
    cpu,
  };
}

export function subtracted(after: readonly number[], before: readonly number[] | undefined): number[] {
  return after.map((count, at) => Math.max(0, count - (before?.[at] ?? 0)));
}

export function added(one: readonly number[], other: readonly number[]): number[] {
  return one.map((count, at) => count + (other[at] ?? 0));
}

/** How many milliseconds a share of the calls took at the most; see `quantile`. */
export function quantileMs(buckets: readonly number[], share: number): number | undefined {
  const seconds = quantile(buckets, share);
  return seconds === undefined ? undefined : seconds * 1_000;
}
