/**
 * Locks on paths that end with their process, however that ends: the kernel's `flock`. One kind has a single holder;
 * the other is shared by all who belong to something, and tells whether there are others.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";

import { systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { flock } from "./libc.ts";

const log = logger("transport");
const sharedNow = 1 | 4; // LOCK_SH | LOCK_NB
const exclusiveNow = 2 | 4; // LOCK_EX | LOCK_NB
const unlock = 8; // LOCK_UN
/** How often to try a lock that only lookers hold, with 1 ms between: each has it for microseconds, if it runs. */
const triesPastLookers = 200;
/**
 * A link in the way is an error: what it leads to must not be written to. O_NONBLOCK, because opening a fifo would otherwise
 * wait for its other end, and nothing could interrupt that.
 */
const openOrCreate = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const openOnly = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const openToLook = constants.O_RDONLY | constants.O_NONBLOCK;

export interface PathLock {
  /** Whether its file is still the one at the path. A lock on a file that was removed guards nothing. */
  readonly isCurrent: boolean;
  /** Replaces what the file says: a hint for those who find it locked. Empty where the disk is full. */
  write(text: string): void;
  /** Removes the lock's file and lets go. */
  release(): void;
}

/**
 * Takes the lock at `path`, creating its file, or returns undefined when a live process holds it.
 *
 * @throws the system's error when the file cannot be created, and an error when it isn't a file of this user alone
 */
export function lockPath(path: string): PathLock | undefined {
  return take(path, openOrCreate);
}

/**
 * As `lockPath`, for a file that must be there already: undefined when there is none, or none that can be opened, too.
 */
export function lockExisting(path: string): PathLock | undefined {
  try {
    return take(path, openOnly);
  } catch {
    return undefined;
  }
}

function take(path: string, flags: number): PathLock | undefined {
  for (;;) {
    const fd = openLock(path, flags);
    if (!takeExclusive(fd)) {
      closeSync(fd);
      return undefined;
    }
    // the former holder may have removed the file between our open and our lock: then this lock guards nothing
    if (isSameFile(fd, path)) return new HeldLock(path, fd);
    closeSync(fd);
  }
}

/**
 * Others, too, may put something at the path where the directory lets them. A file of another user could be locked by that
 * user for ever, and one that has a second name is somebody's data: writing the holder into it would destroy that.
 *
 * @throws the system's error when it can't be opened, and an error when it isn't a file of this user with one name
 */
function openLock(path: string, flags: number): number {
  const fd = openSync(path, flags, 0o600);
  const found = fstatSync(fd);
  const uid = process.getuid?.() ?? found.uid;
  let fault: string | undefined;
  if (!found.isFile()) fault = "is not a regular file";
  else if (found.uid !== uid) fault = `belongs to uid ${found.uid}, not to ${uid}`;
  else if (found.nlink > 1) fault = `is one of ${found.nlink} links to a file`;
  if (fault === undefined) return fd;
  closeSync(fd);
  throw new Error(`lock file ${path} ${fault}`);
}

class HeldLock implements PathLock {
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  get isCurrent(): boolean {
    return isSameFile(this.#fd, this.#path);
  }

  write(text: string): void {
    try {
      ftruncateSync(this.#fd, 0);
      writeSync(this.#fd, text, 0);
    } catch (error) {
      // the lock counts, not what it says; a part of it would say nothing
      log.warn?.(`cannot write to ${this.#path}: ${String(error)}`);
      ftruncateSync(this.#fd, 0);
    }
  }

  release(): void {
    removeAndClose(this.#path, this.#fd);
  }
}

function removeAndClose(path: string, fd: number): void {
  try {
    // not the file of a holder who came after this one's was removed
    if (isSameFile(fd, path)) rmSync(path, { force: true });
  } catch (error) {
    log.warn?.(`cannot remove ${path}: ${String(error)}`);
  } finally {
    closeSync(fd);
  }
}

/** A lock that can be shared, but not taken, is held by a process that asks `isLocked`. */
function takeExclusive(fd: number): boolean {
  for (let tries = 0; tries < triesPastLookers; tries++) {
    if (flock(fd, exclusiveNow)) return true;
    if (!flock(fd, sharedNow)) return false;
    flock(fd, unlock);
    Bun.sleepSync(1);
  }
  return false;
}

/** What keeps a lock from being looked at and says nothing about it: no permission, or no descriptor left. */
const unreadable: ReadonlySet<string> = new Set(["EACCES", "EMFILE", "ENFILE"]);

/** Whether a live process holds the lock at `path`; one that can't be opened may be held. Creates nothing. */
export function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, openToLook);
  } catch (error) {
    return unreadable.has(systemCode(error) ?? ""); // no file, no lock
  }
  try {
    return fstatSync(fd).isFile() && !flock(fd, sharedNow);
  } finally {
    closeSync(fd);
  }
}

/** A share in the lock at a path, held until `leave` or the end of the process. */
export class SharedLock {
  readonly path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /**
   * Takes a share, creating the file.
   *
   * @throws the system's error when the file cannot be created
   */
  static join(path: string): SharedLock {
    for (;;) {
      const fd = openLock(path, openOrCreate);
      share(fd);
      if (isSameFile(fd, path)) return new SharedLock(path, fd);
      closeSync(fd); // the last one left just now, and removed the file
    }
  }

  /** Removes the file at `path` if no live process has a share in it. */
  static sweep(path: string): void {
    let fd: number;
    try {
      fd = openLock(path, openOnly);
    } catch {
      return; // gone, or not to be opened
    }
    // one try: unlike lookers, members do not let go in a moment
    if (flock(fd, exclusiveNow)) removeAndClose(path, fd);
    else closeSync(fd);
  }

  /** Whether its file is still the one at the path. */
  get isCurrent(): boolean {
    return isSameFile(this.#fd, this.path);
  }

  get inode(): number {
    return fstatSync(this.#fd).ino;
  }

  /** Whether another live process has a share, or this one another. */
  get hasOthers(): boolean {
    const alone = flock(this.#fd, exclusiveNow);
    // a conversion that fails may have lost the share that was there
    share(this.#fd);
    return !alone;
  }

  /** Lets go; the last to leave removes the file. */
  leave(): void {
    if (flock(this.#fd, exclusiveNow)) removeAndClose(this.path, this.#fd);
    else closeSync(this.#fd);
  }
}

/** A share is kept from nobody for longer than the moment in which another asks `hasOthers`, or leaves. */
function share(fd: number): void {
  for (let tries = 0; tries < triesPastLookers; tries++) {
    if (flock(fd, sharedNow)) return;
    Bun.sleepSync(1);
  }
  log.warn?.("a shared lock is held by a process that does not let go");
}

function isSameFile(fd: number, path: string): boolean {
  try {
    const [there, here] = [statSync(path), fstatSync(fd)];
    return there.ino === here.ino && there.dev === here.dev;
  } catch {
    return false;
  }
}
