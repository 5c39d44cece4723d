/**
 * The timing. Operations take turns in short blocks inside one process, so that whatever the machine does meanwhile it
 * does to each of them; what counts is the ratio of two that took turns.
 */

/** Something that can be timed. */
export interface Operation {
  /** Calls that one sample makes; its time is divided by them. Default 1. */
  readonly calls?: number;
  /** One sample; awaited. */
  run(): unknown;
  /** Brings back the starting position before each sample, outside its time. */
  before?(): Promise<void>;
}

/** What takes turns: a row's subject, its baseline, and others to compare the subject with, by their ids. */
export interface Contest extends AsyncDisposable {
  readonly subject: Operation;
  readonly baseline: Operation;
  readonly others?: Readonly<Record<string, Operation>>;
}

/** How long to time. */
export interface Pace {
  /** Before the first block each operation is called so often: what is hot is compiled in steps, the last after thousands. */
  readonly warmupCalls: number;
  /** But for no shorter and no longer than this. */
  readonly warmupMs: readonly [least: number, most: number];
  readonly blockMs: number;
  /** Blocks of each operation. */
  readonly blocks: number;
}

/** One operation's samples, in nanoseconds for each call. */
export interface Summary {
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly meanNs: number;
  /** The values below which the shares of `quantileShares` lie, in its order. */
  readonly quantilesNs: readonly number[];
  readonly samples: number;
}

/** Which quantiles are kept of each operation's samples. */
export const quantileShares: readonly number[] = [
  0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999,
];

/** Summaries by side: "subject", "baseline" and the ids of the others. */
export type Sides = Readonly<Record<string, Summary>>;

/** Lets the contest's operations take turns, the subject first or, `reversed`, last. */
export async function timeContest(contest: Contest, pace: Pace, reversed: boolean): Promise<Sides> {
  const { subject, baseline, others = {} } = contest;
  const sides = Object.entries({ subject, baseline, ...others });
  if (reversed) sides.reverse();
  for (const [, operation] of sides) await warmUp(operation, pace);
  const samples = new Map(sides.map(([side]) => [side, [] as number[]]));
  for (let block = 0; block < pace.blocks; block++) {
    for (const [side, operation] of sides) await timeBlock(operation, pace.blockMs, samples.get(side) ?? []);
  }
  return Object.fromEntries(Array.from(samples, ([side, found]) => [side, summarize(found)]));
}

async function warmUp(operation: Operation, { warmupCalls, warmupMs: [least, most] }: Pace): Promise<void> {
  const { calls = 1 } = operation;
  const samples: number[] = [];
  const start = Bun.nanoseconds();
  await timeBlock(operation, least, samples);
  while (samples.length * calls < warmupCalls && Bun.nanoseconds() - start < most * 1e6) {
    await timeBlock(operation, 0, samples);
  }
}

/** Samples the operation for that long, but at least once. */
async function timeBlock(operation: Operation, ms: number, samples: number[]): Promise<void> {
  const { calls = 1 } = operation;
  const end = Bun.nanoseconds() + ms * 1e6;
  let now: number;
  do {
    if (operation.before !== undefined) await operation.before();
    const start = Bun.nanoseconds();
    await operation.run();
    now = Bun.nanoseconds();
    samples.push((now - start) / calls);
  } while (now < end);
}

function summarize(samples: readonly number[]): Summary {
  const sorted = Float64Array.from(samples).sort();
  return {
    p50Ns: quantile(sorted, 0.5),
    p99Ns: quantile(sorted, 0.99),
    meanNs: sorted.reduce((sum, one) => sum + one, 0) / sorted.length,
    quantilesNs: quantileShares.map((share) => quantile(sorted, share)),
    samples: sorted.length,
  };
}

/** The value below which that share of the samples lies; between two of them, their mean in proportion. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** The median of a few values. */
export function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}
