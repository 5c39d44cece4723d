/**
 * C library calls: `flock`, and `getsockopt` for the credentials of a unix socket's peer, which Bun doesn't offer; and those
 * that `files.ts` makes in place of `node:fs`. Loading the library takes half a millisecond, so that happens on the first
 * call.
 */
import { dlopen, type FFIFunction, type Library } from "bun:ffi";

import { logger } from "../log.ts";

const log = logger("transport");

const lockSignatures = {
  flock: { args: ["i32", "i32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
} as const;

const fileSignatures = {
  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "i64"], returns: "i32" },
  pwrite: { args: ["i32", "ptr", "i64", "i64"], returns: "i32" },
  ftruncate: { args: ["i32", "i64"], returns: "i32" },
  statx: { args: ["i32", "ptr", "i32", "u32", "ptr"], returns: "i32" },
  chmod: { args: ["ptr", "u32"], returns: "i32" },
  unlink: { args: ["ptr"], returns: "i32" },
  readlink: { args: ["ptr", "ptr", "i64"], returns: "i32" },
  realpath: { args: ["ptr", "ptr"], returns: "ptr" },
} as const;

interface LockCalls {
  /** `flock(2)`: 0 when the lock was acquired. */
  flock(fd: number, operation: number): number;
  /** `getsockopt(2)`: 0 when `value` and `length` were filled in. */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array): number;
}

/** As in the manual, sections 2 and 3: texts end with a zero byte, and -1 or null is a failure. */
export interface FileCalls {
  open(path: Uint8Array, flags: number, mode: number): number;
  close(fd: number): number;
  read(fd: number, into: Uint8Array, length: number): number;
  pwrite(fd: number, from: Uint8Array, length: number, offset: number): number;
  ftruncate(fd: number, length: number): number;
  statx(folder: number, path: Uint8Array, flags: number, mask: number, into: Uint8Array): number;
  chmod(path: Uint8Array, mode: number): number;
  unlink(path: Uint8Array): number;
  readlink(path: Uint8Array, into: Uint8Array, length: number): number;
  realpath(path: Uint8Array, into: Uint8Array): number | bigint | null;
}

interface Libc {
  readonly locks: LockCalls;
  /** Undefined on systems other than Linux, and where the library lacks one: musl has `statx` since 1.2. */
  readonly files: FileCalls | undefined;
}

let libc: Libc | undefined;

/** The functions of the C library with these signatures. @throws {AggregateError} when it lacks one, or there is none */
export function openLibc<T extends Record<string, FFIFunction>>(functions: T): Library<T>["symbols"] {
  return withLibc((name) => dlopen(name, functions).symbols);
}

function withLibc<T>(open: (name: string) => T): T {
  const names =
    process.platform === "darwin"
      ? ["libSystem.B.dylib"]
      : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, "libc.so"];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      return open(name);
    } catch (error) {
      log.debug?.(`cannot load ${name}: ${String(error)}`);
      failures.push(error);
    }
  }
  // the only sign that Bun gives of it
  if (failures.some((failure) => String(failure).includes("requires the JIT"))) {
    throw new AggregateError(
      failures,
      "furrow calls the C library through bun:ffi, which needs the JIT: it is off, by BUN_JSC_useJIT=0 or because the system allows no executable memory",
    );
  }
  throw new AggregateError(failures, `no C library found (tried ${names.join(", ")})`);
}

function openCalls(name: string): Libc {
  if (process.platform === "linux") {
    try {
      const all = dlopen(name, { ...lockSignatures, ...fileSignatures }).symbols;
      return { locks: all, files: all };
    } catch (error) {
      log.debug?.(`cannot use the file calls of ${name}: ${String(error)}`);
    }
  }
  return { locks: dlopen(name, lockSignatures).symbols, files: undefined };
}

/** The calls for files, if this system has them as `files.ts` expects them. */
export function fileCalls(): FileCalls | undefined {
  libc ??= withLibc(openCalls);
  return libc.files;
}

/** Calls `flock(2)`; returns whether it succeeded. */
export function flock(fd: number, operation: number): boolean {
  libc ??= withLibc(openCalls);
  return libc.locks.flock(fd, operation) === 0;
}

/** The process at the other end of a unix socket, according to the kernel. */
export interface Credentials {
  /** 0 when the process is in a pid namespace that isn't visible from this one. */
  readonly pid: number;
  readonly uid: number;
}

const solSocket = 1;
const soPeerCred = 17;
/** `struct ucred`: pid, uid and gid, 32 bits each. */
const ucred = new Uint32Array(3);
const ucredBytes = new Uint8Array(ucred.buffer);
const ucredLength = new Uint32Array(1);

/**
 * Returns the credentials of the process at the other end of the unix socket `fd`: the accepting side gets the
 * process that connected, the connecting side the one that listens. See `SO_PEERCRED` in unix(7). Undefined on
 * systems other than Linux, or when `fd` isn't a connected unix socket.
 */
export function peerCredentials(fd: number): Credentials | undefined {
  if (process.platform !== "linux") return undefined;
  libc ??= withLibc(openCalls);
  ucredLength[0] = ucredBytes.length;
  if (libc.locks.getsockopt(fd, solSocket, soPeerCred, ucredBytes, ucredLength) !== 0) return undefined;
  const [pid = 0, uid = 0] = ucred;
  return { pid, uid };
}
