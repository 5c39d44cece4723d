/** Divides changes into what a store takes at once: pure. */
import { LimitError } from "../errors.ts";
import type { Change } from "./store.ts";

/** What stores take as one value, in bytes: etcd's default limit for a request is 1.5 MiB. */
export const maxValueBytes = 1_048_576;
const maxTransactionBytes = 1_048_576;
const maxTransactionChanges = 100;

/**
 * In order. An actor that changes twice is in two transactions, because a store refuses to change a key twice in one.
 *
 * @throws {LimitError} when a value is larger than a store takes
 */
export function transactionsOf(changes: readonly Change[]): Change[][] {
  const all: Change[][] = [];
  let open: Change[] = [];
  let uuids = new Set<string>();
  let bytes = 0;
  for (const change of changes) {
    const size = sizeOf(change);
    const isFull = open.length === maxTransactionChanges || bytes + size > maxTransactionBytes;
    if (open.length === 0 || isFull || uuids.has(change.uuid)) {
      all.push((open = []));
      uuids = new Set();
      bytes = 0;
    }
    open.push(change);
    uuids.add(change.uuid);
    bytes += size;
  }
  return all;
}

function sizeOf(change: Change): number {
  if (change.type === "remove") return 0;
  const { length } = change.value;
  if (length > maxValueBytes)
    throw new LimitError(
      `the entry of ${change.uuid} takes ${length} B: a directory takes at most ${maxValueBytes}`,
    );
  return length;
}
