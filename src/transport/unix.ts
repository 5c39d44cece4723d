/**
 * Unix sockets. Each is served under a lock that its process holds for as long (`socket-lock.ts`): of several that want
 * a path one gets it, and what a dead process left there is replaced without a race.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, renameSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";

import { Deadline, sleep } from "../deadline.ts";
import { AddressError, asError, systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { formatAddress, type ParsedUnixAddress } from "./address.ts";
import { dial, isAbsent, listenFault } from "./dial.ts";
import { isLastDescriptor } from "./descriptors.ts";
import { isLocked, lockPath, type PathLock } from "./flock.ts";
import { maxSocketPathBytes } from "./runtime-dir.ts";
import { formatHolder, lockFile, type LockHolder, readHolder } from "./socket-lock.ts";
import { kernelPeer, SocketLink, socketHandlers } from "./socket.ts";
import type { Link, Listener, ListenerState, TransportDriver } from "./transport.ts";

const log = logger("transport");

/** Waits between attempts at a socket whose owner lives but refuses: its backlog is full. Then the deadline decides. */
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

/** How often to try a lock: a sweep, too, holds it for a moment. */
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
 * Under the lock, so that the owner of what is at the path is dead, or has no lock: a plain socket that is not furrow's.
 * That one is looked for among the kernel's listeners, and by a dial: it may be in a network namespace of its own. Where
 * the lock's file names a dead owner, the kernel's list is not asked: any user can have a listener in it that looks as
 * if it were at this path, from another mount namespace.
 */
async function evictStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket())
    throw new AddressError(`cannot listen on ${path}: the path exists and is not a socket`);
  if (readHolder(lockFile(path)) === undefined && isListenedAt(path)) throw inUse(path);
  const link = new SocketLink(path, false);
  // refused may also mean a full backlog; where the kernel lists its listeners, that was seen above
  const waits = process.platform === "linux" ? [0] : [0, ...busyBackoffMs.slice(0, 3)];
  try {
    for (const wait of waits) {
      if (wait > 0) await sleep(wait);
      try {
        await dial(link, { unix: path }, new Deadline({ timeout: 1_000 }, `probe of ${path}`));
        throw inUse(path);
      } catch (error) {
        if (error instanceof AddressError) throw error;
        // anything but refused is a sign of life
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
  // "num: references protocol flags type state inode path"; the flag says that it listens, and a path may have spaces
  const listening = /^\S+ \S+ \S+ 00010000 \S+ \S+ +\d+ (.*)$/;
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
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
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new AddressError(listenFault(path, error), { cause: error });
    }
    const lock = await takeLock(path);
    try {
      // at once: a process that is killed before it has bound leaves the lock's file too
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
            socket.data = link; // the option of that name would be shared by all sockets
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
      // a folder that was made read-only, say: the next boot sweeps
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
    // stop() removes whatever is at the path: a successor's socket steps aside for that moment
    if (now !== undefined && !isOurs) renameSync(path, `${path}~`);
    listener.stop();
    if (now !== undefined && !isOurs) renameSync(`${path}~`, path);
    if (isOurs) rmSync(path, { force: true });
  }

  #release(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

function fileAt(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

/** Whether a refusal is worth another attempt: the owner of the socket lives, so its backlog must be full. */
function isBusy(path: string, attempt: number): boolean {
  if (!existsSync(path)) return false;
  // a socket without a lock says nothing of its owner: a few attempts, then it counts as dead
  return isLocked(lockFile(path)) || (attempt < 3 && !existsSync(lockFile(path)));
}
