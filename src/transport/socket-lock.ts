/**
 * A socket file and its lock, `<path>.lock`: whoever serves the socket holds the lock for as long. So a lock that can be
 * taken proves that the socket's owner is dead, whatever has the owner's pid by now and in whichever namespace it ran.
 */
import { lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import { lockExisting, SharedLock } from "./flock.ts";
import { isProcessAlive, registrySocketPath, socketOwner } from "./runtime-dir.ts";

const log = logger("transport");

/** More than a lock file holds; what is larger was not written here. */
const maxHolderBytes = 65_536;
/** How often to look again at the lock of a process that is about to end. */
const dyingPollMs = 10;
/** How long such a process may take. */
const dyingMs = 1_000;

/** What a lock file says of its holder: for messages, and true only while the lock is held. */
export interface LockHolder {
  readonly pid: number;
  readonly name: string;
  readonly uuid: string;
  /** The uuid of the root of its tree. */
  readonly root: string;
  /** All that it serves under this lock: a registrar's addresses, or the one of the socket. */
  readonly addrs: readonly string[];
}

/** The lock of a socket's path. */
export function lockFile(path: string): string {
  return `${path}.lock`;
}

export function formatHolder(holder: LockHolder): string {
  return `${JSON.stringify(holder)}\n`;
}

/** What the lock file at `path` says, or undefined when there is none or it says nothing. */
export function readHolder(path: string): LockHolder | undefined {
  try {
    if (!isPlausibleFile(path)) return undefined;
    const { pid, name, uuid, root, addrs } = JSON.parse(readFileSync(path, "utf8")) as Record<
      string,
      unknown
    >;
    const texts = [name, uuid, root];
    if (typeof pid !== "number" || texts.some((text) => typeof text !== "string")) return undefined;
    if (!Array.isArray(addrs) || addrs.some((addr) => typeof addr !== "string")) return undefined;
    return { pid, name, uuid, root, addrs } as LockHolder;
  } catch {
    return undefined;
  }
}

function isPlausibleFile(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && found.size <= maxHolderBytes;
}

/**
 * Whether `file` was written here: others, too, keep files of that name, beside sockets and elsewhere. A process that was
 * killed before it wrote leaves an empty one, with a name that only furrow gives.
 */
function isLockOf(path: string, file: string): boolean {
  if (lstatSync(file, { throwIfNoEntry: false })?.size === 0) return /@\d{1,10}\.sock$/.test(path);
  return readHolder(file) !== undefined;
}

/** removed: it is gone, or was. held: its owner lives. kept: not a socket, or nothing tells of its owner. */
export type Removal = "removed" | "held" | "kept";

/** Removes the socket at `path` and its lock, if the lock proves that the owner is dead. */
export function removeDeadSocket(path: string): Removal {
  const file = lockFile(path);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!isPlausibleFile(file)) return found === undefined ? "removed" : "kept";
  if (found?.isSocket() === false || !isLockOf(path, file)) return "kept";
  const lock = lockExisting(file);
  // held a moment ago: it may have been let go of since, and that is for the next look to see
  if (lock === undefined) return lstatSync(file, { throwIfNoEntry: false }) === undefined ? "kept" : "held";
  try {
    // under the lock it can't be a new owner's
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path, { force: true });
  } finally {
    lock.release();
  }
  log.info?.(`removed ${path}, which a dead process left`);
  return "removed";
}

/**
 * As `removeDeadSocket`, for the socket of a process that is known to be ending: a process that was killed closes its
 * connections a moment before it lets go of its locks. Bounded by a second; its timer keeps no process alive.
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
 * Removes what dead processes left in `dir`: sockets and their locks, and the lists of registries' members. Returns the
 * names of the sockets. A registry's own socket is left to the one that binds it next; a process that is just ending gets a
 * second in the background.
 */
export function sweepSockets(dir: string): string[] {
  const swept: string[] = [];
  for (const name of readdirSync(dir)) {
    if (/^registry-[0-9a-f]{12}\.members$/.test(name)) {
      SharedLock.sweep(join(dir, name));
      continue;
    }
    if (!name.endsWith(".sock.lock")) continue;
    const socket = name.slice(0, -".lock".length);
    const path = join(dir, socket);
    const file = lockFile(path);
    const wasThere = lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
    if (socketOwner(socket) === undefined && (wasThere || !isRegistrySocket(dir, socket))) continue;
    const removal = removeDeadSocket(path);
    if (removal === "removed" && wasThere) swept.push(socket);
    if (removal === "held" && isEnding(file)) void removeLater(path);
  }
  if (swept.length > 0) log.info?.(`swept ${swept.length} socket files of dead processes from ${dir}`);
  return swept;
}

/** Whether it is worth waiting for the holder: its first thread has ended, and others still have its files. */
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
 * Waits, for a second at most, until the processes of a tree that are still ending have let go of their sockets in
 * `dir`, and removes what they leave. `except`: the uuid of the one that asks.
 */
export async function removeTreeSockets(dir: string, root: string, except: string): Promise<void> {
  const ending = readdirSync(dir).filter((name) => {
    if (!name.endsWith(".sock.lock")) return false;
    const holder = readHolder(join(dir, name));
    // one that was killed in the moment of taking it has not said who it is
    return holder === undefined || (holder.root === root && holder.uuid !== except);
  });
  await Promise.all(ending.map((name) => removeDyingSocket(join(dir, name.slice(0, -".lock".length)))));
}
