/** The arguments of this process, which it and others see. */
import { type Pointer, toArrayBuffer } from "bun:ffi";

import { readTextSync } from "../transport/files.ts";

/**
 * Prepares the replacement of the last argument, which is `before`: returns what puts another one in its place that isn't longer.
 * On Linux `ps` shows that, too.
 */
export function lastArgument(before: string): (after: string) => void {
  const lists = Array.from(new Set([process.argv, Bun.argv])).filter((list) => list.at(-1) === before);
  const memory = process.platform === "linux" ? memoryOfLastArgument(Buffer.byteLength(before)) : undefined;
  const isIt = memory?.toString() === before;
  return (after) => {
    for (const list of lists) list[list.length - 1] = after;
    if (isIt) memory.fill(0).write(after);
  };
}

/** Linux shows the arguments as they are in the process's own memory; see `arg_start` in proc_pid_stat(5). */
function memoryOfLastArgument(length: number): Buffer | undefined {
  const stat = readTextSync("/proc/self/stat");
  // the second field is a name in parentheses, with any characters
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [start = 0, end = 0] = fields.slice(45, 47).map(Number);
  // a zero byte ends it
  const from = end - length - 1;
  return start > 0 && from >= start ? Buffer.from(toArrayBuffer(from as Pointer, 0, length)) : undefined;
}
