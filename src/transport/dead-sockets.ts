/**
 * Removes what dead processes left: sockets with their locks, which prove that (`socket-lock.ts`). Parents and roots do; most
 * children never load this.
 */
import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import { lstatIfPresent, nodeFs, removeSync } from "./files.ts";
import { lockExisting, SharedLock } from "./flock.ts";
import { pathIn } from "./paths.ts";
import { isProcessAlive } from "./runtime-dir.ts";
import { isPlausibleFile, lockFile, readHolder } from "./socket-lock.ts";
import { registrySocketPath, socketOwner } from "./socket-paths.ts";

const log = logger("transport");

/** How often to recheck the lock of a process that is ending. */
const dyingPollMs = 10;
/** How long to wait for such a process. */
const dyingMs = 1_000;

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
      SharedLock.sweep(pathIn(dir, name));
      continue;
    }
    if (!name.endsWith(".sock.lock")) continue;
    const socket = name.slice(0, -".lock".length);
    const path = pathIn(dir, socket);
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
  return port !== undefined && registrySocketPath(dir, Number(port)) === pathIn(dir, name);
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
      const holder = readHolder(pathIn(dir, name));
      // a process killed just after it acquired the lock has written no holder
      return holder === undefined || (holder.root === root && holder.uuid !== except);
    });
  await Promise.all(ending.map((name) => removeDyingSocket(pathIn(dir, name.slice(0, -".lock".length)))));
}
