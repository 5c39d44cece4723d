/** Socket files that no process serves. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { isLocked } from "../../transport/flock.ts";
import { lockFile } from "../../transport/socket-lock.ts";
import type { Finding } from "./finding.ts";
import { isListenedAt } from "./processes.ts";

/** So many names are listed. */
const maxNames = 5;

/** Looks through the directories in which actors have their sockets. Removes nothing. */
export function findStaleSockets(dirs: Iterable<string>): Finding[] {
  return Array.from(dirs, (dir) => findIn(dir)).flat();
}

function findIn(dir: string): Finding[] {
  const stale: string[] = [];
  const unknown: string[] = [];
  for (const name of socketsIn(dir)) {
    const path = join(dir, name);
    if (isLocked(lockFile(path))) continue;
    if (lstatSync(lockFile(path), { throwIfNoEntry: false }) !== undefined) stale.push(name);
    // elsewhere the system doesn't list its listeners
    else if (process.platform === "linux" && !isListenedAt(path)) unknown.push(name);
  }
  const findings: Finding[] = [];
  if (stale.length > 0)
    findings.push({
      code: "stale-sockets",
      level: "warning",
      what: `${counted(stale.length)} left by dead processes`,
      which: listed(dir, stale),
      whatToDo: "nothing: the next root that boots or ends there removes them",
    });
  if (unknown.length > 0)
    findings.push({
      code: "unknown-sockets",
      level: "warning",
      what: `${counted(unknown.length)} without a lock, which no process here serves`,
      which: listed(dir, unknown),
      whatToDo:
        "remove them if no program of yours needs them: actors don't, since they may be another program's",
    });
  return findings;
}

/** None if the directory can't be read: that is another finding. */
function socketsIn(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter(
        (name) => name.endsWith(".sock") && lstatSync(join(dir, name), { throwIfNoEntry: false })?.isSocket(),
      )
      .toSorted();
  } catch {
    return [];
  }
}

function counted(count: number): string {
  return count === 1 ? "a socket file" : `${count} socket files`;
}

function listed(dir: string, names: readonly string[]): string {
  const more = names.length > maxNames ? ` and ${names.length - maxNames} more` : "";
  return `${dir}: ${names.slice(0, maxNames).join(", ")}${more}`;
}
