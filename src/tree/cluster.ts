/** A cluster: several actors of one module, and work spread over them. */

import type { CannotCross, Portal, RunApi } from "../rpc/types.ts";
import { openNursery } from "./nursery.ts";

/** The argument and the result of a function of `M` that can do with one argument; of one that can't be called, why. */
type Fn<M, K extends keyof RunApi<M>> = RunApi<M>[K] extends (...args: infer A) => Promise<infer R>
  ? RunApi<M>[K] extends (item: A[0]) => unknown
    ? { readonly item: A[0]; readonly result: R }
    : never
  : RunApi<M>[K] extends CannotCross<string>
    ? { readonly item: RunApi<M>[K]; readonly result: never }
    : never;

/** Actors `name-1` to `name-<count>`. Leaving its `await using` block ends all of them. */
export interface ActorCluster<M = unknown> extends AsyncDisposable {
  readonly portals: ReadonlyMap<string, Portal<M>>;
  /**
   * Calls `fn` once for each item, each worker taking the next one as soon as it is free; the results in the order of
   * the items.
   *
   * @throws the first error; calls that are under way are cancelled, further items are not begun
   */
  map<K extends keyof RunApi<M> & string>(
    fn: K,
    items: Iterable<Fn<M, K>["item"]>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Fn<M, K>["result"][]>;
}

/**
 * Starts `count` actors of a module (default: one for each processor) under `name` (default "worker"). Boots a root
 * actor when this process has none, as `openNursery` does.
 *
 * @throws {SpawnError} when one cannot be started; then none is left
 * @throws {RangeError} when `count` is not a positive integer
 */
export async function openActorCluster<M = unknown>(options: {
  readonly module: string | URL;
  readonly count?: number;
  readonly name?: string;
}): Promise<ActorCluster<M>> {
  const { module, count = navigator.hardwareConcurrency, name = "worker" } = options;
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`count must be a positive integer, got ${String(count)}`);
  }
  const nursery = await openNursery();
  try {
    const names = Array.from({ length: count }, (_, at) => `${name}-${at + 1}`);
    const started = await Promise.all(names.map((each) => nursery.startActor<M>(each, { module })));
    const portals = new Map(names.map((each, at) => [each, started[at] as Portal<M>]));
    return {
      portals,
      map: async (fn, items, bounds) =>
        (await mapOver(Array.from(portals.values()), fn, items, bounds?.signal)) as never,
      [Symbol.asyncDispose]: async () => await nursery[Symbol.asyncDispose](),
    };
  } catch (error) {
    await nursery[Symbol.asyncDispose]();
    throw error;
  }
}

/** Lazily: the items may be endless, and end by an error. */
function* numbered(items: Iterable<unknown>): Generator<[number, unknown], void, undefined> {
  let at = 0;
  for (const item of items) yield [at++, item];
}

async function mapOver<M>(
  portals: readonly Portal<M>[],
  fn: string,
  items: Iterable<unknown>,
  outer: AbortSignal | undefined,
): Promise<unknown[]> {
  outer?.throwIfAborted();
  const failed = new AbortController();
  const signal = outer === undefined ? failed.signal : AbortSignal.any([outer, failed.signal]);
  const queue = numbered(items);
  const results: unknown[] = [];
  const work = async (portal: Portal<M>): Promise<void> => {
    const run = portal.with({ signal }).run as Record<string, (item: unknown) => Promise<unknown>>;
    // the workers share one queue: each takes the next item when it is free
    for (const [at, item] of queue) {
      signal.throwIfAborted();
      results[at] = await run[fn]?.(item);
    }
  };
  const workers = portals.map(async (portal) => {
    try {
      await work(portal);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
  const ended = await Promise.allSettled(workers);
  if (failed.signal.aborted) throw failed.signal.reason;
  for (const one of ended) if (one.status === "rejected") throw one.reason;
  return results;
}
