/** The wire form of failures: `[relayPath, error]`. The path is a list of identities, origin first. */
import {
  ActorDiedError,
  ActorDrainingError,
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

/** The longest relay path: calls that loop through the same actors must not grow it without bound. */
const maxRelays = 64;

/** Encodes what a function of `self` threw. An error that came from another actor keeps its origin. */
export function encodeFailure(thrown: unknown, self: ActorId): unknown[] {
  if (!isError(thrown)) return [[self], encodeError(thrown)];
  const relayed = thrown instanceof RemoteActorError;
  // the death of a child originates in the child, and a refusal in who refused
  const isOfOther = thrown instanceof ActorDiedError || thrown instanceof ActorDrainingError;
  const origin = isOfOther && thrown.actor.uuid !== self.uuid ? [thrown.actor] : [];
  const path = relayed ? [...thrown.relayPath, self] : [...origin, self];
  return [path.slice(0, maxRelays), encodeError(relayed ? thrown.cause : thrown)];
}

/**
 * Encodes this actor's own refusal of a request. Unlike one that a function throws, its path is empty, which tells the
 * caller that nothing ran.
 */
export function encodeRefusal(refusal: ActorDrainingError): unknown[] {
  return [[], encodeError(refusal)];
}

/** The error that a call rejects with; `from` is the peer that reported it. */
export function decodeFailure(form: readonly unknown[], from: ActorId): Error {
  const [path, error] = form;
  const cause = decodeError(error);
  if (
    cause instanceof NotExposedError ||
    cause instanceof LimitError ||
    cause instanceof PermissionDeniedError ||
    cause instanceof ContextCancelledError ||
    (cause instanceof ActorDrainingError && !hasRun(path))
  ) {
    // its frames would be furrow's own, in the other actor
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

/** Whether a function threw the error, its own or another actor's. */
function hasRun(path: unknown): boolean {
  return !Array.isArray(path) || path.length > 0;
}

/** Prepares an error to be thrown by an async function: one from another actor gets the frames of the awaiting code. */
export function toldTo(error: unknown): unknown {
  const isRemote =
    error instanceof RemoteActorError ||
    error instanceof NotExposedError ||
    error instanceof LimitError ||
    error instanceof ActorDrainingError ||
    error instanceof ContextCancelledError;
  return isRemote ? placeAtCaller(error) : error;
}

/** The message of an error. A `SuppressedError` made by JavaScript itself has none, so it is composed. */
function messageOf(error: Error): string {
  if (error.message !== "" || !(error instanceof SuppressedError)) return error.message;
  const [last, first] = [error.error, error.suppressed].map((one: unknown) => asError(one).message);
  return `${last}, after: ${first}`;
}
