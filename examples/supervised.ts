/**
 * A service that is killed and comes back. Its nursery starts it again under the same name: another process, with
 * another uuid. The client holds on to the name and not to the process, and so gets its work done.
 *
 * Prints:
 *
 *     client: job 1 done by process 1
 *     client: job 2 done by process 1
 *     client: job 3 was not done: TransportClosedError
 *     client: job 3 done by process 2
 *     client: job 4 done by process 2
 */
import { openNursery, TransportClosedError, waitForActor } from "furrow";

type Actors = typeof import("./supervised.ts");

let served = 0;

/** The service's part. It has a fault: the third job kills its process. */
export function work(): void {
  if (++served === 3) process.kill(process.pid, "SIGKILL");
}

/** The client's part. */
export async function runJobs(name: string, jobs: number): Promise<void> {
  let processes = 0;
  for (let job = 1; job <= jobs;) {
    // whoever has the name; while nobody has it, until somebody does
    await using service = await waitForActor<Actors>(name, { timeout: 5_000 });
    processes++;
    try {
      for (; job <= jobs; job++) {
        await service.run.work();
        console.log(`client: job ${job} done by process ${processes}`);
      }
    } catch (error) {
      // it may have been done or not: only work that may be done twice can be tried again
      if (!(error instanceof TransportClosedError)) throw error;
      console.log(`client: job ${job} was not done: ${error.name}`);
    }
  }
}

if (import.meta.main) {
  // a registry of its own, on a free port: the names here are nobody else's
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await nursery.startActor("service", {
    module: import.meta.url,
    // after a pause that doubles each time; a sixth end within the minute would be a failure of the nursery
    restart: { when: "on-failure", maxRestarts: 5, withinMs: 60_000, backoffMs: [20, 1_000] },
  });
  await using client = await nursery.startActor<Actors>("client", { module: import.meta.url });
  await client.run.runJobs("service", 4);
}
