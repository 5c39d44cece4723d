/**
 * The closed set of furrow's errors. Each carries a stable `code`, `ERR_` and the class name in upper snake case
 * without `Error`, and a `cause` where there is one. `docs/errors.md` has the table.
 */
import { framesIn, printedStack, setStack, userFrames } from "./frames.ts";
import { type ActorId, describeActor } from "./identity.ts";

/** The base of every error that furrow itself throws. */
export abstract class FurrowError extends Error {
  abstract readonly code: string;

  constructor(message: string, options?: { readonly cause?: unknown }) {
    // `cause: undefined` would still create the property, and then print it
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
  }
}

/** A call that needs an actor was made in a process, or at a time, that has none. */
export class NoRuntimeError extends FurrowError {
  override readonly name = "NoRuntimeError";
  readonly code = "ERR_NO_RUNTIME";
}

/** This process has an actor already: there is one actor to a process. */
export class RuntimeExistsError extends FurrowError {
  override readonly name = "RuntimeExistsError";
  readonly code = "ERR_RUNTIME_EXISTS";
}

/** An address, or a directory for addresses, cannot be used: malformed, taken, too long, not ours. */
export class AddressError extends FurrowError {
  override readonly name = "AddressError";
  readonly code = "ERR_ADDRESS";
}

/** An actor name is not 1 to 255 bytes of UTF-8 without control characters. */
export class ActorNameError extends FurrowError {
  override readonly name = "ActorNameError";
  readonly code = "ERR_ACTOR_NAME";
}

/** A registry address is held by something that does not answer as a registrar. */
export class RegistryOccupiedError extends FurrowError {
  override readonly name = "RegistryOccupiedError";
  readonly code = "ERR_REGISTRY_OCCUPIED";
}

/** `ensureRegistry` was asked for and another registrar serves the address. */
export class RegistryExistsError extends FurrowError {
  override readonly name = "RegistryExistsError";
  readonly code = "ERR_REGISTRY_EXISTS";
}

/** No registrar could be asked; `cause` says why for each address. */
export class RegistryUnavailableError extends FurrowError {
  override readonly name = "RegistryUnavailableError";
  readonly code = "ERR_REGISTRY_UNAVAILABLE";
}

/** No live actor has the name; `cause` holds each failed dial where there were any. */
export class ActorNotFoundError extends FurrowError {
  override readonly name = "ActorNotFoundError";
  readonly code = "ERR_ACTOR_NOT_FOUND";
}

/** The other end is not furrow, speaks another version, is somebody else, or refused. */
export class HandshakeError extends FurrowError {
  override readonly name = "HandshakeError";
  readonly code = "ERR_HANDSHAKE";
}

/**
 * A peer or registrar did not take our proof of who we are, or did not prove who it is; or there is no usable secret or
 * certificate to prove it with. Nothing was said beyond the protocol's version.
 */
export class UnauthenticatedError extends FurrowError {
  override readonly name = "UnauthenticatedError";
  readonly code = "ERR_UNAUTHENTICATED";
}

/** The peer knows who we are, and its `policy` doesn't allow this. Nothing was done. */
export class PermissionDeniedError extends FurrowError {
  override readonly name = "PermissionDeniedError";
  readonly code = "ERR_PERMISSION_DENIED";
}

/** The connection could not be made or is gone. Pending work may or may not have happened at the peer. */
export class TransportClosedError extends FurrowError {
  override readonly name = "TransportClosedError";
  readonly code = "ERR_TRANSPORT_CLOSED";
}

/** Received bytes are not a valid frame or message; the connection is closed. */
export class FrameError extends FurrowError {
  override readonly name = "FrameError";
  readonly code = "ERR_FRAME";
}

/** A documented limit was reached; the message names the limit and its value. */
export class LimitError extends FurrowError {
  override readonly name = "LimitError";
  readonly code = "ERR_LIMIT";
}

/** A value cannot cross a wire; the message holds the path to it. Nothing was sent. */
export class EncodeError extends FurrowError {
  override readonly name = "EncodeError";
  readonly code = "ERR_ENCODE";
}

/** The name is no exported function of that actor's enabled modules, or one of another kind than the verb. */
export class NotExposedError extends FurrowError {
  override readonly name = "NotExposedError";
  readonly code = "ERR_NOT_EXPOSED";
}

/** A child process could not be started; `cause` is its own error where it got that far. */
export class SpawnError extends FurrowError {
  override readonly name = "SpawnError";
  readonly code = "ERR_SPAWN";
}

/** How a process ended. `stderr` is the last part of what it wrote there. */
export interface ActorDeath {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

/** A child ended in a way that its nursery did not ask for. */
export class ActorDiedError extends FurrowError {
  override readonly name = "ActorDiedError";
  readonly code = "ERR_ACTOR_DIED";
  readonly actor: ActorId;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderr: string;

  constructor(actor: ActorId, death: ActorDeath, options?: { readonly cause?: unknown }) {
    const how = death.signal ? `was ended by ${death.signal}` : `exited with code ${death.exitCode}`;
    const why = options?.cause instanceof Error ? `: ${options.cause.name}: ${options.cause.message}` : "";
    super(`actor ${describeActor(actor)} (pid ${actor.pid}) ${how}${why}`, options);
    this.actor = actor;
    this.exitCode = death.exitCode;
    this.signal = death.signal;
    this.stderr = death.stderr;
  }
}

/** What a `RemoteActorError` is made of. */
export interface RemoteFailure {
  readonly actor: ActorId;
  readonly remoteName: string;
  readonly remoteMessage: string;
  readonly remoteStack: string;
  readonly relayPath: readonly ActorId[];
}

/**
 * An error that arose in another actor.
 *
 * `cause` is that error rebuilt: built-in and registered classes as themselves, everything else as a plain `Error` of
 * that name. `stack` is the origin's, each frame with its actor; then the caller's frames, where they can be had without a
 * cost for calls that succeed: of a call with a signal or a timeout, or made in a called function, of a stream and a
 * dialog. `relayPath` lists the actors that it came through, origin first, the receiver not included.
 */
export class RemoteActorError extends FurrowError {
  override readonly name = "RemoteActorError";
  readonly code = "ERR_REMOTE_ACTOR";
  declare readonly actor: ActorId;
  declare readonly remoteName: string;
  declare readonly remoteStack: string;
  declare readonly relayPath: readonly ActorId[];

  constructor(failure: RemoteFailure, options?: { readonly cause?: unknown }) {
    const path =
      failure.relayPath.length > 1 ? ` via ${failure.relayPath.slice(1).map(describeActor).join(" > ")}` : "";
    super(`${describeActor(failure.actor)}${path}: ${failure.remoteName}: ${failure.remoteMessage}`, options);
    // not listed: printed, they would bury the stack, which says the same
    for (const field of remoteFields) {
      Object.defineProperty(this, field, { value: failure[field], configurable: true, writable: true });
    }
    // where this object was made says nothing: it is always the loop that reads the connection
    setStack(this, remoteFrames(failure));
  }
}

/** What a `RemoteActorError` has of its failure. */
export const remoteFields = ["actor", "remoteName", "remoteStack", "relayPath"] as const;

Object.defineProperty(RemoteActorError.prototype, Symbol.for("nodejs.util.inspect.custom"), {
  value(this: RemoteActorError): string {
    return printedStack(this);
  },
});

/** The frames of the origin, each with its actor, then the actors that passed the error on. */
function remoteFrames({ actor, remoteStack, relayPath }: RemoteFailure): string[] {
  // from there on it is furrow's own way to the function
  const [own = ""] = remoteStack.split(/^.*\(node:async_hooks/m);
  const users = userFrames(own);
  // all furrow's: what arose in it, a result that cannot cross, say
  const frames = (users.length > 0 ? users : framesIn(own)).map((line) => line.replace(/^\s*at /, ""));
  const origin = frames.map((frame) => `    at ${describeActor(actor)} ${frame}`);
  const relays = relayPath.slice(1).map((relay) => `    at ${describeActor(relay)} relayed (furrow:1:1)`);
  return [...origin, ...relays];
}

/** A dialog or a call was cancelled by `canceller`. */
export class ContextCancelledError extends FurrowError {
  override readonly name = "ContextCancelledError";
  readonly code = "ERR_CONTEXT_CANCELLED";
  readonly canceller: ActorId;
  /** What the canceller gave for a reason. */
  readonly reason: string | undefined;

  constructor(canceller: ActorId, reason?: string) {
    super(`cancelled by ${describeActor(canceller)}${reason ? `: ${reason}` : ""}`);
    this.canceller = canceller;
    this.reason = reason;
  }
}

/** The step that spent the time. */
export type Stage = "wait" | "lookup" | "dial" | "handshake" | "call" | "stop";

/** A deadline passed. `stage` names the step that was under way. */
export class TimeoutError extends FurrowError {
  override readonly name = "TimeoutError";
  readonly code = "ERR_TIMEOUT";
  readonly stage: Stage;

  constructor(stage: Stage, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.stage = stage;
  }
}

/** A subscriber was too slow and missed values. */
export class LaggedError extends FurrowError {
  override readonly name = "LaggedError";
  readonly code = "ERR_LAGGED";
}

/** The code of a system error (`ECONNREFUSED`, ...), or "" when there is none. */
export function systemCode(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Any thrown value as an `Error`, itself where it is one. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** Several failures as one `cause`: none, the only one, or an `AggregateError` of all, in their order. */
export function causeOf(errors: readonly Error[]): Error | undefined {
  return errors.length > 1 ? new AggregateError(errors, messagesOf(errors)) : errors[0];
}

/** What several errors say, in one line. */
export function messagesOf(errors: readonly Error[]): string {
  return errors.map(({ message }) => message).join("; ");
}
