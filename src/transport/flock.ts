/**
 * A lock on a path that ends with its process, however that ends: the kernel's `flock`. Node and Bun have no call for
 * it; loading libc takes a fraction of a millisecond and happens only where a well-known path is bound.
 */
import { dlopen } from "bun:ffi";
import { closeSync, fstatSync, openSync, rmSync, statSync } from "node:fs";

import { logger } from "../log.ts";

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

type Flock = (fd: number, operation: number) => number;
let flock: Flock | undefined;

function loadFlock(): Flock {
  const signature = { flock: { args: ["i32", "i32"], returns: "i32" } } as const;
  const names =
    process.platform === "darwin"
      ? ["libSystem.B.dylib"]
      : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, "libc.so"];
  for (const name of names) {
    try {
      return dlopen(name, signature).symbols.flock;
    } catch (error) {
      log.debug?.(`${name} cannot be loaded: ${String(error)}`);
    }
  }
  throw new Error(`no libc found for flock (tried ${names.join(", ")})`);
}

/**
 * Takes the lock at `path`, creating its file, or returns undefined when a live process holds it.
 *
 * @throws the system's error when the file cannot be created
 */
export function lockPath(path: string): PathLock | undefined {
  flock ??= loadFlock();
  for (;;) {
    const fd = openSync(path, "a", 0o600);
    if (!takeLock(flock, fd)) {
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
function takeLock(lock: Flock, fd: number): boolean {
  for (let tries = 0; tries < triesPastLookers; tries++) {
    if (lock(fd, exclusiveNow) === 0) return true;
    if (lock(fd, sharedNow) !== 0) return false;
    lock(fd, unlock);
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
    flock ??= loadFlock();
    return flock(fd, sharedNow) !== 0;
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
