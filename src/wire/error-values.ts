/**
 * Errors as values: `[name, message, stack, cause, members, fields]`, and back.
 *
 * Encoding never fails: what cannot cross is described in words. Decoding constructs built-in classes, furrow's own
 * and those that the program registered; every other name becomes a plain `Error` that carries it.
 */
import * as errors from "../errors.ts";
import { isPlain } from "./plain.ts";

/** How many causes and members deep an error is carried. */
const maxErrorDepth = 16;
const maxMembers = 100;
const maxStackChars = 16_384;

type ErrorClass = abstract new (...args: never[]) => Error;

const builtIn: readonly ErrorClass[] = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
  SuppressedError,
];
const classes = new Map<string, ErrorClass>(builtIn.map((known) => [known.name, known]));
for (const known of Object.values(errors)) {
  if (typeof known === "function" && known.prototype instanceof errors.FurrowError) {
    classes.set(known.name, known as unknown as ErrorClass);
  }
}

/**
 * Lets errors of `cls` be rebuilt as instances of it when they arrive from another actor, found by its `name`. The
 * constructor is not called: message, stack, cause and the own fields that can cross are put on an instance.
 *
 * @throws {TypeError} when `cls` is no subclass of Error, or its name is taken by another class
 */
export function registerError(cls: ErrorClass): void {
  if (typeof cls !== "function" || !(cls.prototype instanceof Error)) {
    throw new TypeError("registerError takes a class that extends Error");
  }
  const taken = classes.get(cls.name);
  if (cls.name === "" || (taken !== undefined && taken !== cls)) {
    throw new TypeError(
      `an error class named "${cls.name}" cannot be registered: the name is ${cls.name === "" ? "empty" : "taken"}`,
    );
  }
  classes.set(cls.name, cls);
}

/** The wire form of any thrown value. Total: it never throws. */
export function encodeError(thrown: unknown, depth = 0): unknown[] {
  if (!(thrown instanceof Error))
    return ["Error", describe(thrown), "", isPlain(thrown) ? [thrown] : null, null, null];
  try {
    const deeper = depth < maxErrorDepth;
    const cause: unknown = thrown.cause;
    const carried =
      cause instanceof Error
        ? deeper
          ? encodeError(cause, depth + 1)
          : null
        : isPlain(cause) && cause !== undefined
          ? [cause]
          : null;
    const members =
      deeper &&
      membersOf(thrown)
        ?.slice(0, maxMembers)
        .map((member) => encodeError(member, depth + 1));
    return [
      nameOf(thrown),
      String(thrown.message),
      String(thrown.stack ?? "").slice(0, maxStackChars),
      carried,
      members || null,
      fieldsOf(thrown),
    ];
  } catch (fault) {
    // a getter of a hostile or broken error class threw
    return ["Error", `an error that cannot be read: ${describe(fault)}`, "", null, null, null];
  }
}

/** The error that `encodeError` described; a plain `Error` when the form is malformed. */
export function decodeError(form: unknown): Error {
  if (!Array.isArray(form)) return new Error(`malformed error from a peer: ${describe(form)}`);
  const [name, message, stack, cause, members, fields] = form as unknown[];
  const className = typeof name === "string" ? name : "Error";
  const known = classes.get(className);
  const error = Object.create((known ?? Error).prototype as object) as Error;
  // a native error has the stack machinery that Object.create alone lacks: take a real one where nothing is special
  const made = known === undefined || builtIn.includes(known) ? nativeError(known) : error;
  hidden(made, "message", String(message));
  if (made.name !== className) hidden(made, "name", className);
  hidden(
    made,
    "stack",
    typeof stack === "string" && stack !== "" ? stack : `${className}: ${String(message)}`,
  );
  if (Array.isArray(cause))
    hidden(made, "cause", isErrorForm(cause) ? decodeError(cause) : (cause as unknown[])[0]);
  if (Array.isArray(members)) putMembers(made, members.map(decodeError));
  if (typeof fields === "object" && fields !== null) {
    for (const [field, value] of Object.entries(fields)) {
      if (!reserved.has(field))
        Object.defineProperty(made, field, { value, enumerable: true, configurable: true, writable: true });
    }
  }
  return made;
}

const reserved: ReadonlySet<string> = new Set([
  "message",
  "stack",
  "cause",
  "errors",
  "__proto__",
  "constructor",
]);

function nativeError(known: ErrorClass | undefined): Error {
  if (known === AggregateError) return new AggregateError([]);
  if (known === SuppressedError) return new SuppressedError(undefined, undefined);
  return new ((known ?? Error) as new () => Error)();
}

/** What `membersOf` took, put back. */
function putMembers(error: Error, members: Error[]): void {
  if (!(error instanceof SuppressedError)) {
    hidden(error, "errors", members);
    return;
  }
  hidden(error, "error", members[0]);
  hidden(error, "suppressed", members[1]);
}

function hidden(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, enumerable: false, configurable: true, writable: true });
}

function isErrorForm(form: unknown[]): boolean {
  return form.length === 6 && typeof form[0] === "string";
}

function nameOf(error: Error): string {
  const made: unknown = error.constructor?.name;
  // a registered class is found by its class name, whatever its `name` property says
  if (typeof made === "string" && classes.get(made) === error.constructor) return made;
  return typeof error.name === "string" && error.name !== "" ? error.name : "Error";
}

function membersOf(error: Error): unknown[] | undefined {
  if (error instanceof AggregateError) return error.errors;
  if (error instanceof SuppressedError) return [error.error, error.suppressed];
  return undefined;
}

function fieldsOf(error: Error): Record<string, unknown> | null {
  const fields: Record<string, unknown> = {};
  let some = false;
  for (const key of Object.keys(error)) {
    const value: unknown = (error as unknown as Record<string, unknown>)[key];
    if (reserved.has(key) || key === "name" || !isPlain(value) || value === undefined) continue;
    fields[key] = value;
    some = true;
  }
  return some ? fields : null;
}

function describe(thrown: unknown): string {
  try {
    return typeof thrown === "string" ? thrown : Bun.inspect(thrown, { depth: 2 }).slice(0, 1_000);
  } catch {
    return `a ${typeof thrown} that cannot be shown`;
  }
}
