/** What a host has published under its lease, as the host's record sums it up: pure. */
import { entryDigest } from "./remote-entry.ts";
import type { Change, RemoteHost } from "./store.ts";

export class HostContent {
  readonly #digests = new Map<string, number>();
  #digest = 0;
  /** Whether it changed since the record was last written. */
  isDirty = false;

  /**
   * The last change of each actor, without those that would change nothing. `isWhole`: nothing is left of earlier leases of
   * this host.
   *
   * Only the last ones, because a list is repeated when it was made in part: an actor would go back to where it was before.
   */
  needed(changes: readonly Change[], isWhole: boolean): readonly Change[] {
    const last = new Map<string, Change>();
    for (const change of changes) {
      // in the place of the last one
      last.delete(change.uuid);
      last.set(change.uuid, change);
    }
    return Array.from(last.values()).filter((change) => {
      const now = this.#digests.get(change.uuid);
      if (change.type === "remove") return now !== undefined || !isWhole;
      return entryDigest(change.uuid, change.value) !== now;
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

  has(uuid: string): boolean {
    return this.#digests.has(uuid);
  }

  get summary(): NonNullable<RemoteHost["content"]> {
    return { count: this.#digests.size, digest: this.#digest >>> 0 };
  }
}
