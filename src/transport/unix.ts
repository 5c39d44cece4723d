/** Unix sockets. */
import { chmodSync, existsSync, lstatSync, mkdirSync, renameSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";

import { Deadline, sleep } from "../deadline.ts";
import { AddressError, asError, systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { formatAddress, type ParsedUnixAddress } from "./address.ts";
import { isLastDescriptor } from "./descriptors.ts";
import { dial, isAbsent, listenFault } from "./dial.ts";
import { isLocked, lockPath, type PathLock } from "./flock.ts";
import { isProcessAlive, maxSocketPathBytes, socketOwner } from "./runtime-dir.ts";
import { SocketLink, socketHandlers } from "./socket.ts";
import type { Link, Listener, TransportDriver } from "./transport.ts";

const log = logger("transport");

/** Waits between attempts at a socket whose owner lives but refuses: its backlog is full. Then the deadline decides. */
const busyBackoffMs = [2, 5, 10, 20, 40, 80] as const;

export const unixTransport: TransportDriver<ParsedUnixAddress> = {
  transport: "unix",

  async listen(address, onLink) {
    const { path } = address;
    checkLength(path);
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new AddressError(listenFault(path, error), { cause: error });
    }
    // a free name that holds our pid is ours alone; any other may be wanted by several processes at once
    if (socketOwner(path) === process.pid && !existsSync(path)) return listenAt(address, onLink, undefined);
    const lock = takeLock(path);
    try {
      await evictStale(path);
      return listenAt(address, onLink, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  },

  async connect(address, deadline) {
    checkLength(address.path);
    const remote = formatAddress({ ...address, host: "" });
    for (let attempt = 0; ; attempt++) {
      try {
        return await dial(new SocketLink(remote, false), { unix: address.path }, deadline);
      } catch (error) {
        if (!isAbsent(error) || !isBusy(address.path, attempt)) throw error;
        await deadline.race("dial", sleep(busyBackoffMs[attempt] ?? 160));
      }
    }
  },
};

function checkLength(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > maxSocketPathBytes) {
    throw new AddressError(`socket path of ${bytes} B exceeds the system's ${maxSocketPathBytes} B: ${path}`);
  }
}

/** The lock of a well-known path is held as long as its socket is served. */
function lockFile(path: string): string {
  return `${path}.lock`;
}

function takeLock(path: string): PathLock {
  const file = lockFile(path);
  let lock: PathLock | undefined;
  try {
    lock = lockPath(file);
  } catch (error) {
    throw new AddressError(listenFault(path, error), { cause: error });
  }
  if (lock === undefined) throw inUse(path);
  return lock;
}

function inUse(path: string): AddressError {
  const cause = Object.assign(new Error(`${path} is held by another process`), { code: "EADDRINUSE" });
  return new AddressError(listenFault(path, cause), { cause });
}

/** Under the lock: a file that nobody answers at is left from a dead process; one that answers is somebody else's. */
async function evictStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket())
    throw new AddressError(`cannot listen on ${path}: it is there, and is no socket`);
  if (isListenedAt(path)) throw inUse(path);
  const link = new SocketLink(path, false);
  try {
    for (const wait of [0, ...busyBackoffMs.slice(0, 3)]) {
      if (wait > 0) await sleep(wait);
      try {
        await dial(link, { unix: path }, new Deadline({ timeout: 1_000 }, `probe of ${path}`));
        throw inUse(path);
      } catch (error) {
        // refused may also mean a full backlog, so ask a few times; anything but refused is a sign of life
        if (error instanceof AddressError) throw error;
        if (!isAbsent(error)) throw inUse(path);
        if (systemCode((error as Error).cause) === "ENOENT") return;
      }
    }
  } finally {
    link.abort();
  }
  rmSync(path, { force: true });
}

/**
 * Whether the kernel lists a listener at the path; where it does not tell, false. A listener that it lists may refuse
 * all the same, while its backlog is full.
 */
function isListenedAt(path: string): boolean {
  if (process.platform !== "linux") return false;
  // "num: references protocol flags type state inode path"; the flag says that it listens
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
  return lines.some((line) => line.endsWith(` ${path}`) && line.split(" ")[3] === "00010000");
}

function listenAt(
  address: ParsedUnixAddress,
  onLink: (link: Link) => void,
  lock: PathLock | undefined,
): Listener {
  const { path } = address;
  let listener: Bun.SocketListener<SocketLink>;
  try {
    listener = Bun.listen<SocketLink>({
      unix: path,
      allowHalfOpen: true,
      socket: {
        ...socketHandlers,
        open(socket) {
          if (isLastDescriptor(socket)) return socket.terminate();
          const link = new SocketLink(`a peer on ${path}`, false);
          socket.data = link; // the option of that name would be shared by all sockets
          link.onOpen(socket);
          onLink(link);
        },
      },
    });
  } catch (error) {
    throw new AddressError(listenFault(path, error), { cause: error });
  }
  chmodSync(path, 0o600);
  const { dev, ino } = lstatSync(path);
  let open = true;
  return {
    address: { ...address, host: "" },
    close() {
      if (!open) return;
      open = false;
      try {
        const now = lstatSync(path, { throwIfNoEntry: false });
        const isOurs = now?.dev === dev && now.ino === ino;
        // stop() removes whatever is at the path: a successor's socket steps aside for that moment
        if (now !== undefined && !isOurs) renameSync(path, `${path}~`);
        listener.stop();
        if (now !== undefined && !isOurs) renameSync(`${path}~`, path);
        if (isOurs) rmSync(path, { force: true });
      } catch (error) {
        // a folder that was made read-only, say: the next boot sweeps
        log.warn?.(`cannot remove ${path}: ${asError(error).message}`);
      } finally {
        lock?.release();
      }
    },
  };
}

/** Whether a refusal is worth another attempt: the owner of the file is alive, so its backlog must be full. */
function isBusy(path: string, attempt: number): boolean {
  if (!existsSync(path)) return false;
  const owner = socketOwner(path);
  if (owner !== undefined) return isProcessAlive(owner);
  // somebody else's socket says nothing of its owner: a few attempts, then it counts as dead
  return isLocked(lockFile(path)) || (attempt < 3 && !existsSync(lockFile(path)));
}
