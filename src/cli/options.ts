/** The values of options, as commands need them. Pure. */
import type { Flags } from "./command.ts";
import { parseCount, parseDuration } from "./units.ts";

/** The milliseconds that an option gives. @throws {UsageError} when it is malformed */
export function durationOf(flags: Flags, name: string, fallback: string): number {
  return parseDuration((flags[name] as string | undefined) ?? fallback, `--${name}`);
}

/**
 * The time that was so long ago as an option says, in milliseconds since 1970; undefined if it isn't given.
 *
 * @throws {UsageError} when it is malformed
 */
export function timeAgo(flags: Flags, name: string): number | undefined {
  return flags[name] === undefined ? undefined : Date.now() - durationOf(flags, name, "");
}

/** The number that an option gives. @throws {UsageError} when it isn't a whole number of at least `min` */
export function countOf(flags: Flags, name: string, fallback: number, min = 1): number {
  const text = flags[name] as string | undefined;
  return text === undefined ? fallback : parseCount(text, `--${name}`, min);
}
