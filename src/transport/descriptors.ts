/**
 * How many files this process may have open, sockets among them.
 *
 * When there are none left, Bun's event loop asks for the next connection again and again, and gets none. So it must not come to that: fewer
 * connections are let in than there are descriptors, and one that gets one of the last is closed before it is anybody's.
 */
import { readFileSync } from "node:fs";

/** As few descriptors may be left; for what the runtime itself opens for a moment. */
const spareDescriptors = 8;

let most: number | undefined;

/** The soft limit of this process as it was first asked for; Infinity where the system does not say. */
export function maxDescriptors(): number {
  return (most ??= read());
}

function read(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY; // there is no /proc, or no descriptor left to read it with
  }
}

/** Whether an accepted socket has one of the last descriptors: the system gives out the lowest that is free. */
export function isLastDescriptor(socket: object): boolean {
  const { fd } = socket as { readonly fd?: number };
  return typeof fd === "number" && fd >= maxDescriptors() - spareDescriptors;
}
