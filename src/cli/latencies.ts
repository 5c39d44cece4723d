/** How long many calls took, in little memory. Pure. */

/** Buckets for each doubling: a value is off by at most 2 %. */
const bucketsPerOctave = 32;
/** Shorter ones count as this long. */
const leastMs = 0.001;

export class Latencies {
  readonly #counts: number[] = [];
  #count = 0;
  #sumMs = 0;
  #minMs = Number.POSITIVE_INFINITY;
  #maxMs = 0;

  add(ms: number): void {
    const bucket = Math.max(0, Math.floor(Math.log2(ms / leastMs) * bucketsPerOctave));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
    this.#sumMs += ms;
    if (ms < this.#minMs) this.#minMs = ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  get count(): number {
    return this.#count;
  }

  get minMs(): number {
    return this.#count === 0 ? 0 : this.#minMs;
  }

  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  /** The latency that the share `q` (0 to 1) of them didn't exceed; 0 when there is none. */
  quantileMs(q: number): number {
    if (q >= 1) return this.maxMs;
    let left = Math.ceil(q * this.#count);
    if (left <= 0) return this.minMs;
    for (const [bucket, count = 0] of this.#counts.entries()) {
      left -= count;
      if (left > 0) continue;
      const middle = leastMs * 2 ** ((bucket + 0.5) / bucketsPerOctave);
      return Math.min(Math.max(middle, this.minMs), this.maxMs);
    }
    return this.maxMs;
  }
}
