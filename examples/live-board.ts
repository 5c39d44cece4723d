/**
 * A live board of who is there. It watches all names that begin with "desk-", and prints them after each change: a desk
 * opens, has a customer or none, dies and is started again, closes.
 *
 * Prints:
 *
 *     board: nobody
 *     board: desk-1 is free
 *     board: desk-1 is free, desk-2 is free
 *     board: desk-1 is free, desk-2 serves Ann
 *     board: desk-1 is free, desk-2 is free
 *     board: desk-2 is free
 *     board: desk-1 is free, desk-2 is free
 *     board: desk-1 is free
 *     board: closed
 */
import { currentActor, openNursery, openTaskGroup, type Registration, watchActors } from "furrow";

type Desk = typeof import("./live-board.ts");

/** Runs at a desk, which lets everyone know whom it serves. */
export async function serve(customer: string): Promise<void> {
  await currentActor().setMetadata({ customer });
  // here it would do something for the customer
  await currentActor().setMetadata({});
}

export function fall(): never {
  process.exit(1);
}

/** Keeps the board until it is cancelled. */
async function show(): Promise<void> {
  const desks = new Map<string, Registration>();
  for await (const event of watchActors("desk-*")) {
    if (event.type === "sync") {
      // first of all, and again after another registrar has taken over
      desks.clear();
      for (const actor of event.actors) desks.set(actor.id.uuid, actor);
    } else if (event.type === "down") desks.delete(event.actor.id.uuid);
    else desks.set(event.actor.id.uuid, event.actor);
    const lines = Array.from(desks.values(), line).toSorted();
    console.log("board:", lines.join(", ") || "nobody");
  }
}

function line({ id, metadata }: Registration): string {
  const { customer } = metadata;
  return `${id.name} ${customer === undefined ? "is free" : `serves ${customer}`}`;
}

async function untilUp(name: string): Promise<void> {
  for await (const event of watchActors(name)) if (event.type === "up") return;
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using group = openTaskGroup();
  void group.start(show);
  const options = { module: import.meta.url, restart: "on-failure" } as const;
  const first = await nursery.startActor<Desk>("desk-1", options);
  const second = await nursery.startActor<Desk>("desk-2", options);
  await second.run.serve("Ann");
  const isBack = untilUp("desk-1");
  await first.run.fall().catch(() => {}); // its process ends before it can answer
  await isBack;
  await second.cancelActor();
  group.cancel(); // leaving the loop gives the watch back
  console.log("board: closed");
}
