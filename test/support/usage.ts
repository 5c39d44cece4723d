/** What processes take of the machine, as Linux says. */
import { readFileSync } from "node:fs";

/** Ticks of processor time in a second, which is the same on every Linux. */
const ticksPerSecond = 100;

/** User and system time of a process so far, in seconds; 0 once it's gone. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return 0;
  }
}

/** Memory in bytes: `rss` with all that it shares, `pss` with its share of that, `own` with nothing of it. */
export function memoryOf(pid: number): { readonly rss: number; readonly pss: number; readonly own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const of = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(text)?.[1] ?? 0) * 1_024;
  return { rss: of("Rss"), pss: of("Pss"), own: of("Private_Clean") + of("Private_Dirty") };
}

/** What the machine can still give to programs, in bytes. */
export function availableMemory(): number {
  const [, kilobytes = "0"] = /^MemAvailable: +(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  return Number(kilobytes) * 1_024;
}
