/** One point of a curve: measured in fresh processes, the quick ones several times. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { BenchProcess } from "../harness/bench-process.ts";
import { median } from "../harness/timing.ts";
import type { Point } from "../report/curves-file.ts";
import type { Curve, CurveScene, Value, Values } from "./curve.ts";

/** The measuring process gets this as JSON in its argument. */
export interface PointPlan extends CurveScene {
  readonly id: string;
  readonly size: number;
}

/** A point is measured so often, unless it has taken so long. */
const rounds = 3;
const enoughMs = 3_000;
/** The largest points start hundreds of processes, or move gigabytes. */
const patienceMs = 300_000;

let folders = 0;

/** Measures a size of a curve; `home` is a folder for this run only. */
export async function measurePoint(
  curve: Curve,
  size: number,
  home: string,
  isBrief: boolean,
): Promise<Point> {
  const found: Values[] = [];
  const start = performance.now();
  do found.push(await measureOnce(curve, size, home, isBrief));
  while (!isBrief && found.length < rounds && performance.now() - start < enoughMs);
  return { size, rounds: found.length, values: mediansOf(found) };
}

async function measureOnce(curve: Curve, size: number, home: string, isBrief: boolean): Promise<Values> {
  // a short name: socket paths are limited in length
  const folder = join(home, String(folders++));
  mkdirSync(folder, { mode: 0o700 });
  try {
    const plan: PointPlan = { id: curve.id, size, folder, isBrief };
    await using measuring = new BenchProcess("curve", plan, { patienceMs });
    return (await measuring.answer()) as Values;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function mediansOf(found: readonly Values[]): Values {
  const ids = Object.keys(found[0] ?? {});
  return Object.fromEntries(ids.map((id) => [id, medianOf(found.flatMap((values) => values[id] ?? []))]));
}

function medianOf(values: readonly Value[]): Value {
  const over = (of: keyof Value): number => median(values.flatMap((value) => value[of] ?? []));
  const [first] = values;
  return {
    median: over("median"),
    ...(first?.tail !== undefined && { tail: over("tail") }),
    ...(first?.baseline !== undefined && { baseline: over("baseline") }),
  };
}
