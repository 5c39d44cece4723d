/** Lookups by an actor whose cache is full: for each answer that comes in, another name goes. */
import { queryActor } from "../../src/index.ts";
import { nameOf } from "../harness/names.ts";
import type { Curve, CurveScene, Value } from "./curve.ts";
import { joinServer, openServer, sample } from "./scene.ts";
import type { CurveServer } from "./server.ts";

/** More names than are asked for while the point is measured. */
const spare = 200_000;
/** Lookups in flight while the cache is filled. */
const lanes = 64;

/** Times lookups of unknown names by an actor that knows `known` names and has room for `room` more. */
async function timeLookups(
  scene: CurveScene,
  server: CurveServer,
  known: number,
  room: number,
): Promise<Value> {
  await using _actor = await joinServer(server, { maxCachedNames: known + room });
  let next = 0;
  const look = async (): Promise<void> => {
    const { id } = await queryActor(nameOf(next++));
    if (id === null) throw new Error("all names are used up: the point takes too long");
  };
  const lane = async (): Promise<void> => {
    while (next < known) await look();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return await sample(scene, { run: look });
}

export const fullCache: Curve = {
  id: "full-cache",
  title: "Names in a cache that is full",
  about:
    "An actor has looked up as many names as its cache holds (`maxCachedNames`, by default 10,000) and looks up others, each for the first time. Beside it, the same with room for all of them.",
  counts: "names in the cache",
  sizes: [10, 100, 1_000, 10_000, 100_000],
  measures: [{ id: "lookup", what: "a cold lookup", unit: "ns", baseline: "with room" }],
  async measure(size, scene) {
    await using server = await openServer(scene);
    await server.fillNames(size + spare);
    const { median: baseline } = await timeLookups(scene, server, size, spare);
    return { lookup: { ...(await timeLookups(scene, server, size, 0)), baseline } };
  },
};
