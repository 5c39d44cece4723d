/** NAME.FN, NAME#UUID and the words after it, as the commands that call a function read them. */
import { findActor } from "../discovery/find.ts";
import { ActorNotFoundError, TimeoutError } from "../errors.ts";
import type { Portal } from "../rpc/types.ts";
import { connectTo, findInstances, notFound, onlyOne, readTarget, silent } from "./actors.ts";
import type { CommandContext } from "./command.ts";
import { UsageError } from "./exit.ts";

export interface CallTarget {
  /** NAME or NAME#UUID. */
  readonly actor: string;
  readonly fn: string;
  readonly args: readonly unknown[];
}

/** @throws {UsageError} when the first word isn't NAME.FN */
export function readCall(words: readonly string[]): CallTarget {
  const [first = "", ...rest] = words;
  // a name may contain dots, a function's name can't
  const dot = first.lastIndexOf(".");
  if (dot <= 0 || dot === first.length - 1)
    throw new UsageError(
      `${JSON.stringify(first)} doesn't name a function: write the actor's name, a dot and the function, as in market.getPrice`,
    );
  return { actor: first.slice(0, dot), fn: first.slice(dot + 1), args: rest.map(readWord) };
}

/** A word as an argument: JSON, or else a string. */
export function readWord(word: string): unknown {
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
}

/** Connects to the actor of NAME, the last registered one, or to that of NAME#UUID. */
export async function portalTo(
  word: string,
  { signal }: CommandContext,
  timeout?: number,
): Promise<Portal<unknown>> {
  const bounds = { signal, ...(timeout !== undefined && { timeout }) };
  const { uuid } = readTarget(word);
  if (uuid !== undefined) return await connectTo(onlyOne(await findInstances(word, signal), word), bounds);
  try {
    return await findActor(word, { ...bounds, raiseOnNone: true });
  } catch (error) {
    // with a cause there are some, and the error says what keeps them
    if (error instanceof ActorNotFoundError && error.cause === undefined) throw await notFound(word, signal);
    if (error instanceof TimeoutError) throw silent(word, JSON.stringify(word), error);
    throw error;
  }
}
