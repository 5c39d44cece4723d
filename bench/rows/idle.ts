/** The memory of an idle actor. */
import { join } from "node:path";

import * as source from "../../src/index.ts";
import { type Memory, memoryIsHidden, memoryOf } from "../harness/memory.ts";
import { type Furrow, loadPacked, packedIsMissing } from "../harness/packed.ts";
import type { WeighRow, Weight } from "../harness/row.ts";

/** How long a fresh process gets to settle before it is weighed. */
const settleMs = 300;

/** How memory is counted: see `Memory`. */
type Count = "private" | "pss";

async function weighProcess(count: Count, start: () => Promise<number>): Promise<Weight> {
  const started = Bun.nanoseconds();
  const pid = await start();
  const ns = Bun.nanoseconds() - started;
  await Bun.sleep(settleMs);
  const memory: Memory = memoryOf(pid);
  return { bytes: memory[count], ns };
}

async function weighActor({ openNursery }: Furrow, count: Count, folder: string): Promise<Weight> {
  await using nursery = await openNursery({ registryAddrs: [`unix://${join(folder, "registry.sock")}`] });
  return await weighProcess(count, async () => {
    const module = import.meta.resolve("../fixtures/actor.ts");
    const { id } = await nursery.startActor("idle", { module });
    return id.pid;
  });
}

async function weighTrivial(count: Count, folder: string): Promise<Weight> {
  const spoken = Promise.withResolvers<void>();
  const unix = join(folder, "idle.sock");
  const listener = Bun.listen({ unix, socket: { data: () => spoken.resolve() } });
  const trivial = join(import.meta.dir, "../fixtures/first-byte.ts");
  const child = Bun.spawn([process.execPath, trivial, unix], { stdio: ["ignore", "inherit", "inherit"] });
  const weight = await weighProcess(count, async () => {
    await spoken.promise;
    return child.pid;
  });
  listener.stop(true);
  await child.exited;
  return weight;
}

function idleRow(
  id: string,
  count: Count,
  what: string,
  load: (folder: string) => Promise<Furrow>,
): WeighRow {
  return {
    kind: "weigh",
    id,
    transport: "unix",
    what,
    baseline: "a trivial Bun process",
    skip: memoryIsHidden,
    weighSubject: async ({ folder }) => await weighActor(await load(folder), count, folder),
    weighBaseline: async ({ folder }) => await weighTrivial(count, folder),
  };
}

const fromSource = async (): Promise<Furrow> => source;
const privately = "memory that an idle actor shares with no other process; the time is that of starting it";
const proportional = "the same, with its part of what processes share (PSS)";

export const idleRows: readonly WeighRow[] = [
  idleRow("idle", "private", privately, fromSource),
  idleRow("idle.pss", "pss", proportional, fromSource),
  ...(["private", "pss"] as const).map((count) => ({
    ...idleRow(
      count === "private" ? "idle.packed" : "idle.pss.packed",
      count,
      `${count === "private" ? privately : proportional}; with the package as published`,
      loadPacked,
    ),
    skip: () => memoryIsHidden() ?? packedIsMissing(),
  })),
];
