/** Stacks as the user needs them: with the frames of his own code, and without furrow's. */

/** Enough to get past furrow's own frames. */
const capturedFrames = 50;

/** The folder of this file, or of the package's one file; "" in a bundle, where nothing tells furrow's frames apart. */
const ownFolder = import.meta.path.replace(/[^\\/]*$/, "");

/** The frames of a stack that are neither furrow's nor the runtime's. */
export function userFrames(stack: string | undefined): string[] {
  return (stack ?? "").split("\n").filter((line) => /^\s*at /.test(line) && !isOwn(line));
}

function isOwn(line: string): boolean {
  return (ownFolder !== "" && line.includes(ownFolder)) || /\((?:node|bun|internal):|\bnative\b/.test(line);
}

/**
 * The frames of the code that waits for the running one. Of an async function that goes on after an `await`, JavaScript
 * knows the async functions that wait for it, and so on up; of any other continuation, nothing. So this costs only those who
 * fail: ask in the `catch` of an async function.
 */
export function callerFrames(): string[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = capturedFrames;
  const here: { stack?: string } = {};
  Error.captureStackTrace(here);
  Error.stackTraceLimit = limit;
  return userFrames(here.stack);
}

/** Makes an error without frames of its own: printed, it would quote the line of furrow that made it. */
export function withoutFrames<E extends Error>(make: () => E): E {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    const error = make();
    setStack(error, []);
    return error;
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** Gives an error its frames. */
export function setStack(error: Error, frames: readonly string[]): void {
  Object.defineProperty(error, "stack", {
    value: [`${error.name}: ${error.message}`, ...frames].join("\n"),
    configurable: true,
    writable: true,
  });
}
