/** Stack traces for users: with the frames of their own code, without furrow's. */

/** Enough to reach past furrow's own frames. */
const capturedFrames = 50;

/** The folder of this file or of the packaged file; "" in a bundle, where furrow's frames can't be told from others. */
const ownFolder = import.meta.path.slice(0, import.meta.path.lastIndexOf("/") + 1);

/** The frames of a stack that belong neither to furrow nor to the JavaScript runtime. */
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
 * The frames of the code that awaits the running function. When an async function resumes after an `await`, JavaScript
 * still knows the chain of async functions that await it; for any other continuation it knows nothing. So call this in
 * the `catch` of an async function, where only failures pay for it.
 */
export function callerFrames(): string[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = capturedFrames;
  const here: { stack?: string } = {};
  Error.captureStackTrace(here);
  Error.stackTraceLimit = limit;
  return userFrames(here.stack);
}

/** Makes an error without frames: printed with them, it would quote the line of furrow that made it. */
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

/** Replaces the frames of an error. */
export function setStack(error: Error, frames: readonly string[]): void {
  Object.defineProperty(error, "stack", {
    value: [`${error.name}: ${error.message}`, ...frames].join("\n"),
    configurable: true,
    writable: true,
  });
}

/** The errors that already have their caller's frames. */
const placed = new WeakSet<Error>();

/** Appends the caller's frames to those of an error from another actor, once; returns the error. */
export function placeAtCaller(error: Error): Error {
  if (placed.has(error)) return error;
  const frames = callerFrames();
  if (frames.length === 0) return error;
  placed.add(error);
  setStack(error, [...framesIn(error.stack), ...frames]);
  return error;
}

/** How many nested causes, and members of an aggregate, are printed. */
const maxPrinted = 10;

/**
 * The printed form of an error from another actor: its stack, then its nested errors, then, if the caller's frames are
 * unknown, those of the code that prints it.
 */
export function printedStack(error: Error): string {
  const lines = [error.stack ?? `${error.name}: ${error.message}`];
  // the cause is the original error: its message and frames are already printed
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

/** The error's own enumerable fields, other than its name. */
function fieldsOf(error: Error): string[] {
  const fields = Object.fromEntries(Object.entries(error));
  delete fields["name"];
  return Object.keys(fields).length === 0 ? [] : [`  ${Bun.inspect(fields, { depth: 2 })}`];
}
