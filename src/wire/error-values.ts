/**
 * Errors as values: `[class, message, stack, cause, members, fields, name?, buffers?]`, and back. `name` is given when it
 * isn't the class's, and `buffers` lists the fields that are Buffers, if any are.
 *
 * Encoding never fails: anything that cannot cross is described in words. Decoding makes instances of built-in classes, of
 * furrow's own and of those that the program registered; an error of any other class becomes a plain `Error` of that name.
 */
import * as errors from "../errors.ts";
import { withoutFrames } from "../frames.ts";
import { readActorId } from "../identity.ts";
import { setOwn } from "./decode.ts";
import { isBuffer, isPlain } from "./plain.ts";

/** How deep causes and members may be nested in an error, */
const maxErrorDepth = 16;
/** and how many of them cross in all: members may form cycles. */
const maxErrors = 256;
const maxMessageChars = 65_536;
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
let classes: Map<string, ErrorClass> | undefined;

/** The classes that can be rebuilt, by name. Collected for the first error, not at every start. */
function knownClasses(): Map<string, ErrorClass> {
  if (classes !== undefined) return classes;
  classes = new Map(builtIn.map((known) => [known.name, known]));
  for (const known of Object.values(errors)) {
    if (typeof known === "function" && known.prototype instanceof errors.FurrowError)
      classes.set(known.name, known as unknown as ErrorClass);
  }
  return classes;
}

/**
 * Registers an error class: errors of this class's name that arrive from another actor become instances of it. The
 * constructor is not called; message, stack, cause and those own fields that can cross are put on a new instance.
 *
 * @throws {TypeError} when `cls` is not a subclass of Error, or another class has its name
 */
export function registerError(cls: ErrorClass): void {
  if (typeof cls !== "function" || !(cls.prototype instanceof Error)) {
    throw new TypeError("registerError takes a class that extends Error");
  }
  const classes = knownClasses();
  const taken = classes.get(cls.name);
  if (cls.name === "" || (taken !== undefined && taken !== cls)) {
    throw new TypeError(
      `an error class named "${cls.name}" cannot be registered: the name is ${cls.name === "" ? "empty" : "taken"}`,
    );
  }
  classes.set(cls.name, cls);
}

/** Returns the wire form of any thrown value. Never throws. */
export function encodeError(thrown: unknown): unknown[] {
  return encodeAt(thrown, 0, { left: maxErrors });
}

function encodeAt(thrown: unknown, depth: number, budget: { left: number }): unknown[] {
  if (!isError(thrown)) {
    return ["Error", describe(thrown), "", unlessThrows(() => plainOf(thrown), null), null, null];
  }
  const nested = (inner: unknown): unknown[] | undefined =>
    depth < maxErrorDepth && budget.left-- > 0 ? encodeAt(inner, depth + 1, budget) : undefined;
  // any of these may be a getter of a broken or hostile class; then the others still tell what happened
  const form = [
    unlessThrows(() => classOf(thrown), "Error"),
    unlessThrows(() => String(thrown.message).slice(0, maxMessageChars), "a message that cannot be read"),
    unlessThrows(() => String(thrown.stack ?? "").slice(0, maxStackChars), ""),
    unlessThrows(
      () => (thrown.cause instanceof Error ? nested(thrown.cause) : plainOf(thrown.cause)),
      null,
    ) ?? null,
    unlessThrows(
      () =>
        membersOf(thrown)
          ?.map(nested)
          .filter((form) => form !== undefined),
      null,
    ) ?? null,
    unlessThrows(() => fieldsOf(thrown), null),
  ];
  const name = unlessThrows(() => givenName(thrown), null);
  const buffers = unlessThrows(() => Object.keys(thrown).filter((key) => bufferOf(thrown, key)), []);
  if (buffers.length > 0) form.push(name, buffers);
  else if (name !== null) form.push(name);
  return form;
}

/** Whether a thrown value is an error. Never throws: a proxy that throws when it is asked counts as no error. */
export function isError(thrown: unknown): thrown is Error {
  return unlessThrows(() => thrown instanceof Error, false);
}

function unlessThrows<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** Wraps a value that can cross just as it is in an array, so that it cannot be mistaken for an error; null for others. */
function plainOf(value: unknown): [unknown] | null {
  return value !== undefined && isPlain(value) ? [value] : null;
}

/** Makes the error that `encodeError` described; a plain `Error` when the form is malformed. */
export function decodeError(form: unknown): Error {
  if (!Array.isArray(form)) return new Error(`malformed error from a peer: ${describe(form)}`);
  const [cls, text, stack, cause, members, fields, given, buffers] = form as unknown[];
  const className = typeof cls === "string" ? cls : "Error";
  const name = typeof given === "string" ? given : className;
  const message = typeof text === "string" ? text : "";
  const known = knownClasses().get(className) ?? Error;
  // not by Object.create: runtimes and tools recognise an error by more than its prototype
  const made = withoutFrames(() => (known === AggregateError ? new AggregateError([]) : new Error()));
  Object.setPrototypeOf(made, known.prototype as object);
  hidden(made, "message", message);
  if (made.name !== name) hidden(made, "name", name);
  hidden(made, "stack", typeof stack === "string" && stack !== "" ? stack : `${name}: ${message}`);
  if (Array.isArray(cause))
    hidden(made, "cause", isErrorForm(cause) ? decodeError(cause) : (cause as unknown[])[0]);
  if (Array.isArray(members)) putMembers(made, members.map(decodeError));
  if (typeof fields === "object" && fields !== null) {
    const isRemote = made instanceof errors.RemoteActorError;
    const isListed = (field: string): boolean => Array.isArray(buffers) && buffers.includes(field);
    for (const [field, value] of Object.entries(fields)) {
      if (reserved.has(field)) continue;
      const bytes = value instanceof Uint8Array && isListed(field) ? value : undefined;
      const own = bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : value;
      if (isRemote && (errors.remoteFields as readonly string[]).includes(field)) hidden(made, field, own);
      else setOwn(made, field, own);
    }
  }
  if (!isWhole(made)) {
    Object.setPrototypeOf(made, Error.prototype);
    hidden(made, "name", name);
  }
  return made;
}

/** Whether it has the identities that its class promises: a peer may leave them out. */
function isWhole(error: Error): boolean {
  if (error instanceof errors.ContextCancelledError) return isActorId(error.canceller);
  if (error instanceof errors.ActorDiedError) return isActorId(error.actor);
  if (error instanceof errors.ActorDrainingError) return isActorId(error.actor);
  if (error instanceof errors.NameTakenError || error instanceof errors.HostTakenError)
    return isActorId(error.holder);
  if (!(error instanceof errors.RemoteActorError)) return true;
  const { actor, relayPath, remoteName, remoteStack } = error as Partial<errors.RemoteActorError>;
  const isPath = Array.isArray(relayPath) && relayPath.every(isActorId);
  return isActorId(actor) && isPath && typeof remoteName === "string" && typeof remoteStack === "string";
}

function isActorId(value: unknown): boolean {
  return readActorId(value) !== undefined;
}

const reserved: ReadonlySet<string> = new Set([
  "message",
  "stack",
  "cause",
  "errors",
  "name",
  "__proto__",
  "constructor",
  "toString",
  "valueOf",
]);

/** Puts back what `membersOf` took. */
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
  return form.length >= 6 && typeof form[0] === "string";
}

/** The name by which the other end finds the class. */
function classOf(error: Error): string {
  const made = className(error);
  if (made !== "Error" && knownClasses().get(made) === error.constructor) return made;
  // an Error under another name: most likely of a class that isn't registered here, but may be known to another actor
  const { name } = error;
  if (typeof name !== "string" || name === "" || name === "Error") return made === "" ? "Error" : made;
  return made === "Error" && knownClasses().has(name) ? made : name;
}

/** The name of an error when it isn't its class's: it was assigned, or the class sets another one. */
function givenName(error: Error): string | null {
  const { name } = error;
  if (typeof name !== "string" || name === "" || name === classOf(error)) return null;
  const isGiven =
    Object.hasOwn(error, "name") || Object.hasOwn(error.constructor.prototype as object, "name");
  return isGiven ? name : null;
}

function className(error: Error): string {
  const made: unknown = error.constructor?.name;
  return typeof made === "string" ? made : "";
}

function membersOf(error: Error): unknown[] | undefined {
  if (error instanceof AggregateError) return Array.isArray(error.errors) ? error.errors : undefined;
  if (error instanceof SuppressedError) return [error.error, error.suppressed];
  return undefined;
}

function fieldsOf(error: Error): Record<string, unknown> | null {
  const fields: Record<string, unknown> = {};
  const listed = Object.keys(error);
  for (const key of error instanceof errors.RemoteActorError ? [...listed, ...errors.remoteFields] : listed) {
    if (reserved.has(key)) continue;
    const plain = unlessThrows(() => plainOf(bufferOf(error, key) ?? fieldOf(error, key)), null);
    if (plain !== null) [fields[key]] = plain;
  }
  return Object.keys(fields).length > 0 ? fields : null;
}

function fieldOf(error: Error, key: string): unknown {
  return (error as unknown as Record<string, unknown>)[key];
}

/** The bytes of a field if it is a Buffer. */
function bufferOf(error: Error, key: string): Uint8Array | undefined {
  const value = unlessThrows(() => fieldOf(error, key), undefined);
  if (!(value instanceof Uint8Array) || !isBuffer(value)) return undefined;
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function describe(thrown: unknown): string {
  try {
    return typeof thrown === "string" ? thrown : Bun.inspect(thrown, { depth: 2 }).slice(0, 1_000);
  } catch {
    return `a ${typeof thrown} that cannot be shown`;
  }
}
