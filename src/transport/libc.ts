/**
 * C library calls that Bun doesn't offer: `flock`, and `getsockopt` for the credentials of a unix socket's peer.
 * Loading the library takes a third of a millisecond, so that happens on the first call.
 */
import { dlopen, type FFIFunction, type Library } from "bun:ffi";

import { logger } from "../log.ts";

const log = logger("transport");

const signatures = {
  flock: { args: ["i32", "i32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
} as const;

interface Libc {
  /** `flock(2)`: 0 when the lock was acquired. */
  flock(fd: number, operation: number): number;
  /** `getsockopt(2)`: 0 when `value` and `length` were filled in. */
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array): number;
}

let libc: Libc | undefined;

/** The functions of the C library with these signatures. @throws {AggregateError} when there is none */
export function openLibc<T extends Record<string, FFIFunction>>(functions: T): Library<T>["symbols"] {
  const names =
    process.platform === "darwin"
      ? ["libSystem.B.dylib"]
      : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, "libc.so"];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      return dlopen(name, functions).symbols;
    } catch (error) {
      log.debug?.(`cannot load ${name}: ${String(error)}`);
      failures.push(error);
    }
  }
  throw new AggregateError(failures, `no C library found (tried ${names.join(", ")})`);
}

/** Calls `flock(2)`; returns whether it succeeded. */
export function flock(fd: number, operation: number): boolean {
  libc ??= openLibc(signatures);
  return libc.flock(fd, operation) === 0;
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
  libc ??= openLibc(signatures);
  ucredLength[0] = ucredBytes.length;
  if (libc.getsockopt(fd, solSocket, soPeerCred, ucredBytes, ucredLength) !== 0) return undefined;
  const [pid = 0, uid = 0] = ucred;
  return { pid, uid };
}
