/**
 * Whether unix sockets work here. On macOS a listener of Bun's may accept and never hear a byte (oven-sh/bun #41381), so
 * a boot tries one there before it relies on them.
 */
import { rmSync } from "node:fs";

import { asError, TimeoutError } from "../errors.ts";

/** A byte there and back takes a fraction of a millisecond. */
const answerMs = 500;

/**
 * Listens at `path`, connects to it and waits for a byte to come back; removes the file again. Returns why unix sockets
 * can't be used, or undefined when they can.
 */
export async function unixSocketFault(
  path: string,
  timeoutMs: number = answerMs,
): Promise<Error | undefined> {
  rmSync(path, { force: true });
  let listener: Bun.UnixSocketListener<undefined> | undefined;
  try {
    listener = Bun.listen({ unix: path, socket: { data: (socket, chunk) => void socket.write(chunk) } });
    await echo(path, timeoutMs);
    return undefined;
  } catch (error) {
    return asError(error);
  } finally {
    listener?.stop(true);
    rmSync(path, { force: true });
  }
}

/** @throws {TimeoutError} with stage "dial" when no byte comes back from whoever listens at `path` */
export async function echo(path: string, timeoutMs: number): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    const text = `unix socket ${path}: connected, and no byte came back within ${timeoutMs} ms`;
    answered.reject(new TimeoutError("dial", text));
  }, timeoutMs);
  const connecting = Bun.connect({
    unix: path,
    socket: {
      open: (socket) => void socket.write("?"),
      data: () => answered.resolve(),
      connectError: () => {}, // the promise rejects with the same error
    },
  });
  try {
    await Promise.race([answered.promise, connecting.then(() => answered.promise)]);
  } finally {
    clearTimeout(timer);
    answered.promise.catch(() => {}); // given up above
    connecting.then(
      (socket) => socket.terminate(),
      () => {}, // told above
    );
  }
}
