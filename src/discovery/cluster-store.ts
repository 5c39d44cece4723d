/** What `etcd(...)` returns and the option `cluster` takes: where the shared directory is. */
import type { DirectoryStore } from "./store.ts";

/** A directory that the registrars of many machines share. Nothing is connected before a registrar opens it. */
export class ClusterStore {
  /** For messages: `etcd at https://e1:2379, space "default"`. Never has a password. */
  readonly description: string;
  /** How long the entries of a host that dies stay, in milliseconds. */
  readonly ttlMs: number;
  readonly #open: () => Promise<DirectoryStore>;

  /** @internal */
  constructor(description: string, ttlMs: number, open: () => Promise<DirectoryStore>) {
    this.description = description;
    this.ttlMs = ttlMs;
    this.#open = open;
  }

  /** Opens the store of a handle: loads its module, and connects with the first request. */
  static open(cluster: ClusterStore): Promise<DirectoryStore> {
    return cluster.#open();
  }
}
