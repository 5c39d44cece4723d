/** How a failure in one actor reaches the caller in another: `[relayPath, error]`, the path as identities, origin first. */
import {
  ActorDiedError,
  asError,
  ContextCancelledError,
  LimitError,
  NotExposedError,
  PermissionDeniedError,
  RemoteActorError,
} from "../errors.ts";
import { placeAtCaller, setStack } from "../frames.ts";
import { type ActorId, readActorId } from "../identity.ts";
import { decodeError, encodeError, isError } from "../wire/error-values.ts";

/** Relays a failure passes before its path is cut: a loop of actors must not grow it for ever. */
const maxRelays = 64;

/** The wire form of what a function of `self` threw. An error that came from elsewhere keeps its origin. */
export function encodeFailure(thrown: unknown, self: ActorId): unknown[] {
  if (!isError(thrown)) return [[self], encodeError(thrown)];
  const relayed = thrown instanceof RemoteActorError;
  // the death of a child arose there, and has come here
  const died = thrown instanceof ActorDiedError ? [thrown.actor] : [];
  const path = relayed ? [...thrown.relayPath, self] : [...died, self];
  return [path.slice(0, maxRelays), encodeError(relayed ? thrown.cause : thrown)];
}

/** The error that a call rejects with; `from` is the peer that reported it. */
export function decodeFailure(form: readonly unknown[], from: ActorId): Error {
  const [path, error] = form;
  const cause = decodeError(error);
  if (
    cause instanceof NotExposedError ||
    cause instanceof LimitError ||
    cause instanceof PermissionDeniedError ||
    cause instanceof ContextCancelledError
  ) {
    // it arose in furrow's own code there
    setStack(cause, []);
    return cause;
  }
  const relayPath = (Array.isArray(path) ? path.slice(0, maxRelays) : []).flatMap(
    (id) => readActorId(id) ?? [],
  );
  return new RemoteActorError(
    {
      actor: relayPath[0] ?? from,
      remoteName: cause.name,
      remoteMessage: messageOf(cause),
      remoteStack: cause.stack ?? "",
      relayPath: relayPath.length > 0 ? relayPath : [from],
    },
    { cause },
  );
}

/** The error as an async function throws it to the one who waits: with that one's frames if it came from another actor. */
export function toldTo(error: unknown): unknown {
  const isRemote =
    error instanceof RemoteActorError ||
    error instanceof NotExposedError ||
    error instanceof LimitError ||
    error instanceof ContextCancelledError;
  return isRemote ? placeAtCaller(error) : error;
}

/** JavaScript gives a `SuppressedError` of its own making no message. */
function messageOf(error: Error): string {
  if (error.message !== "" || !(error instanceof SuppressedError)) return error.message;
  const [last, first] = [error.error, error.suppressed].map((one: unknown) => asError(one).message);
  return `${last}, after: ${first}`;
}
