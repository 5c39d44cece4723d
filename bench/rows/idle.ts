/** The memory of an idle actor. */
import { join } from "node:path";

import * as source from "../../src/index.ts";
import { memoryIsHidden, memoryOf } from "../harness/memory.ts";
import { type Furrow, loadPacked, packedIsMissing } from "../harness/packed.ts";
import type { WeighRow, Weight } from "../harness/row.ts";

/** How long a fresh process gets to settle before it is weighed. */
const settleMs = 300;

async function weighProcess(start: () => Promise<number>): Promise<Weight> {
  const started = Bun.nanoseconds();
  const pid = await start();
  const ns = Bun.nanoseconds() - started;
  await Bun.sleep(settleMs);
  return { bytes: memoryOf(pid).rss, ns };
}

async function weighActor({ openNursery }: Furrow, folder: string): Promise<Weight> {
  await using nursery = await openNursery({
    registryAddrs: [`unix://${join(folder, "registry.sock")}`, "tcp://127.0.0.1:0"],
  });
  return await weighProcess(async () => {
    const module = import.meta.resolve("../fixtures/actor.ts");
    const { id } = await nursery.startActor("idle", { module });
    return id.pid;
  });
}

const idleRow: WeighRow = {
  kind: "weigh",
  id: "idle",
  transport: "unix",
  what: "memory of an idle actor; the time is that of starting it",
  baseline: "a trivial Bun process",
  skip: memoryIsHidden,
  weighSubject: async ({ folder }) => await weighActor(source, folder),
  async weighBaseline({ folder }) {
    const spoken = Promise.withResolvers<void>();
    const unix = join(folder, "idle.sock");
    const listener = Bun.listen({ unix, socket: { data: () => spoken.resolve() } });
    const trivial = join(import.meta.dir, "../fixtures/first-byte.ts");
    const child = Bun.spawn([process.execPath, trivial, unix], { stdio: ["ignore", "inherit", "inherit"] });
    const weight = await weighProcess(async () => {
      await spoken.promise;
      return child.pid;
    });
    listener.stop(true);
    await child.exited;
    return weight;
  },
};

export const idleRows: readonly WeighRow[] = [
  idleRow,
  {
    ...idleRow,
    id: "idle.packed",
    what: "the same as idle, with the package as published",
    skip: () => idleRow.skip?.() ?? packedIsMissing(),
    weighSubject: async ({ folder }) => await weighActor(await loadPacked(folder), folder),
  },
];
