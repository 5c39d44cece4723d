/** Finds the processes of a run. */
import { readdirSync, readFileSync } from "node:fs";

/** The pids of all processes whose environment has this folder. */
export function processesOf(folder: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && environmentOf(pid).includes(folder));
}

/** Empty if the process has ended, or is another user's. */
function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch {
    return "";
  }
}
