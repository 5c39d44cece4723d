/** What an actor does, from the samples that it sends: rates, latencies, errors. Pure. */
import { quantile } from "../../inspect/histogram.ts";
import type { FunctionSample, Sample } from "../../inspect/sample.ts";

/** Latencies are those of the last while, so that an old peak doesn't stay in view. */
const windowMs = 10_000;

/** Numbers of one actor. Null: not known yet. */
export interface ActivityNow {
  readonly rssBytes: number | null;
  /** 1 is one processor. */
  readonly cpuShare: number | null;
  readonly callsPerSecond: number | null;
  readonly inFlight: number | null;
  /** Of calls that ended in the last ten seconds; null if there were none. Streams and dialogs don't count. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** Since the view began. */
  readonly errors: number | null;
  /** How late timers were at the most between the last two samples. */
  readonly lagMs: number | null;
}

export class Activity {
  /** Of the window, the oldest first. */
  readonly #samples: Sample[] = [];
  /** Errors that were there when the view began. */
  #errorsBefore = 0;

  get last(): Sample | undefined {
    return this.#samples.at(-1);
  }

  add(sample: Sample): void {
    const first = this.#samples[0];
    // the actor began to measure anew: its counters began at 0
    if (first !== undefined && first.sinceMs !== sample.sinceMs) {
      this.#errorsBefore -= errorsOf(this.last!);
      this.#samples.length = 0;
    }
    if (first === undefined) this.#errorsBefore = errorsOf(sample);
    this.#samples.push(sample);
    while (this.#samples.length > 2 && sample.clockMs - this.#samples[1]!.clockMs >= windowMs)
      this.#samples.shift();
  }

  now(): ActivityNow {
    const last = this.last;
    if (last === undefined) return nothing;
    const before = this.#samples.at(-2);
    const seconds = before === undefined ? 0 : (last.clockMs - before.clockMs) / 1_000;
    const rate = (of: (sample: Sample) => number): number | null =>
      before === undefined || seconds <= 0 ? null : (of(last) - of(before)) / seconds;
    const buckets = this.buckets();
    return {
      rssBytes: last.rssBytes,
      cpuShare: rate(({ cpuSeconds }) => cpuSeconds),
      callsPerSecond: rate(callsOf),
      inFlight: inFlightOf(last),
      p50Ms: toMs(quantile(buckets, 0.5)),
      p99Ms: toMs(quantile(buckets, 0.99)),
      errors: Math.max(0, errorsOf(last) - this.#errorsBefore),
      lagMs: before === undefined ? null : last.loop.lagMs,
    };
  }

  /** The latencies of the window, in the buckets of a histogram. */
  buckets(): number[] {
    const last = this.last;
    if (last === undefined) return [];
    const [first] = this.#samples;
    const before = first === undefined || first === last ? [] : bucketsOf(first);
    return bucketsOf(last).map((count, at) => count - (before[at] ?? 0));
  }
}

/** The sum of several histograms. */
export function sumOf(histograms: readonly (readonly number[])[]): number[] {
  const sum: number[] = [];
  for (const buckets of histograms)
    for (const [at, count] of buckets.entries()) sum[at] = (sum[at] ?? 0) + count;
  return sum;
}

export function toMs(seconds: number | undefined): number | null {
  return seconds === undefined ? null : seconds * 1_000;
}

const nothing: ActivityNow = {
  rssBytes: null,
  cpuShare: null,
  callsPerSecond: null,
  inFlight: null,
  p50Ms: null,
  p99Ms: null,
  errors: null,
  lagMs: null,
};

function callsOf({ functions }: Sample): number {
  return functions.reduce((sum, { calls }) => sum + calls, 0);
}

/** Without what looks at the actor. */
function inFlightOf({ functions }: Sample): number {
  return functions.reduce((sum, { inFlight }) => sum + inFlight, 0);
}

function errorsOf({ functions }: Sample): number {
  return functions.flatMap(({ errors }) => Object.values(errors)).reduce((sum, count) => sum + count, 0);
}

function bucketsOf({ functions }: Sample): number[] {
  const isCall = ({ verb }: FunctionSample): boolean => verb === "run";
  return sumOf(functions.filter(isCall).map(({ buckets }) => buckets));
}
