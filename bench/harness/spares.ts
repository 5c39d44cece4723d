/** The spare processes of a nursery, seen from outside: the package tells nothing of them. */
import { readdirSync, readFileSync } from "node:fs";

/** How long none of them may run: then all have loaded furrow. */
const idleMs = 20;

/** Returns why they can't be seen here, or undefined if they can. */
export function sparesAreHidden(): string | undefined {
  return process.platform === "linux" ? undefined : "spare processes are found in /proc";
}

/** Waits until this process has so many spare processes, which wait for their orders. */
export async function sparesReady(count: number): Promise<void> {
  let before: string[] = [];
  for (;;) {
    const now = processorTimes();
    if (now.length === count && now.join() === before.join()) return;
    before = now;
    await Bun.sleep(idleMs);
  }
}

/** How long each of the spares has run, in the words of the kernel. */
function processorTimes(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (!(Number(pid) > 0) || !isSpare(pid)) return [];
      return [`${pid}: ${readFileSync(`/proc/${pid}/schedstat`, "utf8")}`];
    } catch {
      return []; // it has ended
    }
  });
}

function isSpare(pid: string): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(parent) === process.pid && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("(spare)");
}
