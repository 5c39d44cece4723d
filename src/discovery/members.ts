/**
 * Who is registered on this host, as the kernel knows it: every registered actor has a share in the lock of a file, one
 * for each registry address. Shares end with their process, so whoever becomes the registrar can tell who will be back.
 */
import { readFileSync } from "node:fs";

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

/** Other members: none; by their pids; or some, of whom the system does not tell. */
export type OtherMembers =
  | { readonly kind: "none" }
  | { readonly kind: "pids"; readonly pids: ReadonlySet<number> }
  | { readonly kind: "unknown" };

/** This actor's memberships. */
export class Members {
  readonly #shares = new Map<string, SharedLock>();

  /**
   * Becomes a member at each of the addresses, or stays one. Returns false when it was one there and its file has been
   * removed meanwhile, or it can't be one: then `others` can't tell.
   */
  join(addrs: readonly Address[]): boolean {
    let isWhole = true;
    for (const addr of addrs) {
      try {
        const path = membersFile(addr);
        const share = this.#shares.get(path);
        if (share?.isCurrent) continue;
        if (share !== undefined) {
          share.leave();
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

  /** Who else is a member where this actor is one. Call `join` first. */
  others(): OtherMembers {
    const shared = Array.from(this.#shares.values()).filter(({ hasOthers }) => hasOthers);
    if (shared.length === 0) return { kind: "none" };
    const pids = this.pids();
    return pids === undefined || pids.size === 0 ? { kind: "unknown" } : { kind: "pids", pids };
  }

  /** The pids of the other members, as far as this process's pid namespace shows them; undefined when the kernel doesn't. */
  pids(): Set<number> | undefined {
    const inodes = new Set(Array.from(this.#shares.values(), ({ inode }) => String(inode)));
    const pids = new Set<number>();
    try {
      for (let read = 0; read < listReads; read++) collectHolders(inodes, pids);
    } catch {
      return undefined;
    }
    pids.delete(process.pid);
    return pids;
  }

  /** Is a member no more. The last to leave removes the file. */
  leave(): void {
    for (const share of this.#shares.values()) share.leave();
    this.#shares.clear();
  }
}

/** Adds the pids of those who have a share in the lock of one of the files. */
function collectHolders(inodes: ReadonlySet<string>, pids: Set<number>): void {
  for (const line of readFileSync("/proc/locks", "utf8").split("\n")) {
    // "1: FLOCK  ADVISORY  READ 18055 fe:00:2163875 0 EOF"; one that waits has "->" after the number
    const [, kind, , , pid, file] = line.trim().split(/\s+/);
    if (kind !== "FLOCK" || !inodes.has(file?.split(":").at(-1) ?? "")) continue;
    if (Number(pid) > 0) pids.add(Number(pid));
  }
}
