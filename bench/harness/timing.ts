/**
 * The timing. Operations take turns in short blocks inside one process, so that whatever else the machine does affects
 * all of them alike; what counts is the ratio of two that took turns.
 */

/** Something that can be timed. */
export interface Operation {
  /** How many calls one sample makes; its time is divided by this. Default 1. */
  readonly calls?: number;
  /** Takes one sample; awaited. */
  run(): unknown;
  /** Restores the starting state before each sample; not timed. */
  before?(): Promise<void>;
}

/** What takes turns: a row's subject, its baseline, and others to compare the subject with, by their ids. */
export interface Contest extends AsyncDisposable {
  readonly subject: Operation;
  readonly baseline: Operation;
  readonly others?: Readonly<Record<string, Operation>>;
}

/** How long to warm up and to time. */
export interface Pace {
  /** Calls of each operation before the first block: hot code is compiled in steps, the last one after thousands. */
  readonly warmupCalls: number;
  /** The warm-up takes at least and at most this long, whatever `warmupCalls` says. */
  readonly warmupMs: readonly [least: number, most: number];
  readonly blockMs: number;
  /** Blocks of each operation. */
  readonly blocks: number;
}

/** One operation's samples, in nanoseconds per call. */
export interface Summary {
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly meanNs: number;
  /** The quantiles at `quantileShares`, in that order. */
  readonly quantilesNs: readonly number[];
}

/** Which quantiles of each operation's samples are kept. */
export const quantileShares: readonly number[] = [
  0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999,
];

/** Summaries by side: "subject", "baseline" and the ids of the others. */
export type Sides = Readonly<Record<string, Summary>>;

/** Times a contest's operations in turn, with the subject first or, if `reversed`, last. */
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

/** Times one operation. If its first sample takes longer than a block, that is the only one. */
export async function timeAlone(operation: Operation, pace: Pace): Promise<Summary> {
  const samples: number[] = [];
  await timeBlock(operation, 0, samples);
  const [first = 0] = samples;
  if (first * (operation.calls ?? 1) > pace.blockMs * 1e6) return summarize(samples);
  await warmUp(operation, pace);
  samples.length = 0;
  for (let block = 0; block < pace.blocks; block++) await timeBlock(operation, pace.blockMs, samples);
  return summarize(samples);
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

/** Samples the operation for `ms`, but at least once. */
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
  };
}

/** The value that the given share of the samples lies below, interpolated linearly between two samples. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** NaN for no values. */
export function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}
