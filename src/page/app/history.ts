/** The last minute of an actor: what its row shows. Pure. */
import type { ActorSample } from "../protocol.ts";
import { quantileMs, type Rates, ratesOf, subtracted } from "./rates.ts";

/** How far back rates, quantiles and the line go. */
const windowMs = 60_000;
/** Rates are over this, so that they can be read; a call now and then shows for as long. */
const rateWindowMs = 5_000;
/** Quantiles need some calls. */
const quantileWindowMs = 10_000;

interface Look {
  readonly sample: ActorSample;
  /** By the page's clock. */
  readonly at: number;
}

/** What a row shows beside the registration. */
export interface Activity {
  readonly sample: ActorSample;
  /** The one before that. */
  readonly before: ActorSample | undefined;
  /** When the last sample came, by the page's clock. */
  readonly at: number;
  readonly rates: Rates | undefined;
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** How late the event loop has been at the most lately: longer than one sample, so that it can be read. */
  readonly lagMs: number;
  /** How many calls ended in the last minute, and how many of them failed. */
  readonly calls: number;
  readonly failed: number;
  /** Calls per second, sample by sample; the last is the newest. */
  readonly line: readonly number[];
}

export class History {
  readonly #looks: Look[] = [];
  readonly #line: number[] = [];

  /** `at`: by the page's clock. */
  add(sample: ActorSample, at: number): Activity {
    const last = this.#looks.at(-1);
    if (last !== undefined && last.sample.sinceMs !== sample.sinceMs) this.#looks.length = 0;
    this.#looks.push({ sample, at });
    while (this.#looks[0]!.sample.clockMs < sample.clockMs - windowMs) this.#looks.shift();
    if (last !== undefined) this.#extend(ratesOf(last.sample, sample)?.callsPerSecond ?? 0);
    const recent = this.#since(sample, quantileWindowMs);
    const buckets = subtracted(sample.buckets, recent.buckets);
    return {
      sample,
      before: last?.sample,
      at,
      rates: ratesOf(this.#since(sample, rateWindowMs), sample),
      p50: quantileMs(buckets, 0.5),
      p99: quantileMs(buckets, 0.99),
      lagMs: Math.max(
        ...this.#looks
          .filter(({ sample: { clockMs } }) => clockMs > sample.clockMs - quantileWindowMs)
          .map((look) => look.sample.lagMs),
      ),
      calls: sample.calls - this.#looks[0]!.sample.calls,
      failed: sample.failed - this.#looks[0]!.sample.failed,
      line: this.#line.slice(),
    };
  }

  #extend(callsPerSecond: number): void {
    this.#line.push(callsPerSecond);
    if (this.#line.length > windowMs / 1_000) this.#line.shift();
  }

  /** The oldest sample within the time. */
  #since({ clockMs }: ActorSample, ms: number): ActorSample {
    return (this.#looks.find(({ sample }) => sample.clockMs >= clockMs - ms - 100) ?? this.#looks.at(-1)!)
      .sample;
  }
}
