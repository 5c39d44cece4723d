/** Where and how a run was made. */
import { cpus, release } from "node:os";

import { version } from "../../package.json" with { type: "json" };
import type { BenchOptions } from "../harness/options.ts";
import type { Pace } from "../harness/timing.ts";
import { storeVersions } from "../stores/kinds.ts";

/** The head of the JSON form: the versions, the machine, and how the rows were timed. */
export interface Environment {
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
  readonly rounds: number;
  readonly pace: Pace;
  readonly quick: boolean;
}

export function environment({ rounds, pace, quick }: BenchOptions): Environment {
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
    rounds,
    pace,
    quick,
  };
}
