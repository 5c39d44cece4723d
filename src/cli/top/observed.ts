/** Reads samples of actors, for as long as they are registered. */
import type { Registration } from "../../discovery/registration.ts";
import type { Sample } from "../../inspect/sample.ts";
import { connectTo } from "../actors.ts";
import type { NamePattern } from "../glob.ts";
import { actorsOver } from "../watching.ts";
import { Activity } from "./activity.ts";
import { Restarts } from "./restarts.ts";
import type { TopActor } from "./top-view.ts";

/** An actor that sends no sample for so many intervals, and at least a second, is silent. */
const patienceIntervals = 3;
const leastPatienceMs = 1_000;
/** How long to wait before another attempt to reach an actor. */
const retryMs = 500;

/** All actors of a pattern. */
export class ObservedActors {
  readonly #intervalMs: number;
  readonly #pattern: NamePattern;
  readonly #observed = new Map<string, ObservedActor>();
  readonly #restarts = new Restarts();
  #isKnown = false;

  constructor(pattern: NamePattern, intervalMs: number) {
    this.#pattern = pattern;
    this.#intervalMs = intervalMs;
  }

  /** Whether it is known which actors there are. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Whether that is known, and each has sent two samples, so that there are rates, or is silent. */
  get isComplete(): boolean {
    if (!this.#isKnown || !this.#restarts.isSettled) return false;
    return Array.from(this.#observed.values()).every((observed) => observed.isSettled);
  }

  /** Follows the actors until the signal fires. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      // any actor may be the parent of one that is shown
      for await (const actors of actorsOver("*", signal)) this.#update(actors, signal);
    } finally {
      for (const observed of this.#observed.values()) observed.end();
    }
  }

  /** What is known now. */
  actors(): TopActor[] {
    return Array.from(this.#observed.values(), (observed) => observed.snapshot(this.#restarts));
  }

  #update(all: readonly Registration[], signal: AbortSignal): void {
    this.#isKnown = true;
    const actors = all.filter(({ id }) => this.#pattern.matches(id.name));
    const uuids = new Set(actors.map(({ id }) => id.uuid));
    for (const [uuid, observed] of this.#observed) {
      if (uuids.has(uuid)) continue;
      observed.end();
      this.#observed.delete(uuid);
    }
    const parents = new Set<string | null>();
    for (const actor of actors) {
      const known = this.#observed.get(actor.id.uuid);
      if (known !== undefined) known.registration = actor;
      else {
        this.#begin(actor, signal);
        parents.add(actor.parent);
      }
    }
    for (const parent of all) if (parents.has(parent.id.uuid)) this.#restarts.follow(parent, signal);
  }

  #begin(actor: Registration, signal: AbortSignal): void {
    const observed = new ObservedActor(actor, this.#intervalMs);
    this.#observed.set(actor.id.uuid, observed);
    void observed.follow(signal);
  }
}

/** One actor, and what it has sent. */
class ObservedActor {
  registration: Registration;
  readonly #activity = new Activity();
  readonly #intervalMs: number;
  readonly #ended = new AbortController();
  #samples = 0;
  #heardAt = performance.now();

  constructor(registration: Registration, intervalMs: number) {
    this.registration = registration;
    this.#intervalMs = intervalMs;
  }

  get isSettled(): boolean {
    return this.#samples >= 2 || this.#silentMs !== undefined;
  }

  get #silentMs(): number | undefined {
    const ms = performance.now() - this.#heardAt;
    return ms < Math.max(leastPatienceMs, patienceIntervals * this.#intervalMs) ? undefined : ms;
  }

  snapshot(restarts: Restarts): TopActor {
    return {
      ...this.registration,
      activity: this.#activity.now(),
      sample: this.#activity.last,
      buckets: this.#activity.buckets(),
      restarts: restarts.of(this.registration.id.uuid),
      silentMs: this.#silentMs,
    };
  }

  /** Reads samples until the signal fires, or `end`. Tries again for as long as the actor is registered. */
  async follow(signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#ended.signal]);
    while (!either.aborted) {
      // whatever keeps it from answering, its silence shows
      await this.#read(either).catch(() => {});
      if (!either.aborted) await Bun.sleep(retryMs);
    }
  }

  end(): void {
    this.#ended.abort();
  }

  async #read(signal: AbortSignal): Promise<void> {
    await using portal = await connectTo(this.registration, { signal });
    const samples = portal
      .with({ signal })
      .stream["furrow.inspect"](this.#intervalMs) as AsyncIterable<Sample>;
    for await (const sample of samples) {
      this.#heardAt = performance.now();
      this.#samples++;
      this.#activity.add(sample);
    }
  }
}
