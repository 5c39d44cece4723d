/**
 * More of discovery, seen from an actor in the tree: finding the registrar, listing registered actors, waiting for a
 * name that isn't registered yet, and looking up an address without connecting.
 *
 * Prints, with other numbers:
 *
 *     registrar: root at tcp://127.0.0.1:38741
 *     registered: root, visitor
 *     the clock came up and says 1970-01-01T00:00:00.000Z
 *     the clock is at unix:///run/user/1000/furrow/clock@4711.sock (answered from the cache: true)
 *     registered: root, visitor, clock
 */
import { getRegistry, openNursery, queryActor, waitForActor } from "furrow";

type Actors = typeof import("./service-discovery.ts");

/** Runs in the clock. */
export function now(): Date {
  return new Date(0);
}

async function registered(): Promise<string> {
  await using registry = await getRegistry();
  return (await registry.run.listActors()).map(({ id }) => id.name).join(", ");
}

/** Runs in the visitor, before there is a clock. */
export async function lookAround(): Promise<void> {
  await using registry = await getRegistry();
  console.log(`registrar: ${registry.id.name} at ${registry.addr}`);
  console.log("registered:", await registered());
}

/** Runs in the visitor, while the clock starts. */
export async function meetTheClock(): Promise<void> {
  await using clock = await waitForActor<Actors>("clock", { timeout: 5_000 });
  const time = await clock.run.now();
  console.log(`the clock came up and says ${time.toISOString()}`);

  await using found = await queryActor("clock");
  console.log(`the clock is at ${found.addr} (answered from the cache: ${found.registry === null})`);
  console.log("registered:", await registered());
}

if (import.meta.main) {
  // use a separate registry on a free port, so that no other program's names are in it
  await using nursery = await openNursery({ registryAddrs: ["tcp://127.0.0.1:0"] });
  await using visitor = await nursery.startActor<Actors>("visitor", { module: import.meta.url });
  await visitor.run.lookAround();
  const meeting = visitor.run.meetTheClock();
  await nursery.startActor("clock", { module: import.meta.url });
  await meeting;
}
