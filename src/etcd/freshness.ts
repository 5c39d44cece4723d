/** Tells a sink whether what it has may be behind. */
import type { Sink } from "../discovery/store.ts";
import { etcdTiming } from "./timing.ts";

export class Freshness {
  readonly #sink: Pick<Sink, "stale" | "fresh" | "proven">;
  #isStale = false;
  #provenAt: number = performance.now();
  #timer: Timer | undefined;

  constructor(sink: Pick<Sink, "stale" | "fresh" | "proven">) {
    this.#sink = sink;
  }

  /** Nothing is known yet. */
  begin(): void {
    this.#stale();
  }

  /** Nothing was missing at that time. */
  prove(at: number): void {
    this.#provenAt = at;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sink.proven?.(at);
    if (!this.#isStale) return;
    this.#isStale = false;
    this.#sink.fresh();
  }

  /** The watch ended; it may be back before anyone has to know. */
  interrupt(): void {
    if (this.#isStale || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#stale(), etcdTiming.interruptionMs);
    this.#timer.unref();
  }

  /** The server has fallen silent. */
  fail(): void {
    this.#stale();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #stale(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isStale) return;
    this.#isStale = true;
    this.#sink.stale(this.#provenAt);
  }
}
