/** Patterns of watches: a name, or the beginning of names and a star. Pure. */
import { ActorNameError } from "../errors.ts";
import { actorNameFault } from "../wire/actor-name.ts";

/** What a pattern matches: `text` itself, or with `isPrefix` every name that begins with it. */
export interface Pattern {
  readonly text: string;
  readonly isPrefix: boolean;
}

const rule =
  'a pattern is a name ("market"), or the beginning of names and a star ("market*", or "*" for all)';

/** Returns what is wrong with a pattern, or undefined when it is valid. */
export function patternFault(pattern: unknown): string | undefined {
  if (typeof pattern !== "string") return `a pattern must be a string, got ${typeof pattern}: ${rule}`;
  if (pattern === "") return `a pattern must not be empty: ${rule}`;
  const { text } = readPattern(pattern);
  if (text.includes("*")) return `pattern ${JSON.stringify(pattern)} has a star before its end: ${rule}`;
  const fault = text === "" ? undefined : actorNameFault(text);
  return fault && `${fault}: ${rule}`;
}

/** @throws {ActorNameError} when the pattern is malformed; the message says how patterns look */
export function checkPattern(pattern: unknown): asserts pattern is string {
  const fault = patternFault(pattern);
  if (fault !== undefined) throw new ActorNameError(fault);
}

/** Takes a valid pattern apart. */
export function readPattern(pattern: string): Pattern {
  const isPrefix = pattern.endsWith("*");
  return { text: isPrefix ? pattern.slice(0, -1) : pattern, isPrefix };
}
