/** Starting actors, each in its own process. */
import { join } from "node:path";

import * as source from "../../src/index.ts";
import type { Nursery, Portal } from "../../src/index.ts";
import { hasSpares, isProcessAlive } from "../harness/internals.ts";
import { type Furrow, loadPacked, packedIsMissing } from "../harness/packed.ts";
import type { RaceRow, Scene } from "../harness/row.ts";
import { sparesAreHidden, sparesReady } from "../harness/spares.ts";
import type { Operation, Pace } from "../harness/timing.ts";
import { stackedContest } from "./contest.ts";

const actor = import.meta.resolve("../fixtures/actor.ts");
const trivial = join(import.meta.dir, "../fixtures/first-byte.ts");
const pace: Pace = { warmupCalls: 1, warmupMs: [0, 0], blockMs: 0, blocks: 5 };

/** Starts `count` actors at once; those of the previous sample are ended first. `pids`: those of the last sample. */
export function startOperation(
  nursery: Nursery,
  count: number,
): Operation & { readonly pids: () => number[] } {
  let portals: Portal[] = [];
  let sample = 0;
  return {
    pids: () => portals.map(({ id }) => id.pid),
    async before() {
      await Promise.all(portals.map((portal) => portal.cancelActor()));
      while (portals.some(({ id }) => isProcessAlive(id.pid))) await Bun.sleep(1);
      sample++;
    },
    async run() {
      const start = (_: unknown, n: number): Promise<Portal> =>
        nursery.startActor(`child-${sample}-${n}`, { module: actor });
      portals = await Promise.all(Array.from({ length: count }, start));
    },
  };
}

/** Starts `count` trivial Bun processes at once and waits for a byte from each. */
export function firstByteOperation(folder: string, count: number): Operation & AsyncDisposable {
  const unix = join(folder, "first-byte.sock");
  let spoken = 0;
  let all = Promise.withResolvers<void>();
  const sockets = new Set<Bun.Socket>();
  const children: Bun.Subprocess[] = [];
  const listener = Bun.listen({
    unix,
    socket: {
      open: (socket) => void sockets.add(socket),
      close: (socket) => void sockets.delete(socket),
      data() {
        if (++spoken === count) all.resolve();
      },
    },
  });
  const endChildren = async (): Promise<void> => {
    for (const socket of sockets) socket.end();
    await Promise.all(children.splice(0).map((child) => child.exited));
  };
  return {
    async before() {
      await endChildren();
      spoken = 0;
      all = Promise.withResolvers<void>();
    },
    async run() {
      for (let n = 0; n < count; n++) {
        children.push(
          Bun.spawn([process.execPath, trivial, unix], { stdio: ["ignore", "inherit", "inherit"] }),
        );
      }
      await all.promise;
    },
    async [Symbol.asyncDispose]() {
      await endChildren();
      listener.stop(true);
    },
  };
}

/** Has the operation wait, untimed, for the spares that the other side has used: while they load, they'd slow it. */
function afterSpares(operation: Operation, count: number): Operation {
  return {
    ...operation,
    async before() {
      await operation.before?.();
      await sparesReady(count);
    },
  };
}

/** `spares`: how many of them the nursery keeps. */
function spawnRow(
  id: string,
  count: number,
  what: string,
  load: (folder: string) => Promise<Furrow>,
  spares = 0,
): RaceRow {
  const baseline =
    count === 1 ? "a trivial Bun child's first byte" : `${count} trivial Bun children's first bytes`;
  return {
    kind: "race",
    id,
    transport: "unix",
    what,
    baseline,
    pace,
    open: (scene: Scene) =>
      stackedContest(async (stack) => {
        const baselineOperation = stack.use(firstByteOperation(scene.folder, count));
        const { openNursery } = await load(scene.folder);
        const nursery = stack.use(
          await openNursery({
            registryAddrs: [`unix://${join(scene.folder, "registry.sock")}`],
            ...(spares > 0 && { spares }),
          }),
        );
        const subject = startOperation(nursery, count);
        if (spares === 0) return { subject, baseline: baselineOperation };
        return { subject: afterSpares(subject, spares), baseline: afterSpares(baselineOperation, spares) };
      }),
  };
}

/** Returns why there are no spare processes here, or undefined if there are. */
function spareIsMissing(): string | undefined {
  return packedIsMissing() ?? (hasSpares ? sparesAreHidden() : "this revision has no spare processes");
}

const fromSource = async (): Promise<Furrow> => source;

export const spawnRows: readonly RaceRow[] = [
  spawnRow("spawn", 1, "await startActor, which resolves with the portal of the new actor", fromSource),
  spawnRow("spawn.8", 8, "8 of them at once, until all have started", fromSource),
  {
    ...spawnRow("spawn.packed", 1, "the same as spawn, with the package as published", loadPacked),
    skip: packedIsMissing,
  },
  {
    ...spawnRow("spawn.packed.8", 8, "8 of them at once, until all have started", loadPacked),
    skip: packedIsMissing,
  },
  {
    ...spawnRow("spawn.spare", 1, "the same as spawn.packed, with a spare process for it", loadPacked, 1),
    skip: spareIsMissing,
  },
  {
    ...spawnRow("spawn.spare.8", 8, "8 of them at once, with 8 spare processes", loadPacked, 8),
    skip: spareIsMissing,
  },
];
