/**
 * Durations in fixed buckets: few bytes, a few nanoseconds to add to, and histograms of several actors add up. A quantile
 * is right to within its bucket.
 */

/** The upper ends of the buckets, in seconds: 10 µs to 10 s in steps of 1, 2 and 5. One more bucket has the rest. */
export const bucketBounds: readonly number[] = Object.freeze([
  0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
  0.5, 1, 2, 5, 10,
]);

const boundsMs = bucketBounds.map((bound) => bound * 1_000);

/** As it travels. Counts are cumulative over time, but each bucket has only what is in none before it. */
export interface HistogramSample {
  /** One for each of `bucketBounds`, and one for what is longer. */
  readonly buckets: readonly number[];
  readonly sumSeconds: number;
}

/** Of no durations; to add to. */
export function noCounts(): number[] {
  return Array.from({ length: bucketBounds.length + 1 }, () => 0);
}

export class Histogram {
  readonly #buckets = new Uint32Array(boundsMs.length + 1);
  #sumMs = 0;

  add(ms: number): void {
    // most durations are short, so this beats a binary search
    let at = 0;
    while (at < boundsMs.length && ms > boundsMs[at]!) at++;
    this.#buckets[at]!++;
    this.#sumMs += ms;
  }

  sample(): HistogramSample {
    return { buckets: Array.from(this.#buckets), sumSeconds: this.#sumMs / 1_000 };
  }
}

/**
 * The duration in seconds that a share of all were not longer than: `quantile(buckets, 0.99)`. Interpolates within the bucket;
 * 10 for what is longer than every bound. Undefined if there are none.
 */
export function quantile(buckets: readonly number[], share: number): number | undefined {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const wanted = share * total;
  let below = 0;
  for (const [at, bound] of bucketBounds.entries()) {
    const count = buckets[at] ?? 0;
    if (count > 0 && below + count >= wanted) {
      const from = at === 0 ? 0 : bucketBounds[at - 1]!;
      return from + ((bound - from) * Math.max(0, wanted - below)) / count;
    }
    below += count;
  }
  return bucketBounds.at(-1);
}
