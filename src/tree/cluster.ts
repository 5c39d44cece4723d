/** A cluster: several actors running the same module, with work spread over them. */
import type { CannotCross, Portal, RunApi } from "../rpc/types.ts";
import { openNursery } from "./nursery.ts";

/**
 * The argument and result types of a function of `M` that can be called with one argument. For one that can't be called
 * from another actor, the type that explains why.
 */
type Fn<M, K extends keyof RunApi<M>> = RunApi<M>[K] extends (...args: infer A) => Promise<infer R>
  ? RunApi<M>[K] extends (item: A[0]) => unknown
    ? { readonly item: A[0]; readonly result: R }
    : never
  : RunApi<M>[K] extends CannotCross<string>
    ? { readonly item: RunApi<M>[K]; readonly result: never }
    : never;

/** The actors `name-1` to `name-<count>`. Leaving its `await using` block ends them all. */
export interface ActorCluster<M = unknown> extends AsyncDisposable {
  readonly portals: ReadonlyMap<string, Portal<M>>;
  /**
   * Calls `fn` once for each item; each worker gets the next item as soon as it's free. Returns the results in the
   * order of the items.
   *
   * @throws the first error; calls in flight are then cancelled, and no further items are started
   */
  map<K extends keyof RunApi<M> & string>(
    fn: K,
    items: Iterable<Fn<M, K>["item"]>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Fn<M, K>["result"][]>;
}

/**
 * Starts `count` actors of a module (default: one per processor), named after `name` (default "worker"). Boots a root
 * actor if this process has none, as `openNursery` does.
 *
 * @throws {SpawnError} when one can't be started; the others are stopped first
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

/** Lazy: `items` may be infinite, with an error as the only end. */
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
    // the workers share one queue; each gets the next item when it's free
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
