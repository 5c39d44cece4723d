/** What a process holds, as the kernel counts it. */
import { heapStats } from "bun:jsc";
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** In bytes. What other processes share with it counts in `rss` in full, in `pss` in part, and in `private` not at all. */
export interface Memory {
  readonly rss: number;
  readonly pss: number;
  readonly private: number;
}

/** Returns why memory can't be measured here, or undefined if it can. */
export function memoryIsHidden(): string | undefined {
  return existsSync("/proc/self/smaps_rollup") ? undefined : "needs /proc/PID/smaps_rollup";
}

/** @throws {Error} if the process has ended */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1_024;
  return { rss: field("Rss"), pss: field("Pss"), private: field("Private_Clean") + field("Private_Dirty") };
}

/** How many descriptors the process has open. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** How many descriptors this process may have open. */
export function maxDescriptors(): number {
  const limits = existsSync("/proc/self/limits") ? readFileSync("/proc/self/limits", "utf8") : "";
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1_024);
}

/** The bytes of this process's live objects, after a collection. */
export function liveHeap(): number {
  collect();
  return heapStats().heapSize;
}

/** A weak reference or a finalizer may keep an object for another round. */
export function collect(): void {
  for (let round = 0; round < 3; round++) Bun.gc(true);
}
