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
  /** Calls per second; the last is the newest. A sample that comes after some seconds stands for all of them. */
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
    if (last !== undefined) this.#extend(last.sample, sample);
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

  #extend(before: ActorSample, sample: ActorSample): void {
    const callsPerSecond = ratesOf(before, sample)?.callsPerSecond ?? 0;
    const points = Math.max(1, Math.round((sample.clockMs - before.clockMs) / 1_000));
    for (let point = 0; point < points; point++) this.#line.push(callsPerSecond);
    this.#line.splice(0, this.#line.length - windowMs / 1_000);
  }

  /** The oldest sample within the time, or the one before this if that is older. */
  #since({ clockMs }: ActorSample, ms: number): ActorSample {
    const last = this.#looks.length - 1;
    const first = this.#looks.findIndex(({ sample }) => sample.clockMs >= clockMs - ms - 100);
    return this.#looks[Math.max(0, Math.min(first, last - 1))]!.sample;
  }
}
