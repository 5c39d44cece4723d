/** What processes of this host use, as its kernel tells it: nothing has to be asked of them. */
import { readFileSync } from "node:fs";

import { processStat } from "../transport/runtime-dir.ts";

export interface ProcessUsage {
  readonly rssBytes: number;
  /** Processor time, of the user and the system, since the process began. */
  readonly cpuSeconds: number;
}

/** The unit of times in /proc: Linux has the same on every processor that Bun runs on. */
const ticksPerSecond = 100;

/** By pid. Processes that have ended, or that this user may not look at, are left out. */
export function usageOf(pids: readonly number[]): ReadonlyMap<number, ProcessUsage> {
  if (process.platform !== "linux") return usageByPs(pids);
  return new Map(
    pids.flatMap((pid) => {
      const usage = usageByProc(pid);
      return usage === undefined ? [] : [[pid, usage] as const];
    }),
  );
}

function usageByProc(pid: number): ProcessUsage | undefined {
  try {
    const fields = processStat(pid);
    if (fields === undefined) return undefined;
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
    const kilobytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    return { rssBytes: kilobytes * 1_024, cpuSeconds };
  } catch {
    return undefined;
  }
}

function usageByPs(pids: readonly number[]): ReadonlyMap<number, ProcessUsage> {
  const found = new Map<number, ProcessUsage>();
  if (pids.length === 0) return found;
  const { stdout } = Bun.spawnSync(["ps", "-o", "pid=,rss=,time=", "-p", pids.join(",")], {
    stderr: "ignore",
  });
  for (const line of stdout.toString().split("\n")) {
    const [pid = "", kilobytes, time = ""] = line.trim().split(/\s+/);
    if (pid !== "")
      found.set(Number(pid), { rssBytes: Number(kilobytes) * 1_024, cpuSeconds: secondsOf(time) });
  }
  return found;
}

/** Of "1-02:03:04", "02:03:04", "03:04" or "3:04.56". */
export function secondsOf(time: string): number {
  const [clock = "", days = "0"] = time.split("-").toReversed();
  return clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0) + Number(days) * 86_400;
}
