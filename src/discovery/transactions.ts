/** Divides changes into what a store takes at once: pure. */
import { LimitError } from "../errors.ts";
import type { Change } from "./store.ts";

/** What stores take as one value, in bytes: etcd's default limit for a request is 1.5 MiB. */
export const maxValueBytes = 1_048_576;
const maxTransactionBytes = 1_048_576;
const maxTransactionChanges = 100;

/**
 * In order. Each change is of another actor: a store refuses to change a key twice in one transaction.
 *
 * @throws {LimitError} when a value is larger than a store takes
 */
export function transactionsOf(changes: readonly Change[]): Change[][] {
  const all: Change[][] = [];
  let open: Change[] = [];
  let bytes = 0;
  for (const change of changes) {
    const size = sizeOf(change);
    const isFull = open.length === maxTransactionChanges || bytes + size > maxTransactionBytes;
    if (open.length === 0 || isFull) {
      all.push((open = []));
      bytes = 0;
    }
    open.push(change);
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
