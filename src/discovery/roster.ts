/**
 * Lists the processes registered on this host, as the kernel knows them. Every registered actor holds a share of a file
 * lock, one for each registry address. Shares end with their process, so a new registrar can tell which actors will be
 * back.
 */
import { logger } from "../log.ts";
import type { Address } from "../transport/address.ts";
import { nodeFs, readlinkSync } from "../transport/files.ts";
import { SharedLock } from "../transport/flock.ts";
import { rosterFile } from "./registry-files.ts";

const log = logger("discovery");

/**
 * The kernel returns its list in pieces of 4 KiB, and skips a lock when another one goes between two pieces. Up to one
 * read in 50 misses a member while locks come and go, as they do in a takeover.
 */
const listReads = 3;

/**
 * How much of the list is read: some 2,500 locks. The kernel walks the whole list for each 4 KiB of it, and any user can
 * make it long: 58,000 locks took 8 s to read.
 */
const maxListBytes = 131_072;

/** Linux gives the first pid namespace this inode, and no other. */
const initialNamespace = "pid:[4026531836]";

/** The other members: none, known by pid (`areAll`: there are no more), or unknown because the system doesn't list them. */
export type OtherMembers =
  | { readonly kind: "none" }
  | { readonly kind: "pids"; readonly pids: ReadonlySet<number>; readonly areAll: boolean }
  | { readonly kind: "unknown" };

/** Whether live actors of this host are on the roster of a registry address. */
export function hasMembers(addr: Address): boolean {
  try {
    return SharedLock.isShared(rosterFile(addr));
  } catch {
    return false; // no directory to keep it in
  }
}

/** This actor's place on the rosters of its registry addresses. */
export class Roster {
  readonly #shares = new Map<string, SharedLock>();
  /** Shares of files that have been removed since: other members may still hold theirs there. */
  readonly #former: SharedLock[] = [];

  /**
   * Joins the roster of each address, or stays on it. Returns false when a roster can't be joined, or its file was removed
   * since this actor joined it: then `others` may not know everyone.
   */
  join(addrs: readonly Address[]): boolean {
    let isWhole = true;
    for (const share of this.#former.splice(0)) {
      if (share.hasOthers) this.#former.push(share);
      else share.leave();
    }
    if (this.#former.length > 0) isWhole = false;
    for (const addr of addrs) {
      try {
        const path = rosterFile(addr);
        const share = this.#shares.get(path);
        if (share?.isCurrent) continue;
        if (share !== undefined) {
          this.#former.push(share);
          isWhole = false;
        }
        this.#shares.set(path, SharedLock.join(path));
      } catch (error) {
        log.info?.(`no roster for ${addr}: ${String(error)}`);
        isWhole = false;
      }
    }
    return isWhole;
  }

  get #all(): SharedLock[] {
    return [...this.#shares.values(), ...this.#former];
  }

  /** The other processes on these rosters. Call `join` first. */
  others(): OtherMembers {
    if (!this.#all.some(({ hasOthers }) => hasOthers)) return { kind: "none" };
    const pids = this.pids();
    return pids === undefined || pids.size === 0
      ? { kind: "unknown" }
      : { kind: "pids", pids, areAll: isInitialNamespace() };
  }

  /** The pids of the others, as far as this process's pid namespace shows them; undefined when the list can't be read. */
  pids(): Set<number> | undefined {
    const inodes = new Set(this.#all.map(({ inode }) => String(inode)));
    const pids = new Set<number>();
    try {
      for (let read = 0; read < listReads; read++) {
        const list = readLocks();
        if (list === undefined) return undefined;
        collectHolders(list, inodes, pids);
      }
    } catch {
      return undefined;
    }
    pids.delete(process.pid);
    return pids;
  }

  /** Leaves every roster. The last to leave removes the file. */
  leave(): void {
    for (const share of this.#all) share.leave();
    this.#shares.clear();
    this.#former.length = 0;
  }
}

/** The kernel's list omits the locks of processes outside the pid namespace; only the first namespace shows all. */
function isInitialNamespace(): boolean {
  return readlinkSync("/proc/self/ns/pid") === initialNamespace;
}

/** The kernel's list of locks, or undefined when it is too long. */
function readLocks(): string | undefined {
  const list = Buffer.allocUnsafe(maxListBytes);
  const { closeSync, openSync, readSync } = nodeFs();
  const fd = openSync("/proc/locks", "r");
  try {
    let length = 0;
    for (;;) {
      const read = readSync(fd, list, length, maxListBytes - length, null);
      if (read === 0) return list.toString("latin1", 0, length);
      length += read;
      if (length === maxListBytes) return undefined;
    }
  } finally {
    closeSync(fd);
  }
}

interface Lock {
  readonly pid: number;
  /** "fe:00:2163875": device and inode. */
  readonly file: string;
}

/** Reads a line: "1: FLOCK  ADVISORY  READ 18055 fe:00:2163875 0 EOF"; a waiting one has "->" after the number. */
function parseLock(line: string): Lock | undefined {
  const [, kind, , , pid, file] = line.trim().split(/\s+/);
  return kind === "FLOCK" && file !== undefined ? { pid: Number(pid), file } : undefined;
}

/**
 * Adds the pids of all processes that hold a share of one of the files' locks. The list names the device of the file
 * system, which isn't always what `stat` reports (btrfs, overlays), so this process's own shares show which it is. Where
 * those aren't listed, in a pid namespace with another's /proc, the inode alone has to do.
 */
function collectHolders(list: string, inodes: ReadonlySet<string>, pids: Set<number>): void {
  const found: Lock[] = [];
  for (const line of list.split("\n")) {
    const lock = parseLock(line);
    if (lock !== undefined && inodes.has(lock.file.slice(lock.file.lastIndexOf(":") + 1))) found.push(lock);
  }
  const own = new Set(found.filter(({ pid }) => pid === process.pid).map(({ file }) => file));
  for (const { pid, file } of found) if (pid > 0 && (own.size === 0 || own.has(file))) pids.add(pid);
}
