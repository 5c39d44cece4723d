/** One round of one row: starts fresh processes, has them time or weigh the row, and ends them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { BenchProcess } from "./bench-process.ts";
import type { RaceRow, Scene, ServerNeeds, ServerPlaces, WeighRow, Weight } from "./row.ts";
import type { Pace, Sides } from "./timing.ts";

/** Where and how the processes of a round run. */
export interface RoundOptions {
  /** A folder for this run only. */
  readonly home: string;
  /** The processor to tie them to. */
  readonly cpu: number | undefined;
  readonly pace: Pace;
  /** Whether the baseline goes first. */
  readonly reversed: boolean;
}

type Side = "subject" | "baseline";

/** The server process gets this as JSON in its argument. */
export interface ServerPlan extends Pick<Scene, "transport" | "folder"> {
  readonly needs: ServerNeeds;
}

/** The timing process gets this as JSON in its argument. */
export interface TimerPlan extends Scene {
  readonly id: string;
  readonly pace: Pace;
  readonly reversed: boolean;
  /** Which side to weigh. */
  readonly side: Side;
}

/** A race's samples, and how many calls each sample of the subject makes. */
export interface RaceFinding {
  readonly batch: number;
  readonly sides: Sides;
}

export type WeighFinding = Readonly<Record<Side, Weight>>;

export async function raceOnce(row: RaceRow, options: RoundOptions): Promise<RaceFinding> {
  const place = openPlace(row, options);
  const plan: ServerPlan | undefined = row.server && { ...place, needs: row.server };
  await using server = plan && new BenchProcess("server", plan, options);
  const scene = { ...place, server: server && ((await server.answer()) as ServerPlaces) };
  return (await askTimer(row, scene, { ...options, pace: paceOf(row, options) })) as RaceFinding;
}

function paceOf({ pace, warmupFactor = 1 }: RaceRow, options: RoundOptions): Pace {
  if (pace !== undefined) return pace;
  const [least, most] = options.pace.warmupMs;
  return { ...options.pace, warmupMs: [least * warmupFactor, most * warmupFactor] };
}

export async function weighOnce(row: WeighRow, options: RoundOptions): Promise<WeighFinding> {
  const weights: Partial<Record<Side, Weight>> = {};
  const sides: Side[] = ["subject", "baseline"];
  for (const side of options.reversed ? sides.toReversed() : sides) {
    const scene = { ...openPlace(row, options), server: undefined };
    weights[side] = (await askTimer(row, scene, options, side)) as Weight;
  }
  return weights as WeighFinding;
}

let folders = 0;

/** Creates a folder with a short name: socket paths are limited in length. */
function openPlace(row: RaceRow | WeighRow, { home }: RoundOptions): Omit<Scene, "server"> {
  const folder = join(home, String(folders++));
  mkdirSync(folder, { mode: 0o700 });
  return { folder, transport: row.transport === "tcp" ? "tcp" : "unix" };
}

async function askTimer(
  { id }: RaceRow | WeighRow,
  scene: Scene,
  options: RoundOptions,
  side: Side = "subject",
): Promise<unknown> {
  const { pace, reversed } = options;
  const plan: TimerPlan = { ...scene, id, pace, reversed, side };
  await using timer = new BenchProcess("timer", plan, options);
  return await timer.answer();
}
