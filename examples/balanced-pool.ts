/**
 * A pool of workers behind one name, which grows and shrinks while it works. Each call goes to the next worker. One that
 * goes away finishes what it has begun; what it doesn't take on goes to another.
 *
 * Prints:
 *
 *     with 1 worker: 60 jobs, 60 each
 *     with 4 workers: 60 jobs, 15 each
 *     from 4 workers to 2, in the midst of it: 2000 jobs, none lost
 *     with 2 workers: 60 jobs, 30 each
 */
import { openNursery, openService, type Service } from "furrow";

type Workers = typeof import("./balanced-pool.ts");

interface Done {
  readonly result: number;
  /** The process that has done it. */
  readonly pid: number;
}

/** Runs in a worker. */
export async function square(n: number): Promise<Done> {
  await Bun.sleep(1);
  return { result: n * n, pid: process.pid };
}

/** Has all jobs done at once; a job that fails would fail them all. */
async function runJobs(pool: Service<Workers>, count: number): Promise<Done[]> {
  return await Promise.all(Array.from({ length: count }, (_, n) => pool.run.square(n)));
}

/** How many each worker has done. */
function shares(jobs: readonly Done[]): string {
  const counts = new Map<number, number>();
  for (const { pid } of jobs) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  return `${jobs.length} jobs, ${Array.from(new Set(counts.values())).join(" or ")} each`;
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  const start = () => nursery.startActor<Workers>("worker", { module: import.meta.url });
  const workers = [await start()];
  // follows the name from now on, whoever has it
  await using pool = await openService<Workers>("worker");
  console.log(`with ${pool.instances.length} worker: ${shares(await runJobs(pool, 60))}`);

  workers.push(...(await Promise.all([start(), start(), start()])));
  console.log(`with ${pool.instances.length} workers: ${shares(await runJobs(pool, 60))}`);

  const batches = Array.from({ length: 20 }, async (_, n) => {
    await Bun.sleep(5 * n);
    return await runJobs(pool, 100);
  });
  for (const worker of workers.splice(2)) await worker.drainActor();
  const done = (await Promise.all(batches)).flat();
  console.log(`from 4 workers to ${workers.length}, in the midst of it: ${done.length} jobs, none lost`);
  console.log(`with ${pool.instances.length} workers: ${shares(await runJobs(pool, 60))}`);
}
