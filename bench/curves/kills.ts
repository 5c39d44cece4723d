/** Actors that are there when their registrar is killed. */
import { median } from "../harness/timing.ts";
import { Takeover } from "../harness/takeover.ts";
import type { Curve } from "./curve.ts";

/** With more actors, the programs have more children. */
const mostPrograms = 10;
/** How often the registrar is killed; seldom where it takes seconds until all are there again. */
const manyKills = 5;
const fewKills = 3;
const fewFrom = 100;

export const killed: Curve = {
  id: "kills",
  title: "Actors when the registrar is killed",
  about:
    "Programs with a root actor and children share a registry, and the program of the registrar is killed. The time is that until the slowest of the other programs has found every remaining actor; see [below](#when-the-registrar-is-killed).",
  counts: "actors",
  sizes: [5, 10, 20, 50, 100, 200],
  measures: [
    {
      id: "found",
      what: "until all others are found again",
      unit: "ns",
      tail: "worst",
      ideal: "same for each",
    },
  ],
  async measure(size, { folder, isBrief }) {
    const programs = Math.min(mostPrograms, 5 * Math.ceil(size / 20));
    const children = size / programs - 1;
    await using takeover = await Takeover.open({ programs, children, transports: ["unix"], folder });
    const kills = isBrief ? 1 : size < fewFrom ? manyKills : fewKills;
    const times: number[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const { ms, nulls, errors } = await takeover.kill();
      if (!Number.isFinite(ms)) throw new Error("after a kill, not all actors were found again");
      if (nulls + errors > 0)
        throw new Error(`after a kill, ${nulls} lookups were wrong and ${errors} failed`);
      times.push(ms * 1e6);
    }
    return { found: { median: median(times), tail: Math.max(...times) } };
  },
};
