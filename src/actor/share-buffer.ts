/** Makes shared buffers. */
import type { SharedBuffer } from "../wire/shared-buffer.ts";
import { currentRuntime } from "./current.ts";

/**
 * Makes memory of so many bytes, zeros at first, that crosses to actors of this machine by reference: what one side writes,
 * the other reads in place. Send it as any value, or in one: see `SharedBuffer`.
 *
 * The memory is freed when the buffer is disposed, or collected, and no actor holds it or a view of it any more. On systems
 * other than Linux, and over TCP, its bytes are copied.
 *
 * @throws {RangeError} when `bytes` isn't an integer from 1
 * @throws {LimitError} when the buffers of this process would exceed `maxSharedBytes`, or the system has no more memory
 * @throws {NoRuntimeError} when this process has no actor
 */
export function shareBuffer(bytes: number): SharedBuffer {
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new RangeError(`a shared buffer needs an integer of bytes from 1, got ${String(bytes)}`);
  }
  const { limits } = currentRuntime();
  // most programs never make one
  const { createSharedBuffer } =
    require("../channel/own-memory.ts") as typeof import("../channel/own-memory.ts");
  return createSharedBuffer(bytes, limits.maxSharedBytes);
}
