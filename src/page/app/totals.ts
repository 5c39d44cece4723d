/** All actors together, for the header. Pure. */
import { noCounts } from "../../inspect/histogram.ts";
import type { Activity } from "./history.ts";
import { added, quantileMs, subtracted } from "./rates.ts";

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

export function totalsOf(actors: readonly Known[]): Totals {
  const live = actors.filter(({ ended }) => ended.peek() === undefined);
  const activities = live.flatMap(({ activity }) => activity.peek() ?? []);
  const sum = (of: (activity: Activity) => number | undefined): number =>
    activities.reduce((total, activity) => total + (of(activity) ?? 0), 0);
  const buckets = activities.reduce<readonly number[]>(
    (total, { sample, before }) =>
      added(total, before?.sinceMs === sample.sinceMs ? subtracted(sample.buckets, before.buckets) : []),
    noCounts(),
  );
  return {
    actors: live.length,
    callsPerSecond: sum(({ rates }) => rates?.callsPerSecond),
    p99: quantileMs(buckets, 0.99),
    rssBytes: sum(({ sample }) => sample.rssBytes),
    cpu: sum(({ rates }) => rates?.cpu),
  };
}
