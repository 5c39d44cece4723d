/**
 * A pool of workers, each a separate process. Each worker gets the next item as soon as it's free; the results are in
 * the order of the items. The first failure cancels the rest of the work.
 *
 * Prints:
 *
 *     112272535095293 is prime
 *     112582705942171 is prime
 *     112272535095290 = 2 * 56136267547645
 *     115280095190773 is prime
 *     115797848077099 is prime
 *     1125897758834689 = 524287 * 2147483647
 *     3 workers, all used: true
 *     RangeError: not a number above 1: 1
 */
import { currentActor, openActorCluster, openNursery, RemoteActorError } from "furrow";

type Worker = typeof import("./primes.ts");

const candidates = [
  112_272_535_095_293, 112_582_705_942_171, 112_272_535_095_290, 115_280_095_190_773, 115_797_848_077_099,
  1_125_897_758_834_689,
];

/** Runs in a worker: finds the smallest factor of a number above 1; for a prime, that's the number itself. */
export function smallestFactor(n: number): { factor: number; worker: string } {
  if (!(n > 1)) throw new RangeError(`not a number above 1: ${n}`);
  const worker = currentActor().name;
  if (n % 2 === 0) return { factor: 2, worker };
  for (let factor = 3; factor * factor <= n; factor += 2) if (n % factor === 0) return { factor, worker };
  return { factor: n, worker };
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using _root = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using cluster = await openActorCluster<Worker>({ module: import.meta.url, count: 3 });

  const results = await cluster.map("smallestFactor", candidates);
  for (const [at, { factor }] of results.entries()) {
    const n = candidates[at]!;
    console.log(factor === n ? `${n} is prime` : `${n} = ${factor} * ${n / factor}`);
  }
  const used = new Set(results.map(({ worker }) => worker));
  console.log(`${cluster.portals.size} workers, all used: ${used.size === cluster.portals.size}`);

  try {
    await cluster.map("smallestFactor", [7, 1, ...candidates]);
  } catch (error) {
    if (!(error instanceof RemoteActorError)) throw error;
    console.log(String(error.cause));
  }
}
