/**
 * An actor of which there must be one. Three workers, each a process, ask for it at the same moment: one starts it, and
 * all get the same. It lives as long as the worker that started it; after that, the next one to ask starts it again.
 *
 * Prints:
 *
 *     three workers got the tickets 1, 2, 3 from 1 process
 *     one more process of that name: NameTakenError
 *     the worker that had started it has ended
 *     two workers got the tickets 1, 2 from another process
 */
import type { NameTakenError } from "furrow";
import { type Nursery, openNursery } from "furrow";

type Actors = typeof import("./singleton.ts");

interface Ticket {
  readonly number: number;
  /** The process that issued it, and the one that started that process. */
  readonly pid: number;
  readonly startedBy: number;
}

let issued = 0;

/** Runs in the counter. */
export function issue(): Ticket {
  return { number: ++issued, pid: process.pid, startedBy: process.ppid };
}

let nursery: Nursery | undefined;

/** Runs in a worker. The counter belongs to the nursery that starts it, so that nursery stays open as long as the worker. */
export async function getTicket(): Promise<Ticket> {
  nursery ??= await openNursery();
  await using counter = await nursery.findOrStart<Actors>("counter", { module: import.meta.url });
  return await counter.run.issue();
}

function numbers(tickets: readonly Ticket[]): string {
  return tickets
    .map(({ number }) => number)
    .sort((a, b) => a - b)
    .join(", ");
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using tree = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  const module = import.meta.url;
  const workers = await Promise.all([1, 2, 3].map((n) => tree.startActor<Actors>(`worker-${n}`, { module })));

  const tickets = await Promise.all(workers.map((worker) => worker.run.getTicket()));
  const processes = new Set(tickets.map(({ pid }) => pid));
  console.log(`three workers got the tickets ${numbers(tickets)} from ${processes.size} process`);

  const second = tree.startActor("counter", { module, unique: true });
  await second.catch((error: NameTakenError) => console.log(`one more process of that name: ${error.name}`));

  const starter = workers.find(({ id }) => id.pid === tickets[0]?.startedBy);
  await starter?.cancelActor();
  console.log("the worker that had started it has ended");

  const others = workers.filter((worker) => worker !== starter);
  const again = await Promise.all(others.map((worker) => worker.run.getTicket()));
  const which = again.every(({ pid }) => !processes.has(pid)) ? "another process" : "the same process";
  console.log(`two workers got the tickets ${numbers(again)} from ${which}`);
}
