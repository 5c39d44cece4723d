/**
 * Two programs that share nothing but a name. One serves that name from its own tree. The other, which furrow didn't
 * start, joins, makes a call and leaves. Both use the same registrar: the program that started first.
 *
 * Prints:
 *
 *     visitor: hello visitor, this is the greeter
 *     visitor: left with code 0
 *     tree: hello root, this is the greeter
 *
 * In two terminals, started in either order (Ctrl-C ends the first):
 *
 *     bun examples/join-from-outside.ts serve greeter
 *     bun examples/join-from-outside.ts visit greeter
 */
import { currentTask, openNursery, openRootActor, waitForActor } from "furrow";

type Greeter = typeof import("./join-from-outside.ts");

export function greet(): string {
  return `hello ${currentTask().caller.name}, this is the greeter`;
}

async function serve(name: string): Promise<void> {
  await using nursery = await openNursery();
  await nursery.startActor(name, { module: import.meta.url });
  await nursery.join();
}

async function visit(name: string): Promise<void> {
  await using visitor = await openRootActor({ name: "visitor" });
  await using greeter = await waitForActor<Greeter>(name);
  console.log(`${visitor.name}:`, await greeter.run.greet());
}

async function serveOneVisit(name: string): Promise<void> {
  await using nursery = await openNursery();
  await using greeter = await nursery.startActor<Greeter>(name, { module: import.meta.url });
  const visitor = Bun.spawn([process.execPath, import.meta.path, "visit", name], { stdout: "inherit" });
  console.log("visitor: left with code", await visitor.exited);
  console.log("tree:", await greeter.run.greet());
}

if (import.meta.main) {
  const [part, name = `greeter-${process.pid}`] = process.argv.slice(2);
  if (part === "serve") await serve(name);
  else if (part === "visit") await visit(name);
  else await serveOneVisit(name);
}
