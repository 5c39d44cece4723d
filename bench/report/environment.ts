/** Where and how a run was made. */
import { cpus, release } from "node:os";

import { version } from "../../package.json" with { type: "json" };
import type { BenchOptions } from "../harness/options.ts";
import type { Pace } from "../harness/timing.ts";
import { storeVersions } from "../stores/kinds.ts";

/** The versions, the machine and the day. */
export interface Machine {
  readonly furrow: string;
  readonly bun: string;
  readonly platform: string;
  readonly kernel: string;
  readonly arch: string;
  readonly processor: string;
  readonly processors: number;
  /** The versions of the installed stores, by the names of their servers. */
  readonly stores: Readonly<Record<string, string>>;
  readonly date: string;
}

/** The head of the JSON form: where and when, and how the rows were timed. */
export interface Environment extends Machine {
  readonly rounds: number;
  readonly pace: Pace;
  readonly quick: boolean;
}

export function machine(): Machine {
  return {
    furrow: version,
    bun: Bun.version,
    platform: process.platform,
    kernel: /^\d+\.\d+/.exec(release())?.[0] ?? "unknown",
    arch: process.arch,
    processor: cpus()[0]?.model ?? "unknown",
    processors: cpus().length,
    stores: storeVersions(),
    date: new Date().toISOString(),
  };
}

export function environment({ rounds, pace, quick }: BenchOptions): Environment {
  return { ...machine(), rounds, pace, quick };
}

/** In one sentence. */
export function describeMachine(machine: Machine): string {
  const { furrow, bun, platform, arch, kernel, processor, processors, stores, date } = machine;
  const versions = Object.entries(stores).map(([name, version]) => `, ${name} ${version}`);
  return `furrow ${furrow} with Bun ${bun} on ${platform} ${kernel} ${arch}, ${processors} × ${processor}${versions.join("")}; ${date.slice(0, 10)}.`;
}
