/**
 * The limit on this process's open files, sockets included.
 *
 * Once no descriptor is left, Bun's event loop spins: it retries the next accept over and over. To prevent that,
 * fewer connections are accepted than there are descriptors, and a socket that gets one of the last descriptors is
 * closed at once.
 */
import { readTextSync } from "./files.ts";

/** Descriptors kept free for files that the runtime opens briefly. */
const spareDescriptors = 8;

let most: number | undefined;

/** The soft limit of this process, read on first use; Infinity if the system doesn't report one. */
export function maxDescriptors(): number {
  return (most ??= read());
}

function read(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readTextSync("/proc/self/limits"))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY; // there is no /proc, or no descriptor left to read it with
  }
}

/** Whether an accepted socket got one of the last descriptors: the system always assigns the lowest free one. */
export function isLastDescriptor(socket: object): boolean {
  const { fd } = socket as { readonly fd?: number };
  return typeof fd === "number" && fd >= maxDescriptors() - spareDescriptors;
}
