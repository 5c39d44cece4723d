/**
 * Tests whether unix sockets work. On macOS a Bun listener may accept a connection and never receive a byte
 * (oven-sh/bun #41381), so an actor tries one there at boot before it relies on them.
 */
import { asError, TimeoutError } from "../errors.ts";
import { removeSync } from "./files.ts";

/** Ample: a byte's round trip takes a fraction of a millisecond. */
const answerMs = 500;

/**
 * Listens at `path`, connects to it, waits for a byte to come back, and removes the file again. Returns why unix
 * sockets can't be used, or undefined when they work.
 */
export async function unixSocketFault(
  path: string,
  timeoutMs: number = answerMs,
): Promise<Error | undefined> {
  removeSync(path);
  let listener: Bun.UnixSocketListener<undefined> | undefined;
  try {
    listener = Bun.listen({ unix: path, socket: { data: (socket, chunk) => void socket.write(chunk) } });
    await echo(path, timeoutMs);
    return undefined;
  } catch (error) {
    return asError(error);
  } finally {
    listener?.stop(true);
    removeSync(path);
  }
}

/** @throws {TimeoutError} with stage "dial" when the listener at `path` sends no byte back within `timeoutMs` */
export async function echo(path: string, timeoutMs: number): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    const text = `unix socket ${path}: connected, but no byte came back within ${timeoutMs} ms`;
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
      () => {}, // reported above
    );
  }
}
