/** Starting actors, each in its own process. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

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
  module: string = actor,
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
        nursery.startActor(`child-${sample}-${n}`, { module });
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

interface Start {
  /** How many spare processes the nursery keeps. */
  readonly spares?: number;
  /** Whether other hosts can reach the actor, and its module imports furrow. */
  readonly inMesh?: boolean;
}

/** A module that imports the furrow of `loadPacked`. */
function importingModule(folder: string): string {
  const module = join(folder, "importing.ts");
  writeFileSync(
    module,
    `import { currentActor, findActor } from "./lib/index.js";\nexport const find = () => findActor(currentActor().name);\n`,
  );
  return pathToFileURL(module).href;
}

function spawnRow(
  id: string,
  count: number,
  what: string,
  load: (folder: string) => Promise<Furrow>,
  { spares = 0, inMesh = false }: Start = {},
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
            registryAddrs: [
              `unix://${join(scene.folder, "registry.sock")}`,
              ...(inMesh ? (["tcp://127.0.0.1:0"] as const) : []),
            ],
            ...(spares > 0 && { spares }),
          }),
        );
        const subject = startOperation(nursery, count, inMesh ? importingModule(scene.folder) : undefined);
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
    ...spawnRow(
      "spawn.packed.mesh",
      1,
      "the same as spawn.packed, of an actor that listens on tcp, too, and whose module imports furrow",
      loadPacked,
      { inMesh: true },
    ),
    skip: packedIsMissing,
  },
  {
    ...spawnRow("spawn.spare", 1, "the same as spawn.packed, with a spare process for it", loadPacked, {
      spares: 1,
    }),
    skip: spareIsMissing,
  },
  {
    ...spawnRow("spawn.spare.8", 8, "8 of them at once, with 8 spare processes", loadPacked, { spares: 8 }),
    skip: spareIsMissing,
  },
];
