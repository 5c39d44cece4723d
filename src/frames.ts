/** Stacks as the user needs them: with the frames of his own code, and without furrow's. */

/** Enough to get past furrow's own frames. */
const capturedFrames = 50;

/** The folder of this file, or of the package's one file; "" in a bundle, where nothing tells furrow's frames apart. */
const ownFolder = import.meta.path.replace(/[^\\/]*$/, "");

/** The frames of a stack that are neither furrow's nor the runtime's. */
export function userFrames(stack: string | undefined): string[] {
  return framesIn(stack).filter((line) => !isOwn(line));
}

/** The frames of a stack. */
export function framesIn(stack: string | undefined): string[] {
  return (stack ?? "").split("\n").filter((line) => /^\s*at /.test(line));
}

function isOwn(line: string): boolean {
  return (
    (ownFolder !== "" && line.includes(ownFolder)) || /\((?:node:|bun:|internal:|native|unknown)/.test(line)
  );
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

/** The errors that have their caller's frames. */
const placed = new WeakSet<Error>();

/** Puts the caller's frames behind those that an error from another actor has, once; returns the error. */
export function placeAtCaller(error: Error): Error {
  if (placed.has(error)) return error;
  const frames = callerFrames();
  if (frames.length === 0) return error;
  placed.add(error);
  setStack(error, [...framesIn(error.stack), ...frames]);
  return error;
}

/** How many causes, and members of an aggregate, are printed. */
const maxPrinted = 10;

/**
 * An error from another actor as it is printed: its stack, then what is behind it, then the frames of the code that prints
 * it where nothing is known of the caller.
 */
export function printedStack(error: Error): string {
  const lines = [error.stack ?? `${error.name}: ${error.message}`];
  // the cause is what arose there: its message and frames are those of the error
  if (error.cause instanceof Error) {
    lines.push(...fieldsOf(error.cause), ...behind(error.cause, maxPrinted));
  }
  if (!placed.has(error)) {
    const frames = callerFrames();
    if (frames.length > 0) lines.push("  printed at:", ...frames);
  }
  return lines.join("\n");
}

/** The members and causes of an error, each with its frames. */
function behind(error: Error, left: number): string[] {
  if (left === 0) return [];
  const members = error instanceof AggregateError && Array.isArray(error.errors) ? error.errors : [];
  const both = error instanceof SuppressedError ? [error.error, error.suppressed] : members;
  const lines = both.slice(0, maxPrinted).flatMap((one: unknown) => told("error", one, 1));
  return error.cause === undefined ? lines : [...lines, ...told("cause", error.cause, left)];
}

function told(role: string, thrown: unknown, left: number): string[] {
  if (!(thrown instanceof Error)) return [`  [${role}] ${Bun.inspect(thrown, { depth: 1 })}`];
  const frames = framesIn(thrown.stack).map((line) => `  ${line}`);
  const text = `  [${role}] ${thrown.name}: ${thrown.message}`;
  return [text, ...frames, ...fieldsOf(thrown), ...behind(thrown, left - 1)];
}

/** Its own fields, beside those that every error of the kind has. */
function fieldsOf(error: Error): string[] {
  const fields = Object.fromEntries(Object.entries(error));
  delete fields["name"];
  return Object.keys(fields).length === 0 ? [] : [`  ${Bun.inspect(fields, { depth: 2 })}`];
}
