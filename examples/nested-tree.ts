/**
 * A tree with three levels: the root starts a supervisor, which starts workers. No level outlives the one above it.
 *
 * Prints:
 *
 *     root > supervisor > worker-0: 5133 primes from 0 to 50000
 *     root > supervisor > worker-1: 4459 primes from 50000 to 100000
 *     the workers are gone: true
 */
import { currentActor, currentTask, findActor, getRoot, openNursery } from "furrow";

type Tree = typeof import("./nested-tree.ts");

/** Runs in a worker. */
export async function countPrimes(from: number, to: number): Promise<string> {
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n++) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor !== 0) divisor++;
    if (divisor * divisor > n) count++;
  }
  await using root = await getRoot();
  const path = [root.id, currentTask().caller, currentActor().id].map(({ name }) => name).join(" > ");
  return `${path}: ${count} primes from ${from} to ${to}`;
}

/** Runs in the supervisor. Its nursery owns the workers: they end when this returns, fails, is cancelled or dies. */
export async function divideWork(below: number, workers: number): Promise<string[]> {
  await using nursery = await openNursery();
  const share = below / workers;
  return await Promise.all(
    Array.from({ length: workers }, async (_, index) => {
      await using worker = await nursery.startActor<Tree>(`worker-${index}`, { module: import.meta.url });
      return await worker.run.countPrimes(index * share, (index + 1) * share);
    }),
  );
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using supervisor = await nursery.startActor<Tree>("supervisor", { module: import.meta.url });
  for (const line of await supervisor.run.divideWork(100_000, 2)) console.log(line);
  console.log("the workers are gone:", (await findActor("worker-0")) === null);
}
