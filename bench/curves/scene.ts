/** What the curves share: the server process, this process's actor, and samples. */
import { type Actor, type Limits, openRootActor } from "../../src/index.ts";
import { type Operation, type Pace, timeAlone } from "../harness/timing.ts";
import type { CurveScene, Value } from "./curve.ts";
import { CurveServer } from "./server.ts";

/** No curve is about the limits, so they are out of the way. */
const roomy = {
  maxConnections: 16_384,
  maxCachedNames: 1_000_000,
  maxBufferedBytes: 2_147_483_648,
} as const;

/** Many samples, of an operation of any length: from one that takes a second to one that takes a microsecond. */
const usualPace: Pace = { warmupCalls: 2_000, warmupMs: [0, 300], blockMs: 300, blocks: 1 };
const briefPace: Pace = { warmupCalls: 1, warmupMs: [0, 0], blockMs: 10, blocks: 1 };

/** Starts the server process of a point. */
export async function openServer({ folder }: CurveScene): Promise<CurveServer> {
  return await CurveServer.start({ folder, limits: roomy });
}

/** Starts this process's actor, which joins the server's registrar. */
export async function joinServer(
  { places: { registry } }: CurveServer,
  limits: Partial<Limits> = {},
): Promise<Actor> {
  return await openRootActor({
    name: "client",
    registryAddrs: [registry],
    enableTransports: ["unix"],
    limits: { ...roomy, ...limits },
  });
}

/** Times an operation for a third of a second, but at least once, and only once if that takes longer. */
export async function sample({ isBrief }: CurveScene, operation: Operation): Promise<Value> {
  const { p50Ns, p99Ns } = await timeAlone(operation, isBrief ? briefPace : usualPace);
  return { median: p50Ns, tail: p99Ns };
}

/** The same, beside a baseline that is timed after it. */
export async function sampleBeside(
  scene: CurveScene,
  operation: Operation,
  baseline: Operation,
): Promise<Value> {
  const value = await sample(scene, operation);
  return { ...value, baseline: (await sample(scene, baseline)).median };
}

/** Of times in ns: how often that happens in a second. */
export function perSecond({ median, baseline }: Value, count = 1): Value {
  const rate = (ns: number): number => (count * 1e9) / ns;
  return { median: rate(median), ...(baseline !== undefined && { baseline: rate(baseline) }) };
}
