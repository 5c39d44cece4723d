/** Finds the processes of a test's programs. */
import { readdirSync, readFileSync } from "node:fs";

export const hasProc: boolean = process.platform === "linux";

/** The processes that have this folder in their environment as the value of a variable, orphans included. */
export function processesWith(folder: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!(Number(pid) > 0)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`${folder}\0`);
    } catch {
      return false; // it has ended, or belongs to another user
    }
  });
}
