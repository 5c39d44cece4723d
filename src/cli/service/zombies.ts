/**
 * As the first process of a container, a service inherits the processes whose parents have died, and has to reap them when they
 * end. Bun reaps only those that it has started.
 */
import { readdirSync } from "node:fs";

import { sleep } from "../../deadline.ts";
import { openLibc } from "../../transport/libc.ts";
import { processStat } from "../../transport/runtime-dir.ts";

const signatures = { waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" } } as const;
const withoutWaiting = 1;
/** Bun reaps what it has started within this time. */
const settleMs = 500;

/** Reaps what nobody else does, if this is the first process of its pid namespace. */
export function reapOrphans(): Disposable {
  if (process.pid !== 1 || process.platform !== "linux") return { [Symbol.dispose]: () => {} };
  const ended = new AbortController();
  let isWanted = false;
  let isRunning = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (isWanted && !ended.signal.aborted) {
      isWanted = false;
      await reapLeft(ended.signal).catch(() => {});
    }
    isRunning = false;
  };
  const onEnd = (): void => {
    isWanted = true;
    if (!isRunning) void run();
  };
  process.on("SIGCHLD", onEnd);
  return {
    [Symbol.dispose]() {
      process.off("SIGCHLD", onEnd);
      ended.abort();
    },
  };
}

/** Reaps the zombies that are still there after a while. */
async function reapLeft(signal: AbortSignal): Promise<void> {
  await sleep(settleMs, signal);
  const before = zombies();
  await sleep(settleMs, signal);
  const left = zombies().intersection(before);
  if (left.size === 0) return;
  const { waitpid } = openLibc(signatures);
  for (const pid of left) waitpid(pid, null, withoutWaiting);
}

/** The children of this process that have ended and aren't reaped. */
function zombies(): Set<number> {
  const pids = readdirSync("/proc").map(Number);
  return new Set(pids.filter((pid) => pid > 1 && isZombie(pid)));
}

function isZombie(pid: number): boolean {
  const [state, parent] = processStat(pid) ?? []; // it may have been reaped meanwhile
  return state === "Z" && Number(parent) === process.pid;
}
