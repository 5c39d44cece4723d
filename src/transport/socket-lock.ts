/**
 * A socket file and its lock, `<path>.lock`: the process that serves the socket holds the lock the whole time. So a
 * lock that can be acquired proves that the socket's owner is dead, even if its pid was reused or it ran in another
 * namespace.
 */
import { join } from "node:path";

import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import { lstatIfPresent, nodeFs, readTextSync, removeSync } from "./files.ts";
import { lockExisting, SharedLock } from "./flock.ts";
import { isProcessAlive, registrySocketPath, socketOwner } from "./runtime-dir.ts";

const log = logger("transport");

/** Larger files weren't written here: a lock file's content is far smaller. */
const maxHolderBytes = 65_536;
/** How often to recheck the lock of a process that is ending. */
const dyingPollMs = 10;
/** How long to wait for such a process. */
const dyingMs = 1_000;

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

function isPlausibleFile(path: string): boolean {
  const found = lstatIfPresent(path);
  return found?.isFile() === true && found.size <= maxHolderBytes;
}

/**
 * Whether furrow wrote `file`: other programs use files with such names too, next to sockets and elsewhere. A process
 * killed before it wrote leaves an empty one, which counts only if its name is one that furrow gives.
 */
function isLockOf(path: string, file: string): boolean {
  if (lstatIfPresent(file)?.size === 0) return /@\d{1,10}\.sock$/.test(path);
  return readHolder(file) !== undefined;
}

/** removed: it is gone, or was missing. held: its owner is alive. kept: not a socket, or its owner is unknown. */
export type Removal = "removed" | "held" | "kept";

/** Removes the socket at `path` and its lock, if the lock proves that the owner is dead. */
export function removeDeadSocket(path: string): Removal {
  const file = lockFile(path);
  const found = lstatIfPresent(path);
  if (!isPlausibleFile(file)) return found === undefined ? "removed" : "kept";
  if (found?.isSocket() === false || !isLockOf(path, file)) return "kept";
  const lock = lockExisting(file);
  // it was held just now; if its file is gone since, leave the socket to the next sweep
  if (lock === undefined) return lstatIfPresent(file) === undefined ? "kept" : "held";
  try {
    // with the lock held, it can't belong to a new owner
    if (lstatIfPresent(path)?.isSocket()) removeSync(path);
  } finally {
    lock.release();
  }
  log.info?.(`removed ${path}, which a dead process left`);
  return "removed";
}

/**
 * Like `removeDeadSocket`, for a process that is known to be ending: a killed process closes its connections a moment
 * before its locks are released. Waits at most a second; its timer doesn't keep this process alive.
 */
export async function removeDyingSocket(path: string): Promise<Removal> {
  const latest = performance.now() + dyingMs;
  for (;;) {
    const removal = removeDeadSocket(path);
    if (removal !== "held" || performance.now() > latest) return removal;
    await new Promise((resolve) => setTimeout(resolve, dyingPollMs).unref());
  }
}

/**
 * Removes what dead processes left in `dir`: sockets with their locks, and membership files of registries. Returns
 * the names of the sockets. A registry's own socket is left for the next process that binds it; sockets of a process
 * that is just ending are retried in the background for a second.
 */
export function sweepSockets(dir: string): string[] {
  const swept: string[] = [];
  for (const name of nodeFs().readdirSync(dir)) {
    if (/^registry-[0-9a-f]{12}\.members$/.test(name)) {
      SharedLock.sweep(join(dir, name));
      continue;
    }
    if (!name.endsWith(".sock.lock")) continue;
    const socket = name.slice(0, -".lock".length);
    const path = join(dir, socket);
    const file = lockFile(path);
    const wasThere = lstatIfPresent(path)?.isSocket() === true;
    if (socketOwner(socket) === undefined && (wasThere || !isRegistrySocket(dir, socket))) continue;
    const removal = removeDeadSocket(path);
    if (removal === "removed" && wasThere) swept.push(socket);
    if (removal === "held" && isEnding(file)) void removeLater(path);
  }
  if (swept.length > 0) log.info?.(`swept ${swept.length} socket files of dead processes from ${dir}`);
  return swept;
}

/**
 * Whether the holder is about to release the lock: its main thread has ended, but others still hold its files open.
 */
function isEnding(file: string): boolean {
  const holder = readHolder(file);
  return holder !== undefined && !isProcessAlive(holder.pid);
}

async function removeLater(path: string): Promise<void> {
  try {
    await removeDyingSocket(path);
  } catch (error) {
    log.warn?.(`cannot remove ${path}: ${asError(error).message}`);
  }
}

function isRegistrySocket(dir: string, name: string): boolean {
  const port = /@(\d{1,5})\.sock$/.exec(name)?.[1];
  return port !== undefined && registrySocketPath(dir, Number(port)) === join(dir, name);
}

/**
 * Waits at most a second for the ending processes of a tree to release their sockets in `dir`, and removes what they
 * leave. `except`: the uuid of the calling actor.
 */
export async function removeTreeSockets(dir: string, root: string, except: string): Promise<void> {
  const ending = nodeFs()
    .readdirSync(dir)
    .filter((name) => {
      if (!name.endsWith(".sock.lock")) return false;
      const holder = readHolder(join(dir, name));
      // a process killed just after it acquired the lock has written no holder
      return holder === undefined || (holder.root === root && holder.uuid !== except);
    });
  await Promise.all(ending.map((name) => removeDyingSocket(join(dir, name.slice(0, -".lock".length)))));
}
