/** Finding the actors that a command line names. All of it needs an open client. */
import { reachRegistered } from "../discovery/reach.ts";
import type { Registration } from "../discovery/registration.ts";
import { listOnce } from "../discovery/watch-actors.ts";
import { ActorNotFoundError, TimeoutError } from "../errors.ts";
import { describeActor } from "../identity.ts";
import type { Portal } from "../rpc/types.ts";
import { UsageError } from "./exit.ts";
import { nearest } from "./nearest.ts";

/** How long a registrar may take to list what it knows. */
export const listTimeoutMs = 5_000;

/**
 * The registered actors that a pattern of `watchActors` matches, as all registrars know them, draining ones included.
 *
 * @throws {TimeoutError} when the registrar is silent
 */
export async function listActors(pattern: string, signal: AbortSignal): Promise<readonly Registration[]> {
  const late = AbortSignal.timeout(listTimeoutMs);
  try {
    return await listOnce(pattern, AbortSignal.any([signal, late]));
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error;
    throw notListed();
  }
}

/** The error for a registrar that is silent. */
export function notListed(): TimeoutError {
  return new TimeoutError("lookup", `the registrar didn't list its actors within ${listTimeoutMs} ms`);
}

/**
 * The instances that NAME, or NAME#UUID with the beginning of a uuid, stands for; in the order of their registration.
 *
 * @throws {ActorNotFoundError} when there is none; suggests a similar name
 */
export async function findInstances(word: string, signal: AbortSignal): Promise<readonly Registration[]> {
  const found = (await listActors(watchedBy(word), signal)).filter((actor) => isMeant(actor, word));
  if (found.length > 0) return found;
  throw await notFound(word, signal);
}

/** What to watch for the actors that NAME or NAME#UUID stands for, among others perhaps. */
export function watchedBy(word: string): string {
  // a "#" may also be part of a name, and watchActors takes a star at the end for more than that
  return readTarget(word).uuid !== undefined || word.includes("*") ? "*" : word;
}

/** Takes NAME#UUID apart. */
export function readTarget(word: string): { readonly name: string; readonly uuid: string | undefined } {
  const [, name, uuid] = /^(.+)#([0-9a-f-]{1,36})$/.exec(word) ?? [];
  return name === undefined ? { name: word, uuid } : { name, uuid };
}

/** Whether NAME or NAME#UUID stands for it. */
export function isMeant({ id }: Registration, word: string): boolean {
  const { name, uuid } = readTarget(word);
  return id.name === word || (uuid !== undefined && id.name === name && id.uuid.startsWith(uuid));
}

/** The error for a name that nobody has. */
export async function notFound(word: string, signal: AbortSignal): Promise<ActorNotFoundError> {
  const names = new Set((await listActors("*", signal)).map(({ id }) => id.name));
  const { name, uuid } = readTarget(word);
  if (uuid !== undefined && names.has(name))
    return new ActorNotFoundError(`no live actor ${word}, but there are others named "${name}"`);
  const near = nearest(name, names);
  const advice = near === undefined ? "furrow ls lists those that there are" : `did you mean "${near}"?`;
  return new ActorNotFoundError(`no live actor named "${word}": ${advice}`);
}

/**
 * Connects to one instance.
 *
 * @throws {ActorNotFoundError} when it is gone
 * @throws {TimeoutError} when it doesn't answer
 */
export async function connectTo<M = unknown>(
  actor: Registration,
  options: { readonly signal: AbortSignal; readonly timeout?: number },
): Promise<Portal<M>> {
  const portal = await reachRegistered<M>(actor, options).catch((error: unknown) => {
    throw error instanceof TimeoutError ? silent(actor.id.name, describeActor(actor.id), error) : error;
  });
  if (portal === undefined)
    throw new ActorNotFoundError(`${describeActor(actor.id)} can't be reached: it is gone`);
  return portal;
}

/** The error for an actor that doesn't answer. */
export function silent(name: string, who: string, cause: TimeoutError): TimeoutError {
  const message = `${who} doesn't answer: it may be frozen or busy; furrow doctor ${name} looks for the reason`;
  return new TimeoutError(cause.stage, message, { cause });
}

/**
 * The only instance that a word stands for.
 *
 * @throws {UsageError} when there are several
 */
export function onlyOne(found: readonly Registration[], word: string): Registration {
  const [one] = found;
  if (one !== undefined && found.length === 1) return one;
  const names = found.map(({ id }) => describeActor(id)).join(", ");
  throw new UsageError(`${found.length} actors match ${JSON.stringify(word)}: name one of ${names}`);
}
