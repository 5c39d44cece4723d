/** Programs in pid namespaces of their own, as containers are, that share a registry's directory. */
import { expect, test } from "bun:test";

import { Program, until, World } from "../support/world.ts";

const unshare = ["unshare", "-p", "-f", "--mount-proc", "--kill-child"];
const canUnshare =
  process.platform === "linux" && Bun.spawnSync([...unshare, "true"], { stderr: "ignore" }).exitCode === 0;
if (!canUnshare) console.warn("namespaces.test.ts: skipped, unshare is not permitted here");
const service = new URL("../fixtures/service.ts", import.meta.url).href;

/** A program with a root and a child. */
async function begin(world: World, name: string, wrapper: string[]): Promise<Program & AsyncDisposable> {
  const program = new Program(world.env, wrapper);
  await program.up;
  await program.run(
    async ({ furrow, keep, args: [root, module] }) => {
      keep["actor"] = await furrow.openRootActor({
        name: root as string,
        enableTransports: ["unix", "tcp"],
      });
      const nursery = await furrow.openNursery();
      await nursery.startActor(`${String(root)}-child`, { module: module as string });
    },
    name,
    service,
  );
  return Object.assign(program, {
    // in order: those inside die a moment later than the process that is killed here
    async [Symbol.asyncDispose]() {
      await program.run(({ furrow }) => furrow.currentActor().cancel());
      await program.kill();
    },
  });
}

/** Whether the program's root is the registrar, and its own child is back. */
async function hasTakenOver(program: Program): Promise<boolean> {
  return (await program.run(({ furrow }) => furrow.currentActor().stats().registrar?.actors ?? 0)) >= 2;
}

test.skipIf(!canUnshare)(
  "a registrar in a namespace waits for members in others, whom it can't see, when those that it sees are back",
  async () => {
    await using world = new World();
    const hub = await world.actor("hub");
    await using seer = await begin(world, "seer", unshare);
    await using unseen = await begin(world, "unseen", unshare);
    const back = unseen.run(() => {
      // its child can't stand for registrar, and it is back a moment after the other's child
      const end = performance.now() + 200;
      while (performance.now() < end);
    });
    await Bun.sleep(0);
    await hub.kill();
    await until(() => hasTakenOver(seer));
    expect(await seer.run(async ({ furrow }) => (await furrow.queryActor("unseen")).id?.name)).toBe("unseen");
    await back;
  },
);
