/** What a host has published under its lease, as the host's record sums it up: pure. */
import { entryDigest } from "./remote-entry.ts";
import type { Change, RemoteHost } from "./store.ts";

export class HostContent {
  readonly #digests = new Map<string, number>();
  #digest = 0;
  /** Whether it changed since the record was last written. */
  isDirty = false;

  /**
   * Without those changes that would change nothing. `isWhole`: nothing is left of earlier leases of this host.
   */
  needed(changes: readonly Change[], isWhole: boolean): readonly Change[] {
    const own = new Set<string>();
    return changes.filter((change) => {
      const { uuid } = change;
      // what an earlier change of the list does isn't known yet
      if (own.has(uuid)) return true;
      const now = this.#digests.get(uuid);
      const isNeeded =
        change.type === "put" ? entryDigest(uuid, change.value) !== now : now !== undefined || !isWhole;
      if (isNeeded) own.add(uuid);
      return isNeeded;
    });
  }

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
