/**
 * Memory that processes of one user share: a file in memory (memfd_create(2)), sealed so that it keeps its size, since to
 * touch a mapping beyond the end of its file is fatal. Its maker keeps it open, and others open it as
 * `/proc/<pid>/fd/<number>`, which the kernel allows to processes that may look into the maker's. Linux only.
 */
import { FrameError } from "../errors.ts";
import { closeSync, fstatSync, openFlags, openSync, readlinkSync } from "./files.ts";
import { openLibc } from "./libc.ts";

const signatures = {
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  fallocate: { args: ["i32", "i32", "i64", "i64"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
} as const;

const mfdCloexec = 1;
const mfdAllowSealing = 2;
const fAddSeals = 1_033;
const fGetSeals = 1_034;
/** That seals can't be changed, and that the file can neither shrink nor grow. */
const seals = 1 | 2 | 4;
/** `O_NOCTTY` of open(2). */
const oNoctty = 0o400;
const name = Buffer.from("furrow\0");

let calls: ReturnType<typeof openLibc<typeof signatures>> | undefined;

function libc(): ReturnType<typeof openLibc<typeof signatures>> {
  return (calls ??= openLibc(signatures));
}

/** A file in memory, as others can find it. */
export interface Memfd {
  readonly fd: number;
  readonly byteLength: number;
  readonly device: number;
  readonly inode: number;
}

/**
 * Makes one, of zeros. Its memory is reserved at once: if it were missing later, to touch it would be fatal.
 *
 * @throws {Error} when there isn't enough memory or no descriptor left
 */
export function createMemfd(byteLength: number): Memfd {
  const { memfd_create, fallocate, fcntl } = libc();
  const fd = memfd_create(name, mfdCloexec | mfdAllowSealing);
  if (fd < 0) throw new Error("memfd_create(2) failed: no descriptor left?");
  try {
    if (fallocate(fd, 0, 0, byteLength) !== 0) throw new Error("fallocate(2) failed: no memory left?");
    if (fcntl(fd, fAddSeals, seals) !== 0) throw new Error("fcntl(2) failed: it can't be sealed");
    const { dev, ino } = fstatSync(fd);
    return { fd, byteLength, device: dev, inode: ino };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Opens another process's. The pid must be the kernel's, the rest is what that process claims.
 *
 * @throws {FrameError} when what it claims to be its memory can't be it: not a sealed memfd of that size and of this user
 * @throws {Error} when it is gone, or this process may not look into that one
 */
export function openMemfd(pid: number, { fd, byteLength, device, inode }: Memfd): Memfd {
  // without these flags a fifo would block, and a terminal could become that of this process
  const own = openSync(`/proc/${pid}/fd/${fd}`, openFlags.O_RDWR | openFlags.O_NONBLOCK | oNoctty);
  try {
    const found = fstatSync(own);
    if (found.dev !== device || found.ino !== inode) throw new Error("the memory is gone");
    if (!found.isFile() || found.uid !== process.getuid?.() || found.size !== byteLength)
      throw new FrameError(`descriptor ${fd} of process ${pid} isn't memory of ${byteLength} B of this user`);
    const sealed = libc().fcntl(own, fGetSeals, 0);
    if (sealed < 0 || (sealed & seals) !== seals)
      throw new FrameError(`descriptor ${fd} of process ${pid} isn't sealed`);
    return { fd: own, byteLength, device, inode };
  } catch (error) {
    closeSync(own);
    throw error;
  }
}

/** Maps one that this process has open. It is unmapped when the collector takes the bytes and all views of them. */
export function mapMemfd({ fd }: Memfd): Uint8Array {
  return Bun.mmap(`/proc/self/fd/${fd}`, { shared: true });
}

export function closeMemfd({ fd }: Memfd): void {
  closeSync(fd);
}

/**
 * Whether that process can map the memory of this one, and the other way round: they are in the same pid namespace, and
 * may look into each other.
 */
export function mayMapMemfds(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync("/proc/self/ns/pid");
  } catch {
    return false;
  }
}
