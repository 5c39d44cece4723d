/** Hands what happens in an actor to all who look at it. The actor has an observer only as long as there is one. */
import type { Observer, Occurrence } from "../actor/observer.ts";
import { Part } from "../actor/part.ts";
import type { Runtime } from "../actor/runtime.ts";
import type { ActorId } from "../identity.ts";
import { observeStalls, type Outbox } from "../rpc/flow.ts";
import type { ExchangeEnds, Failure, Following, Observer as RequestObserver, Verb } from "../rpc/observer.ts";

/** One who looks. */
export interface Watcher extends RequestObserver {
  /** A writer begins to wait for its reader, or goes on. */
  stalls(outbox: Outbox, isStalled: boolean): void;
  notes?(occurrence: Occurrence, describe: () => object): void;
}

const observations: Part<Observation> = new Part();

export class Observation implements Observer {
  readonly #runtime: Runtime;
  #watchers: readonly Watcher[] = [];

  private constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  static of(runtime: Runtime): Observation {
    return observations.ensure(runtime, () => new Observation(runtime));
  }

  add(watcher: Watcher): void {
    this.#set([...this.#watchers, watcher]);
  }

  remove(watcher: Watcher): void {
    this.#set(this.#watchers.filter((one) => one !== watcher));
  }

  #set(watchers: readonly Watcher[]): void {
    this.#watchers = watchers;
    const isWatched = watchers.length > 0;
    this.#runtime.observer = isWatched ? this : undefined;
    observeStalls(isWatched ? this : undefined);
  }

  serves(
    verb: Verb,
    name: string,
    peer: ActorId,
    ends: ExchangeEnds | undefined,
    meta: unknown,
  ): Following | undefined {
    return this.#all((watcher) => watcher.serves(verb, name, peer, ends, meta));
  }

  asks(verb: Verb, name: string, peer: ActorId, ends?: ExchangeEnds): Following | undefined {
    return this.#all((watcher) => watcher.asks(verb, name, peer, ends));
  }

  began(outbox: Outbox): void {
    for (const watcher of this.#watchers) watcher.stalls(outbox, true);
  }

  ended(outbox: Outbox): void {
    for (const watcher of this.#watchers) watcher.stalls(outbox, false);
  }

  notes(occurrence: Occurrence, describe: () => object): void {
    for (const watcher of this.#watchers) watcher.notes?.(occurrence, describe);
  }

  #all(begin: (watcher: Watcher) => Following | undefined): Following | undefined {
    const [only, ...more] = this.#watchers;
    if (only === undefined) return undefined;
    if (more.length === 0) return begin(only);
    return more.reduce<Following | undefined>((outer, watcher) => both(outer, begin(watcher)), begin(only));
  }
}

function both(one: Following | undefined, other: Following | undefined): Following | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return {
    meta: one.meta ?? other.meta,
    run: (work) => one.run(() => other.run(work)),
    end(failure?: Failure) {
      one.end(failure);
      other.end(failure);
    },
  };
}
