/** Removes the socket files of killed actors: a process that is killed can't, so the registrar that had its lease does. */
import type { Runtime } from "../actor/runtime.ts";
import { asError } from "../errors.ts";
import { logger } from "../log.ts";
import { parseAddress } from "../transport/address.ts";
import { removeDyingSocket } from "../transport/dead-sockets.ts";
import { folderOf } from "../transport/paths.ts";
import { socketDirs } from "./registry-files.ts";
import type { StoredRegistration } from "./stored-registration.ts";

const log = logger("discovery");

export class SocketSweeper {
  readonly #runtime: Runtime;
  /** By path: removed as soon as the process lets go of them. */
  readonly #dying = new Map<string, Promise<unknown>>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /**
   * Removes the socket files of an actor whose connection has ended, once its process is gone. The paths are the peer's
   * own claim, so only a socket in a directory of this registry is removed, and only when its lock proves its owner dead.
   */
  sweep({ host, addrs }: StoredRegistration): void {
    if (host !== this.#runtime.id.host) return;
    for (const addr of addrs) {
      const parsed = parseAddress(addr);
      if (parsed.transport === "unix") this.#sweep(parsed.path);
    }
  }

  #sweep(path: string): void {
    if (this.#dying.has(path)) return;
    const remove = async (): Promise<void> => {
      if (socketDirs(this.#runtime.registryAddrs).has(folderOf(path))) await removeDyingSocket(path);
    };
    const sweeping = remove()
      .catch((error: unknown) => log.warn?.(`cannot remove ${path}: ${asError(error).message}`))
      .finally(() => this.#dying.delete(path));
    this.#dying.set(path, sweeping);
  }

  /** Resolves when the files of killed actors have been removed; within a second. */
  async swept(): Promise<void> {
    await Promise.all(this.#dying.values());
  }
}
