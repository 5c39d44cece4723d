/** All actors together, for the header. Pure. */
import type { Activity } from "./history.ts";
import { added, quantile, subtracted } from "./rates.ts";

export interface Totals {
  /** That are registered. */
  readonly actors: number;
  readonly callsPerSecond: number;
  readonly p99: number | undefined;
  readonly rssBytes: number;
  /** In cores. */
  readonly cpu: number;
}

interface Known {
  readonly ended: { peek(): unknown };
  readonly activity: { peek(): Activity | undefined };
}

export function totalsOf(actors: readonly Known[], boundsMs: readonly number[]): Totals {
  const live = actors.filter(({ ended }) => ended.peek() === undefined);
  const activities = live.flatMap(({ activity }) => activity.peek() ?? []);
  const sum = (of: (activity: Activity) => number | undefined): number =>
    activities.reduce((total, activity) => total + (of(activity) ?? 0), 0);
  const buckets = activities.reduce<readonly number[]>(
    (total, { sample, before }) =>
      added(total, before?.sinceMs === sample.sinceMs ? subtracted(sample.buckets, before.buckets) : []),
    Array.from({ length: boundsMs.length + 1 }, () => 0),
  );
  return {
    actors: live.length,
    callsPerSecond: sum(({ rates }) => rates?.callsPerSecond),
    p99: quantile(buckets, boundsMs, 0.99),
    rssBytes: sum(({ sample }) => sample.rssBytes),
    cpu: sum(({ rates }) => rates?.cpu),
  };
}
