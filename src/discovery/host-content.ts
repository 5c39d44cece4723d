/** What a host has published under its lease, as the host's record sums it up: pure. */
import { entryDigest } from "./remote-entry.ts";
import type { Change, RemoteHost } from "./store.ts";

export class HostContent {
  readonly #digests = new Map<string, number>();
  #digest = 0;
  /** Whether it changed since the record was last written. */
  isDirty = false;

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const { uuid } = change;
      this.#digest ^= this.#digests.get(uuid) ?? 0;
      if (change.type === "remove") this.#digests.delete(uuid);
      else {
        const digest = entryDigest(uuid, change.value);
        this.#digest ^= digest;
        this.#digests.set(uuid, digest);
      }
    }
    this.isDirty = true;
  }

  get summary(): NonNullable<RemoteHost["content"]> {
    return { count: this.#digests.size, digest: this.#digest >>> 0 };
  }
}
