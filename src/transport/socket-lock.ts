/**
 * A socket file and its lock, `<path>.lock`: the process that serves the socket holds the lock the whole time. So a
 * lock that can be acquired proves that the socket's owner is dead, even if its pid was reused or it ran in another
 * namespace; `dead-sockets.ts` removes what such owners leave.
 */
import { lstatIfPresent, readTextSync } from "./files.ts";

/** Larger files weren't written here: a lock file's content is far smaller. */
const maxHolderBytes = 65_536;
/** What a lock file says about its holder; valid only while the lock is held. */
export interface LockHolder {
  readonly pid: number;
  readonly name: string;
  readonly uuid: string;
  /** The uuid of the root of its tree. */
  readonly root: string;
  /** Every address served under this lock: all of a registrar's, or just the socket's. */
  readonly addrs: readonly string[];
}

/** The lock file that belongs to a socket's path. */
export function lockFile(path: string): string {
  return `${path}.lock`;
}

export function formatHolder(holder: LockHolder): string {
  return `${JSON.stringify(holder)}\n`;
}

/** Reads the lock file at `path`; undefined when it is missing or doesn't describe a holder. */
export function readHolder(path: string): LockHolder | undefined {
  try {
    if (!isPlausibleFile(path)) return undefined;
    const { pid, name, uuid, root, addrs } = JSON.parse(readTextSync(path)) as Record<string, unknown>;
    const texts = [name, uuid, root];
    if (typeof pid !== "number" || texts.some((text) => typeof text !== "string")) return undefined;
    if (!Array.isArray(addrs) || addrs.some((addr) => typeof addr !== "string")) return undefined;
    return { pid, name, uuid, root, addrs } as LockHolder;
  } catch {
    return undefined;
  }
}

/** Whether it can be one that was written here. */
export function isPlausibleFile(path: string): boolean {
  const found = lstatIfPresent(path);
  return found?.isFile() === true && found.size <= maxHolderBytes;
}
