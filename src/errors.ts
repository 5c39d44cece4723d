/**
 * The closed set of furrow's errors. Each has a stable `code`: `ERR_` plus the class name in upper snake case without
 * `Error`. If something else caused it, that is its `cause`. `docs/errors.md` has the table.
 */
import { framesIn, printedStack, setStack, userFrames } from "./frames.ts";
import { type ActorId, describeActor } from "./identity.ts";
import type { LookupReport } from "./lookup-report.ts";

/** The base class of every error that furrow itself throws. */
export abstract class FurrowError extends Error {
  abstract readonly code: string;
  /**
   * On the error of a lookup: what the lookup did, as `explainLookup` gives it. Not enumerable, so that it doesn't bury
   * the message when the error is printed, and stays in this process.
   */
  declare readonly report?: LookupReport;

  constructor(message: string, options?: { readonly cause?: unknown }) {
    // `cause: undefined` would still create the property, which would then be printed
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
  }
}

/** The call needs a running actor, or (`currentTask`) a called function around it, and there is none. */
export class NoRuntimeError extends FurrowError {
  override readonly name = "NoRuntimeError";
  readonly code = "ERR_NO_RUNTIME";
}

/** This process already has an actor; each process can have only one. */
export class RuntimeExistsError extends FurrowError {
  override readonly name = "RuntimeExistsError";
  readonly code = "ERR_RUNTIME_EXISTS";
}

/** An address or socket directory can't be used: it's malformed, in use, too long, or owned by another user. */
export class AddressError extends FurrowError {
  override readonly name = "AddressError";
  readonly code = "ERR_ADDRESS";
}

/** An actor name must be 1 to 255 bytes of UTF-8 without control characters. */
export class ActorNameError extends FurrowError {
  override readonly name = "ActorNameError";
  readonly code = "ERR_ACTOR_NAME";
}

/** Something that doesn't answer as a registrar is listening at a registry address. */
export class RegistryOccupiedError extends FurrowError {
  override readonly name = "RegistryOccupiedError";
  readonly code = "ERR_REGISTRY_OCCUPIED";
}

/** `ensureRegistry` was set, but another registrar already serves the address. */
export class RegistryExistsError extends FurrowError {
  override readonly name = "RegistryExistsError";
  readonly code = "ERR_REGISTRY_EXISTS";
}

/** No registrar could be reached; `cause` says why for each address. */
export class RegistryUnavailableError extends FurrowError {
  override readonly name = "RegistryUnavailableError";
  readonly code = "ERR_REGISTRY_UNAVAILABLE";
}

/** No live actor has this name; `cause` holds any failed dials. */
export class ActorNotFoundError extends FurrowError {
  override readonly name = "ActorNotFoundError";
  readonly code = "ERR_ACTOR_NOT_FOUND";
}

/** The other end isn't furrow, speaks another protocol version, isn't the expected actor, or refused the connection. */
export class HandshakeError extends FurrowError {
  override readonly name = "HandshakeError";
  readonly code = "ERR_HANDSHAKE";
}

/**
 * A peer or registrar rejected our proof of identity or failed to prove its own, or we have no usable secret or
 * certificate. Nothing but the protocol version was exchanged.
 */
export class UnauthenticatedError extends FurrowError {
  override readonly name = "UnauthenticatedError";
  readonly code = "ERR_UNAUTHENTICATED";
}

/** The peer authenticated us, but its `policy` doesn't allow this. Nothing was done. */
export class PermissionDeniedError extends FurrowError {
  override readonly name = "PermissionDeniedError";
  readonly code = "ERR_PERMISSION_DENIED";
}

/** A name can't be taken: it is unique and held by `holder`, or it is to be unique and `holder` has it. Nothing was started. */
export class NameTakenError extends FurrowError {
  override readonly name = "NameTakenError";
  readonly code = "ERR_NAME_TAKEN";
  /** The actor that has the name; while that is still starting, the one that starts it. */
  readonly holder: ActorId;

  constructor(message: string, holder: ActorId) {
    super(message);
    this.holder = holder;
  }
}

/** The store of a cluster couldn't be reached, refused us, or didn't answer in time; `cause` says why. A change may have been made. */
export class StoreUnavailableError extends FurrowError {
  override readonly name = "StoreUnavailableError";
  readonly code = "ERR_STORE_UNAVAILABLE";
}

/** Another registry of this host already publishes in the cluster. */
export class HostTakenError extends FurrowError {
  override readonly name = "HostTakenError";
  readonly code = "ERR_HOST_TAKEN";
  /** The registrar that publishes for this host. */
  readonly holder: ActorId;

  constructor(message: string, holder: ActorId) {
    super(message);
    this.holder = holder;
  }
}

/** The connection couldn't be made, or was lost. Pending work may or may not have run at the peer. */
export class TransportClosedError extends FurrowError {
  override readonly name = "TransportClosedError";
  readonly code = "ERR_TRANSPORT_CLOSED";
}

/** Received bytes aren't a valid frame or message; the connection is closed. */
export class FrameError extends FurrowError {
  override readonly name = "FrameError";
  readonly code = "ERR_FRAME";
}

/** A documented limit was reached; the message names the limit and its value. */
export class LimitError extends FurrowError {
  override readonly name = "LimitError";
  readonly code = "ERR_LIMIT";
}

/** A value can't be sent to another actor; the message gives the path to it. Nothing was sent. */
export class EncodeError extends FurrowError {
  override readonly name = "EncodeError";
  readonly code = "ERR_ENCODE";
}

/** No module enabled in that actor exports a function of this name, or the function needs a different verb. */
export class NotExposedError extends FurrowError {
  override readonly name = "NotExposedError";
  readonly code = "ERR_NOT_EXPOSED";
}

/** A child process couldn't be started; `cause` is the child's own error, if it got far enough to report one. */
export class SpawnError extends FurrowError {
  override readonly name = "SpawnError";
  readonly code = "ERR_SPAWN";
}

/** How a process ended. `stderr` is the end of what it wrote to standard error. */
export interface ActorDeath {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

/** A child failed: it ended in a way that its nursery didn't request. */
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

/** The contents of a `RemoteActorError`. */
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
 * `cause` is the original error, rebuilt: built-in and registered classes keep their class, everything else becomes a
 * plain `Error` with the original name. `stack` has the origin's frames, each labelled with its actor, followed by the
 * caller's frames where capturing them costs successful calls nothing: for streams, dialogs, calls with a signal or a
 * timeout, and calls made inside a called function. `relayPath` lists the actors that the error came through, origin
 * first, without the receiver.
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
    // not enumerable: when printed, they would bury the stack, which says the same
    for (const field of remoteFields) {
      Object.defineProperty(this, field, { value: failure[field], configurable: true, writable: true });
    }
    // where this object was created is no help: it's always in the loop that reads the connection
    setStack(this, remoteFrames(failure));
  }
}

/** The fields that a `RemoteActorError` copies from its failure. */
export const remoteFields = ["actor", "remoteName", "remoteStack", "relayPath"] as const;

Object.defineProperty(RemoteActorError.prototype, Symbol.for("nodejs.util.inspect.custom"), {
  value(this: RemoteActorError): string {
    return printedStack(this);
  },
});

/** The origin's frames, each labelled with its actor, then one line per actor that relayed the error. */
function remoteFrames({ actor, remoteStack, relayPath }: RemoteFailure): string[] {
  // the frames after that are furrow's own, leading to the user's function
  const [own = ""] = remoteStack.split(/^.*\(node:async_hooks/m);
  const users = userFrames(own);
  // keep furrow's frames if there are no others: the error arose inside furrow, for a result that can't be sent, say
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
  /** The reason that the canceller gave. */
  readonly reason: string | undefined;

  constructor(canceller: ActorId, reason?: string) {
    super(`cancelled by ${describeActor(canceller)}${reason ? `: ${reason}` : ""}`);
    this.canceller = canceller;
    this.reason = reason;
  }
}

/** The step that ran out of time. */
export type Stage = "wait" | "lookup" | "dial" | "handshake" | "call" | "stop";

/**
 * The call, stream or dialog did not run: `actor` is about to stop, or is ending already. It can be repeated at another
 * instance. A function that passes this error on did run; its caller gets a `RemoteActorError` with this as the cause.
 */
export class ActorDrainingError extends FurrowError {
  override readonly name = "ActorDrainingError";
  readonly code = "ERR_ACTOR_DRAINING";
  /** Who refused. */
  readonly actor: ActorId;

  /** `state`: "draining" or "ending". */
  constructor(actor: ActorId, state: string) {
    super(`${describeActor(actor)} is ${state} and takes on nothing new: this did not run`);
    this.actor = actor;
  }
}

/** A deadline passed; `stage` names the step that was in progress. */
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

/** The code of a system error (`ECONNREFUSED`, ...), or "" if it has none. */
export function systemCode(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Any thrown value as an `Error`; an `Error` is returned unchanged. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** Combines failures into one `cause`: undefined, the only one, or an `AggregateError` of all of them in order. */
export function causeOf(errors: readonly Error[]): Error | undefined {
  return errors.length > 1 ? new AggregateError(errors, messagesOf(errors)) : errors[0];
}

/** The messages of several errors, on one line. */
export function messagesOf(errors: readonly Error[]): string {
  return errors.map(({ message }) => message).join("; ");
}
