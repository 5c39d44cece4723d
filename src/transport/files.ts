/**
 * The file operations of an actor's start and end, without `node:fs`: a packed child starts 3 % sooner if it doesn't load
 * that (row `spawn.packed`, 0.92 to 0.99 in turn with it). On Linux they are calls of the C library, which locks need anyway (`libc.ts`).
 *
 * They are called and fail like their namesakes. A call that failed is made again by `node:fs`, for its error, save
 * those of `existsSync` and `closeSync`; so is every call on other systems. What an actor does less often takes `nodeFs()`.
 */
import { fileCalls } from "./libc.ts";

/** `node:fs`, loaded by the first use. */
export function nodeFs(): typeof import("node:fs") {
  return process.getBuiltinModule("node:fs");
}

/** What of `node:fs`'s `Stats` the runtime reads. */
export interface FileStatus {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly size: number;
  readonly ino: number;
  readonly dev: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isSocket(): boolean;
  isSymbolicLink(): boolean;
}

// the flags of open(2), as Linux has them; see `openFlags`
const oRdwr = 0o2;
const oCreat = 0o100;
const oNonblock = 0o4000;
const oCloexec = 0o2_000_000;
const oNofollow = process.arch === "arm64" ? 0o100_000 : 0o400_000;

/** The flags that the runtime opens files with. `O_RDONLY` is 0. */
export const openFlags: {
  readonly O_RDWR: number;
  readonly O_CREAT: number;
  readonly O_NONBLOCK: number;
  readonly O_NOFOLLOW: number;
} =
  process.platform === "linux"
    ? { O_RDWR: oRdwr, O_CREAT: oCreat, O_NONBLOCK: oNonblock, O_NOFOLLOW: oNofollow }
    : nodeFs().constants;

const atFdcwd = -100;
const atSymlinkNofollow = 0x100;
const atEmptyPath = 0x1000;
const statxBasicStats = 0x7ff;
/** `struct statx`, the same on every processor that Bun runs on. */
const statxBytes = new Uint8Array(256);
const statxView = new DataView(statxBytes.buffer);

/** Long enough for any path, and for the small files of /proc. */
const scratch = Buffer.alloc(4_096);
const noPath = Buffer.alloc(1);

/** A path as C has it; undefined for what C would take for a shorter one, which `node:fs` refuses. */
function pathBytes(path: string): Buffer | undefined {
  return path.includes("\0") ? undefined : Buffer.from(`${path}\0`);
}

class Status implements FileStatus {
  readonly nlink: number = u32(16);
  readonly uid: number = u32(20);
  readonly mode: number = statxView.getUint16(28, true);
  readonly ino: number = u64(32);
  readonly size: number = u64(40);
  readonly dev: number = deviceNumber(u32(136), u32(140));

  isFile(): boolean {
    return this.#is(0o100_000);
  }

  isDirectory(): boolean {
    return this.#is(0o040_000);
  }

  isSocket(): boolean {
    return this.#is(0o140_000);
  }

  isSymbolicLink(): boolean {
    return this.#is(0o120_000);
  }

  #is(type: number): boolean {
    return (this.mode & 0o170_000) === type;
  }
}

function u32(at: number): number {
  return statxView.getUint32(at, true);
}

function u64(at: number): number {
  return u32(at) + u32(at + 4) * 2 ** 32;
}

/** As makedev(3) puts it together for `stat`. */
function deviceNumber(major: number, minor: number): number {
  // the kernel has 12 bits for the one and 20 for the other
  return (minor - (minor & 0xff)) * 0x1000 + (major << 8) + (minor & 0xff);
}

/** What is at the path, or at the descriptor; undefined when that can't be said without `node:fs`. */
function statx(at: string | number, flags: number): Status | undefined {
  const calls = fileCalls();
  const path = typeof at === "number" ? noPath : pathBytes(at);
  if (calls === undefined || path === undefined) return undefined;
  const [folder, allFlags] = typeof at === "number" ? [at, flags | atEmptyPath] : [atFdcwd, flags];
  return calls.statx(folder, path, allFlags, statxBasicStats, statxBytes) === 0 ? new Status() : undefined;
}

export function statSync(path: string): FileStatus {
  return statx(path, 0) ?? nodeFs().statSync(path);
}

export function lstatSync(path: string): FileStatus {
  return statx(path, atSymlinkNofollow) ?? nodeFs().lstatSync(path);
}

/** As `lstatSync`; undefined when nothing is there. */
export function lstatIfPresent(path: string): FileStatus | undefined {
  return statx(path, atSymlinkNofollow) ?? nodeFs().lstatSync(path, { throwIfNoEntry: false });
}

export function fstatSync(fd: number): FileStatus {
  return statx(fd, 0) ?? nodeFs().fstatSync(fd);
}

export function existsSync(path: string): boolean {
  return statx(path, 0) !== undefined || (fileCalls() === undefined && nodeFs().existsSync(path));
}

/** Opens a file that children don't inherit. `flags`: of `openFlags`. */
export function openSync(path: string, flags: number, mode = 0o666): number {
  const bytes = pathBytes(path);
  const fd = bytes === undefined ? -1 : (fileCalls()?.open(bytes, flags | oCloexec, mode) ?? -1);
  return fd >= 0 ? fd : nodeFs().openSync(path, flags, mode);
}

export function closeSync(fd: number): void {
  const calls = fileCalls();
  if (calls === undefined) nodeFs().closeSync(fd);
  // never twice: another thread may have the number by then
  else if (calls.close(fd) !== 0) throw new Error(`cannot close file descriptor ${fd}`);
}

export function ftruncateSync(fd: number, length: number): void {
  if (fileCalls()?.ftruncate(fd, length) !== 0) nodeFs().ftruncateSync(fd, length);
}

/** Writes the text at `offset`. */
export function writeAtSync(fd: number, text: string, offset: number): void {
  const bytes = Buffer.from(text);
  if (fileCalls()?.pwrite(fd, bytes, bytes.length, offset) !== bytes.length)
    nodeFs().writeSync(fd, bytes, 0, bytes.length, offset);
}

/** Reads a file as UTF-8. */
export function readTextSync(path: string): string {
  return read(path) ?? nodeFs().readFileSync(path, "utf8");
}

function read(path: string): string | undefined {
  const calls = fileCalls();
  const bytes = pathBytes(path);
  if (calls === undefined || bytes === undefined) return undefined;
  const fd = calls.open(bytes, oCloexec, 0);
  if (fd < 0) return undefined;
  let text = scratch;
  let length = 0;
  try {
    for (;;) {
      const read = calls.read(fd, text.subarray(length), text.length - length);
      if (read === 0) return text.toString("utf8", 0, length);
      if (read < 0) return undefined;
      length += read;
      if (length === text.length) text = Buffer.concat([text, Buffer.allocUnsafe(3 * length)]);
    }
  } finally {
    calls.close(fd);
  }
}

export function readlinkSync(path: string): string {
  const bytes = pathBytes(path);
  const length = bytes === undefined ? -1 : (fileCalls()?.readlink(bytes, scratch, scratch.length) ?? -1);
  return length >= 0 && length < scratch.length
    ? scratch.toString("utf8", 0, length)
    : nodeFs().readlinkSync(path);
}

export function realpathSync(path: string): string {
  const bytes = pathBytes(path);
  const found = bytes === undefined ? null : (fileCalls()?.realpath(bytes, scratch) ?? null);
  if (found === null || found === 0) return nodeFs().realpathSync(path);
  return scratch.toString("utf8", 0, scratch.indexOf(0));
}

/** Makes a directory with its parents, unless it's there. */
export function mkdirAllSync(path: string, mode: number): void {
  if (statx(path, 0)?.isDirectory() !== true) nodeFs().mkdirSync(path, { recursive: true, mode });
}

export function chmodSync(path: string, mode: number): void {
  const bytes = pathBytes(path);
  if (bytes === undefined || fileCalls()?.chmod(bytes, mode) !== 0) nodeFs().chmodSync(path, mode);
}

/** Removes a file, if there is one. */
export function removeSync(path: string): void {
  const bytes = pathBytes(path);
  if (bytes === undefined || fileCalls()?.unlink(bytes) !== 0) nodeFs().rmSync(path, { force: true });
}
