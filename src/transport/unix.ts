/**
 * Unix sockets. A process holds a lock for as long as it serves a socket (`socket-lock.ts`): when several want the
 * same path, exactly one gets it, and leftovers of a dead process are replaced without a race.
 */
import { Deadline, sleep } from "../deadline.ts";
import { AddressError, asError, systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { formatAddress, type ParsedUnixAddress } from "./address.ts";
import { dial, isAbsent, listenFault } from "./dial.ts";
import { isLastDescriptor } from "./descriptors.ts";
import {
  chmodSync,
  existsSync,
  lstatIfPresent,
  lstatSync,
  mkdirAllSync,
  nodeFs,
  removeSync,
} from "./files.ts";
import { isLocked, lockPath, type PathLock } from "./flock.ts";
import { folderOf } from "./paths.ts";
import { formatHolder, lockFile, type LockHolder, readHolder } from "./socket-lock.ts";
import { maxSocketPathBytes } from "./socket-paths.ts";
import { kernelPeer, SocketLink, socketHandlers } from "./socket.ts";
import type { Link, Listener, ListenerState, TransportDriver } from "./transport.ts";

const log = logger("transport");

/** Back-off while a live owner refuses because its backlog is full; after the last, 160 ms each until the deadline. */
const busyBackoffMs = [2, 5, 10, 20, 40, 80] as const;

export const unixTransport: TransportDriver<ParsedUnixAddress> = {
  transport: "unix",

  async listen(address, onLink, holder) {
    checkLength(address.path);
    const listener = new UnixListener(address, onLink, holder);
    await listener.open();
    return listener;
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

/** How often to try for a lock: a sweep may hold it briefly. */
const lockTries = 3;

async function takeLock(path: string): Promise<PathLock> {
  for (let tries = 1; ; tries++) {
    let lock: PathLock | undefined;
    try {
      lock = lockPath(lockFile(path));
    } catch (error) {
      throw new AddressError(listenFault(path, error), { cause: error });
    }
    if (lock !== undefined) return lock;
    if (tries === lockTries) throw inUse(path);
    await sleep(1);
  }
}

function inUse(path: string): AddressError {
  const cause = Object.assign(new Error(`${path} is held by another process`), { code: "EADDRINUSE" });
  return new AddressError(listenFault(path, cause), { cause });
}

/**
 * Removes a stale socket. Called with the lock held, so a live owner can only be another program, which has no lock.
 * Such an owner is found in the kernel's list of listeners, or by a dial, since it may be in another network
 * namespace. If the lock file names a dead owner, the list isn't consulted: any user in another mount namespace can
 * put a listener in it that seems to be at this path.
 *
 * @throws {AddressError} when something listens at the path, or it isn't a socket
 */
async function evictStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket())
    throw new AddressError(`cannot listen on ${path}: the path exists and is not a socket`);
  if (readHolder(lockFile(path)) === undefined && isListenedAt(path)) throw inUse(path);
  const link = new SocketLink(path, false);
  // a refusal may also mean a full backlog; where the kernel lists listeners, the check above has covered that
  const waits = process.platform === "linux" ? [0] : [0, ...busyBackoffMs.slice(0, 3)];
  try {
    for (const wait of waits) {
      if (wait > 0) await sleep(wait);
      try {
        await dial(link, { unix: path }, new Deadline({ timeout: 1_000 }, `probe of ${path}`));
        throw inUse(path);
      } catch (error) {
        if (error instanceof AddressError) throw error;
        // any failure but a refusal or a missing file is a sign of life
        if (!isAbsent(error)) throw inUse(path);
        if (systemCode((error as Error).cause) === "ENOENT") return;
      }
    }
  } finally {
    link.abort();
  }
  removeSync(path);
}

/**
 * Whether the kernel lists a listener at the path; false where it has no list. A listed listener may still refuse,
 * while its backlog is full.
 */
function isListenedAt(path: string): boolean {
  if (process.platform !== "linux") return false;
  // "num: references protocol flags type state inode path"; the flag marks a listener, and paths may contain spaces
  const listening = /^\S+ \S+ \S+ 00010000 \S+ \S+ +\d+ (.*)$/;
  const lines = nodeFs().readFileSync("/proc/net/unix", "utf8").split("\n");
  return lines.some((line) => line.endsWith(path) && listening.exec(line)?.[1] === path);
}

class UnixListener implements Listener {
  readonly address: ParsedUnixAddress;
  readonly #path: string;
  readonly #onLink: (link: Link) => void;
  readonly #holder: LockHolder | undefined;
  #isClosed = false;
  #lock: PathLock | undefined;
  #listener: Bun.SocketListener<SocketLink> | undefined;
  /** Device and inode of the socket file. */
  #file = "";

  constructor(address: ParsedUnixAddress, onLink: (link: Link) => void, holder: LockHolder | undefined) {
    this.address = { ...address, host: "" };
    this.#path = address.path;
    this.#onLink = onLink;
    this.#holder = holder;
  }

  async open(): Promise<void> {
    const path = this.#path;
    try {
      mkdirAllSync(folderOf(path), 0o700);
    } catch (error) {
      throw new AddressError(listenFault(path, error), { cause: error });
    }
    const lock = await takeLock(path);
    try {
      // write first: a process killed before it binds leaves its lock file too
      if (this.#holder !== undefined) lock.write(formatHolder(this.#holder));
      await evictStale(path);
      this.#listener = this.#bind();
      this.#lock = lock;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  #bind(): Bun.SocketListener<SocketLink> {
    const path = this.#path;
    const onLink = this.#onLink;
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
            socket.data = link; // the `data` option would be shared by all sockets
            link.onOpen(socket, kernelPeer(socket));
            onLink(link);
          },
        },
      });
    } catch (error) {
      throw new AddressError(listenFault(path, error), { cause: error });
    }
    chmodSync(path, 0o600);
    this.#file = fileAt(path) ?? "";
    return listener;
  }

  async restore(): Promise<ListenerState> {
    if (this.#lock?.isCurrent === true && fileAt(this.#path) === this.#file) return "here";
    if (this.#isClosed || this.#listener === undefined) return "lost";
    const hadLock = this.#lock?.isCurrent === true;
    this.#stop();
    if (!hadLock) this.#release();
    try {
      if (hadLock) {
        await evictStale(this.#path);
        this.#listener = this.#bind();
      } else {
        await this.open();
      }
      if (this.#isClosed) this.close();
      return "restored";
    } catch (error) {
      log.warn?.(`cannot bind ${this.#path} again: ${asError(error).message}`);
      return "lost";
    }
  }

  close(): void {
    this.#isClosed = true;
    try {
      this.#stop();
    } catch (error) {
      // the folder may be read-only now: the next boot sweeps the file
      log.warn?.(`cannot remove ${this.#path}: ${asError(error).message}`);
    } finally {
      this.#release();
    }
  }

  #stop(): void {
    const listener = this.#listener;
    if (listener === undefined) return;
    this.#listener = undefined;
    const path = this.#path;
    const now = fileAt(path);
    const isOurs = now === this.#file;
    // stop() removes any file at the path: move a successor's socket aside meanwhile
    if (now !== undefined && !isOurs) nodeFs().renameSync(path, `${path}~`);
    listener.stop();
    if (now !== undefined && !isOurs) nodeFs().renameSync(`${path}~`, path);
    if (isOurs) removeSync(path);
  }

  #release(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

function fileAt(path: string): string | undefined {
  const found = lstatIfPresent(path);
  return found && `${found.dev}:${found.ino}`;
}

/** Whether to retry after a refusal: if the socket's owner is alive, its backlog must be full. */
function isBusy(path: string, attempt: number): boolean {
  if (!existsSync(path)) return false;
  // without a lock file the owner is unknown: try a few times, then treat it as dead
  return isLocked(lockFile(path)) || (attempt < 3 && !existsSync(lockFile(path)));
}
