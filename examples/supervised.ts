/**
 * A service that is killed and comes back. Its nursery restarts it under the same name, as a new process with a new
 * uuid. The client relies on the name rather than the process, so it still gets its work done.
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

/** Runs in the service. It has a bug: the third job kills its process. */
export function work(): void {
  if (++served === 3) process.kill(process.pid, "SIGKILL");
}

/** Runs in the client. */
export async function runJobs(name: string, jobs: number): Promise<void> {
  let processes = 0;
  for (let job = 1; job <= jobs;) {
    // connects to the process with this name; if there is none, waits until there is
    await using service = await waitForActor<Actors>(name, { timeout: 5_000 });
    processes++;
    try {
      for (; job <= jobs; job++) {
        await service.run.work();
        console.log(`client: job ${job} done by process ${processes}`);
      }
    } catch (error) {
      // the job may or may not have run: retry only work that can safely run twice
      if (!(error instanceof TransportClosedError)) throw error;
      console.log(`client: job ${job} was not done: ${error.name}`);
    }
  }
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await nursery.startActor("service", {
    module: import.meta.url,
    // the delay doubles each time; a sixth failure within a minute would fail the nursery
    restart: { when: "on-failure", maxRestarts: 5, withinMs: 60_000, backoffMs: [20, 1_000] },
  });
  await using client = await nursery.startActor<Actors>("client", { module: import.meta.url });
  await client.run.runJobs("service", 4);
}
