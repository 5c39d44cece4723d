/**
 * The rest of discovery, as an actor in the tree sees it: where the registrar is, who is registered, waiting for a name
 * that nobody has yet, and asking for an address without connecting.
 *
 * Prints, with other numbers:
 *
 *     registrar: root at tcp://127.0.0.1:38741
 *     registered: root, visitor
 *     clock came up, and says 1970-01-01T00:00:00.000Z
 *     clock is at unix:///run/user/1000/furrow/clock@4711.sock (answered from memory: true)
 *     registered: root, visitor, clock
 */
import { getRegistry, openNursery, queryActor, waitForActor } from "furrow";

type Actors = typeof import("./service-discovery.ts");

/** The clock's part. */
export function now(): Date {
  return new Date(0);
}

async function registered(): Promise<string> {
  await using registry = await getRegistry();
  return (await registry.run.listActors()).map(({ id }) => id.name).join(", ");
}

/** The visitor's part, while there is no clock. */
export async function lookAround(): Promise<void> {
  await using registry = await getRegistry();
  console.log(`registrar: ${registry.id.name} at ${registry.addr}`);
  console.log("registered:", await registered());
}

/** The visitor's part from then on. */
export async function meetTheClock(): Promise<void> {
  await using clock = await waitForActor<Actors>("clock", { timeout: 5_000 });
  const time = await clock.run.now();
  console.log(`clock came up, and says ${time.toISOString()}`);

  await using found = await queryActor("clock");
  console.log(`clock is at ${found.addr} (answered from memory: ${found.registry === null})`);
  console.log("registered:", await registered());
}

if (import.meta.main) {
  // a registry of its own, on a free port: nobody else's names turn up in this one
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using visitor = await nursery.startActor<Actors>("visitor", { module: import.meta.url });
  await visitor.run.lookAround();
  const meeting = visitor.run.meetTheClock();
  await nursery.startActor("clock", { module: import.meta.url });
  await meeting;
}
