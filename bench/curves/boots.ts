/** Actors that are started at once, each in its own process. */
import { join } from "node:path";

import { openNursery } from "../../src/index.ts";
import { memoryOf } from "../harness/memory.ts";
import { firstByteOperation, startOperation } from "../rows/spawn.ts";
import type { Curve } from "./curve.ts";
import { sampleBeside } from "./scene.ts";

/** How long the actors get to settle before they are weighed. */
const settleMs = 300;

export const boots: Curve = {
  id: "boots",
  title: "Actors started at once",
  about:
    "All are started in one turn by one nursery, each in its own process. They are weighed while they are idle.",
  counts: "actors",
  sizes: [1, 2, 5, 10, 20, 50, 100],
  measures: [
    {
      id: "start",
      what: "until all are registered",
      unit: "ns",
      baseline: "trivial Bun",
      ideal: "same for each",
    },
    { id: "pss", what: "PSS of each", unit: "bytes" },
    { id: "private", what: "private memory of each", unit: "bytes" },
  ],
  async measure(size, scene) {
    await using trivial = firstByteOperation(scene.folder, size);
    await using nursery = await openNursery({
      registryAddrs: [`unix://${join(scene.folder, "registry.sock")}`],
      enableTransports: ["unix"],
    });
    const starting = startOperation(nursery, size);
    const start = await sampleBeside(scene, starting, trivial);
    await Bun.sleep(settleMs);
    const weights = starting.pids().map(memoryOf);
    const each = (of: "pss" | "private"): number => weights.reduce((sum, one) => sum + one[of], 0) / size;
    return { start, pss: { median: each("pss") }, private: { median: each("private") } };
  },
};
