/**
 * Who is registered on this host, as the kernel knows it: every registered actor has a share in the lock of a file, one
 * for each registry address. Shares end with their process, so whoever becomes the registrar can tell who will be back.
 */
import { closeSync, openSync, readSync, readlinkSync } from "node:fs";

import { logger } from "../log.ts";
import type { Address } from "../transport/address.ts";
import { SharedLock } from "../transport/flock.ts";
import { membersFile } from "./places.ts";

const log = logger("discovery");

/**
 * The kernel gives its list out in pieces of 4 KiB, and a lock that goes between two of them makes it pass over another:
 * up to one read in 50 misses a member while locks come and go, as they do in a takeover.
 */
const listReads = 3;

/**
 * How much of the list is read: some 2,500 locks. The kernel walks the whole list for each 4 KiB of it, and any user can make
 * it long: 58,000 locks took 8 s to read.
 */
const maxListBytes = 131_072;

/** Linux gives the first pid namespace this inode, and no other. */
const initialNamespace = "pid:[4026531836]";

/** Other members: none; by their pids (`areAll`: there are no others); or some, of whom the system does not tell. */
export type OtherMembers =
  | { readonly kind: "none" }
  | { readonly kind: "pids"; readonly pids: ReadonlySet<number>; readonly areAll: boolean }
  | { readonly kind: "unknown" };

/** This actor's memberships. */
export class Members {
  readonly #shares = new Map<string, SharedLock>();
  /** In files that have been removed since: others may have theirs there still. */
  readonly #former: SharedLock[] = [];

  /**
   * Becomes a member at each of the addresses, or stays one. Returns false when it was one there and its file has been
   * removed meanwhile, or it can't be one: then `others` may not tell of all.
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
        const path = membersFile(addr);
        const share = this.#shares.get(path);
        if (share?.isCurrent) continue;
        if (share !== undefined) {
          this.#former.push(share);
          isWhole = false;
        }
        this.#shares.set(path, SharedLock.join(path));
      } catch (error) {
        log.info?.(`no list of the members of ${addr}: ${String(error)}`);
        isWhole = false;
      }
    }
    return isWhole;
  }

  get #all(): SharedLock[] {
    return [...this.#shares.values(), ...this.#former];
  }

  /** Who else is a member where this actor is one. Call `join` first. */
  others(): OtherMembers {
    if (!this.#all.some(({ hasOthers }) => hasOthers)) return { kind: "none" };
    const pids = this.pids();
    return pids === undefined || pids.size === 0
      ? { kind: "unknown" }
      : { kind: "pids", pids, areAll: isInitialNamespace() };
  }

  /** The pids of the other members, as far as this process's pid namespace shows them; undefined when the kernel doesn't. */
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

  /** Is a member no more. The last to leave removes the file. */
  leave(): void {
    for (const share of this.#all) share.leave();
    this.#shares.clear();
    this.#former.length = 0;
  }
}

/** The kernel's list leaves out the locks of processes that the pid namespace doesn't show: only the first one shows all. */
function isInitialNamespace(): boolean {
  return readlinkSync("/proc/self/ns/pid") === initialNamespace;
}

/** The kernel's list of locks, or undefined when it is too long. */
function readLocks(): string | undefined {
  const list = Buffer.allocUnsafe(maxListBytes);
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

/** A line of the list: "1: FLOCK  ADVISORY  READ 18055 fe:00:2163875 0 EOF"; one that waits has "->" after the number. */
function parseLock(line: string): Lock | undefined {
  const [, kind, , , pid, file] = line.trim().split(/\s+/);
  return kind === "FLOCK" && file !== undefined ? { pid: Number(pid), file } : undefined;
}

/**
 * Adds the pids of those who have a share in the lock of one of the files. The list names the device of the file system,
 * which isn't always what `stat` says (btrfs, overlays), so it is taken from this process's own shares. Where those aren't
 * listed, in a pid namespace with another's /proc, the inode alone has to do.
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
