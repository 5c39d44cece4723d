/**
 * Locks on paths, by the kernel's `flock`: a process's locks are released when it ends, however it ends. An exclusive
 * lock has a single holder; a shared one is held by every member of a group and shows whether there are other
 * members.
 */
import { systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openFlags,
  openSync,
  removeSync,
  statSync,
  writeAtSync,
} from "./files.ts";
import { flock } from "./libc.ts";

const log = logger("transport");
const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = openFlags;
const sharedNow = 1 | 4; // LOCK_SH | LOCK_NB
const exclusiveNow = 2 | 4; // LOCK_EX | LOCK_NB
const unlock = 8; // LOCK_UN
/**
 * Tries, 1 ms apart, for a lock held only by `isLocked` checks: each holds it for microseconds unless it is stopped.
 */
const triesPastLookers = 200;
/**
 * O_NOFOLLOW makes a symbolic link an error: its target must not be written to. O_NONBLOCK, because opening a fifo
 * would otherwise wait for its other end, and nothing could interrupt that.
 */
const openOrCreate = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
const openOnly = O_NOFOLLOW | O_NONBLOCK;
const openToLook = O_NONBLOCK;

export interface PathLock {
  /** Whether its file is still the one at the path. A lock on a removed file guards nothing. */
  readonly isCurrent: boolean;
  /** Replaces the file's content, a hint for processes that find it locked. Leaves it empty when the write fails. */
  write(text: string): void;
  /** Removes the lock's file and releases the lock. */
  release(): void;
}

/**
 * Acquires the lock at `path`, creating its file, or returns undefined when a live process holds it.
 *
 * @throws the system's error when the file can't be opened or created, and an error when it isn't a regular file of
 *   this user with a single link
 */
export function lockPath(path: string): PathLock | undefined {
  return take(path, openOrCreate);
}

/**
 * Like `lockPath`, but doesn't create the file: returns undefined also when it is missing or can't be opened.
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
    // the previous holder may have removed the file between our open and our lock: then this lock guards nothing
    if (isSameFile(fd, path)) return new HeldLock(path, fd);
    closeSync(fd);
  }
}

/**
 * If the directory's mode permits it, other users can put something at the path too. Another user could hold a lock
 * on their own file for ever, and a file with a second link may be someone's data, which writing the holder would
 * destroy.
 *
 * @throws the system's error when it can't be opened, and an error when it isn't a regular file of this user with a
 *   single link
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
      writeAtSync(this.#fd, text, 0);
    } catch (error) {
      // the lock matters, its content is only a hint; a truncated hint is useless
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
    // not the file of a later holder, if this one's was removed
    if (isSameFile(fd, path)) removeSync(path);
  } catch (error) {
    log.warn?.(`cannot remove ${path}: ${String(error)}`);
  } finally {
    closeSync(fd);
  }
}

/** Retries while the lock can be shared but not acquired: then only `isLocked` checks of other processes hold it. */
function takeExclusive(fd: number): boolean {
  for (let tries = 0; tries < triesPastLookers; tries++) {
    if (flock(fd, exclusiveNow)) return true;
    if (!flock(fd, sharedNow)) return false;
    flock(fd, unlock);
    Bun.sleepSync(1);
  }
  return false;
}

/** Errors that hide whether a lock is held: no permission, or no descriptor left. */
const unreadable: ReadonlySet<string> = new Set(["EACCES", "EMFILE", "ENFILE"]);

/**
 * Whether a live process holds the lock at `path`, or may hold it: true if this process can't look. Creates nothing.
 */
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

/** Shared ownership of the lock at a path, held until `leave` or the end of the process. */
export class SharedLock {
  readonly path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /**
   * Acquires a share of the lock, creating the file.
   *
   * @throws the system's error when the file can't be opened or created, and an error when it isn't a regular file of
   *   this user with a single link
   */
  static join(path: string): SharedLock {
    for (;;) {
      const fd = openLock(path, openOrCreate);
      share(fd);
      if (isSameFile(fd, path)) return new SharedLock(path, fd);
      closeSync(fd); // the last member has just left and removed the file
    }
  }

  /** Removes the file at `path` if no live process has a share in it. */
  static sweep(path: string): void {
    let fd: number;
    try {
      fd = openLock(path, openOnly);
    } catch {
      return; // missing, or can't be opened
    }
    // one try: members, unlike `isLocked`, keep the lock
    if (flock(fd, exclusiveNow)) removeAndClose(path, fd);
    else closeSync(fd);
  }

  /** Whether a live process has a share in the lock at `path`. Creates and removes nothing. */
  static isShared(path: string): boolean {
    let fd: number;
    try {
      fd = openLock(path, openOnly);
    } catch {
      return false; // missing, or can't be opened
    }
    try {
      return !flock(fd, exclusiveNow);
    } finally {
      closeSync(fd);
    }
  }

  /** Whether its file is still the one at the path. */
  get isCurrent(): boolean {
    return isSameFile(this.#fd, this.path);
  }

  get inode(): number {
    return fstatSync(this.#fd).ino;
  }

  /** Whether there is another share, in another live process or in this one. */
  get hasOthers(): boolean {
    const alone = flock(this.#fd, exclusiveNow);
    // a failed conversion may have dropped the share
    share(this.#fd);
    return !alone;
  }

  /** Releases the share; the last member to leave removes the file. */
  leave(): void {
    if (flock(this.#fd, exclusiveNow)) removeAndClose(this.path, this.#fd);
    else closeSync(this.#fd);
  }
}

/** Acquires a share; retries while another member holds the lock alone, as `hasOthers` and `leave` do briefly. */
function share(fd: number): void {
  for (let tries = 0; tries < triesPastLookers; tries++) {
    if (flock(fd, sharedNow)) return;
    Bun.sleepSync(1);
  }
  log.warn?.("cannot share a lock: another process keeps it exclusively");
}

function isSameFile(fd: number, path: string): boolean {
  try {
    const [there, here] = [statSync(path), fstatSync(fd)];
    return there.ino === here.ino && there.dev === here.dev;
  } catch {
    return false;
  }
}
