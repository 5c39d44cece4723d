/**
 * A lock on a path that ends with its process, however that ends: the kernel's `flock`.
 */
import { closeSync, fstatSync, openSync, rmSync, statSync } from "node:fs";

import { logger } from "../log.ts";
import { flock } from "./libc.ts";

const log = logger("transport");
const sharedNow = 1 | 4; // LOCK_SH | LOCK_NB
const exclusiveNow = 2 | 4; // LOCK_EX | LOCK_NB
const unlock = 8; // LOCK_UN
/** How often to try a lock that only lookers hold, with 1 ms between: each has it for microseconds, if it runs. */
const triesPastLookers = 200;

export interface PathLock {
  /** Removes the lock's file and lets go. */
  release(): void;
}

/**
 * Takes the lock at `path`, creating its file, or returns undefined when a live process holds it.
 *
 * @throws the system's error when the file cannot be created
 */
export function lockPath(path: string): PathLock | undefined {
  for (;;) {
    const fd = openSync(path, "a", 0o600);
    if (!takeLock(fd)) {
      closeSync(fd);
      return undefined;
    }
    // the former holder may have removed the file between our open and our lock: then this lock guards nothing
    if (isSameFile(fd, path)) {
      return {
        release() {
          try {
            // not the file of somebody who came after this one's was removed
            if (isSameFile(fd, path)) rmSync(path, { force: true });
          } catch (error) {
            log.warn?.(`cannot remove ${path}: ${String(error)}`);
          } finally {
            closeSync(fd);
          }
        },
      };
    }
    closeSync(fd);
  }
}

/** A lock that can be shared, but not taken, is held by somebody who asks `isLocked`. */
function takeLock(fd: number): boolean {
  for (let tries = 0; tries < triesPastLookers; tries++) {
    if (flock(fd, exclusiveNow)) return true;
    if (!flock(fd, sharedNow)) return false;
    flock(fd, unlock);
    Bun.sleepSync(1);
  }
  return false;
}

/** Whether a live process holds the lock at `path`. Creates nothing. */
export function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return false; // no file, no lock
  }
  try {
    return !flock(fd, sharedNow);
  } finally {
    closeSync(fd);
  }
}

function isSameFile(fd: number, path: string): boolean {
  try {
    return statSync(path).ino === fstatSync(fd).ino;
  } catch {
    return false;
  }
}
