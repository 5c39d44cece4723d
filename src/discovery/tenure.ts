/**
 * A registrar's time in office: its hold on the registry addresses. A lock decides the election: that of the socket, or
 * for a port of this host that of the socket that goes with it. Its holder binds at once, since the lock proves that the
 * previous owner is dead.
 */
import type { Runtime } from "../actor/runtime.ts";
import { AddressError, asError, systemCode } from "../errors.ts";
import { logger } from "../log.ts";
import { type Address, parseAddress } from "../transport/address.ts";
import { lockPath, type PathLock } from "../transport/flock.ts";
import { formatHolder, readHolder } from "../transport/socket-lock.ts";
import { describeHolder, lockOf } from "./probe.ts";

const log = logger("discovery");

/** How often a registrar checks that its sockets still exist. */
const watchMs = 500;

export class Tenure {
  readonly #runtime: Runtime;
  readonly #addrs: readonly Address[];
  /** The locks of ports for which this registrar has no socket, by path. */
  readonly #locks = new Map<string, PathLock>();
  readonly #bound: Address[] = [];
  #timer: Timer | undefined;
  #isOver = false;
  #isLooking = false;
  #hasWarned = false;

  private constructor(runtime: Runtime, addrs: readonly Address[]) {
    this.#runtime = runtime;
    this.#addrs = addrs;
  }

  /**
   * Binds the registry addresses, then `others`. Undefined, with nothing bound and no lock held, when another process
   * holds one of the registry addresses.
   *
   * @throws {AddressError} when an address can't be bound at all; nothing stays bound
   */
  static async begin(
    runtime: Runtime,
    addrs: readonly Address[],
    others: readonly Address[] = [],
  ): Promise<Tenure | undefined> {
    const tenure = new Tenure(runtime, addrs);
    try {
      if (!(await tenure.#bind())) {
        tenure.end();
        return undefined;
      }
      for (const addr of others) if (!addrs.includes(addr)) await tenure.#listen(addr, [addr]);
      return tenure;
    } catch (error) {
      tenure.end();
      throw error;
    }
  }

  /** Sockets first, so that all candidates take the locks in one order. False when a lock is held or an address in use. */
  async #bind(): Promise<boolean> {
    const isUnix = (addr: Address): boolean => parseAddress(addr).transport === "unix";
    const sockets = this.#addrs.filter(isUnix).toSorted();
    const ports = this.#addrs.filter((addr) => !isUnix(addr)).toSorted();
    const covered = new Set(sockets.map(lockOf));
    for (const addr of [...sockets, ...ports]) {
      const file = lockOf(addr);
      if (file !== undefined && !covered.has(file) && !this.#lock(file)) return false;
      try {
        await this.#listen(addr, this.#addrs);
      } catch (error) {
        if (error instanceof AddressError && systemCode(error.cause) === "EADDRINUSE") return false;
        throw error;
      }
    }
    return true;
  }

  async #listen(addr: Address, served: readonly Address[]): Promise<void> {
    await this.#runtime.listeners.bind(addr, served);
    this.#bound.push(addr);
  }

  #lock(file: string): boolean {
    if (this.#locks.has(file)) return true;
    let lock: PathLock | undefined;
    try {
      lock = lockPath(file);
    } catch (error) {
      // the port itself still admits one owner only
      log.warn?.(`no lock at ${file}: ${asError(error).message}`);
      return true;
    }
    if (lock === undefined) return false;
    lock.write(formatHolder(this.#runtime.listeners.holderOf(this.#addrs)));
    this.#locks.set(file, lock);
    return true;
  }

  /**
   * Watches over the sockets from now on, and binds again any that is removed. Calls `onLost` once, when another process
   * has already bound a removed one.
   */
  watch(onLost: (addr: Address) => void): void {
    this.#timer = setInterval(() => {
      if (this.#isLooking) return;
      this.#isLooking = true;
      void this.#look(onLost)
        .catch((error: unknown) =>
          log.warn?.(`cannot watch over the registry's sockets: ${asError(error).message}`),
        )
        .finally(() => (this.#isLooking = false));
    }, watchMs);
    this.#timer.unref();
  }

  async #look(onLost: (addr: Address) => void): Promise<void> {
    for (const addr of this.#runtime.listeners.asked) {
      const state = await this.#runtime.listeners.restore(addr);
      if (this.#isOver) return;
      if (state === "restored") log.warn?.(`${addr} was removed: bound it again`);
      if (state === "lost" && this.#addrs.includes(addr)) {
        clearInterval(this.#timer);
        return onLost(addr);
      }
    }
    for (const [file, lock] of this.#locks) if (!lock.isCurrent) this.#relock(file, lock);
  }

  /** Takes a port's lock again. The port itself is still held, so if another registrar has the lock both go on, warned. */
  #relock(file: string, former: PathLock): void {
    this.#locks.delete(file);
    if (this.#lock(file)) {
      former.release();
      return;
    }
    this.#locks.set(file, former);
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const other = readHolder(file);
    const who =
      other === undefined ? "another process" : `${describeHolder(other)} at ${other.addrs.join(", ")}`;
    log.warn?.(
      `${file} was removed, and ${who} is a second registrar: enable its transports in both programs`,
    );
  }

  /** Releases all addresses and locks. */
  end(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#runtime.listeners.close(this.#bound.splice(0));
    for (const lock of this.#locks.values()) lock.release();
    this.#locks.clear();
  }

  /** Releases the locks without a listener; each of the others goes with its listener. */
  release(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    for (const lock of this.#locks.values()) lock.release();
    this.#locks.clear();
  }
}
