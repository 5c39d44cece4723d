import { ActorNameError } from "../errors.ts";

const maxNameBytes = 255;
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const control = /[\u0000-\u001f\u007f-\u009f]/;

/** Returns what is wrong with an actor name, or undefined when it is valid. */
export function actorNameFault(name: unknown): string | undefined {
  if (typeof name === "string" && isUsual(name)) return undefined;
  if (typeof name !== "string") return `an actor name must be a string, got ${typeof name}`;
  if (name === "") return "an actor name must not be empty";
  if (control.test(name)) return `actor name ${JSON.stringify(name)} has a control character`;
  if (!name.isWellFormed()) return `actor name ${JSON.stringify(name)} is not well-formed unicode`;
  // a UTF-16 unit takes at most 3 bytes of UTF-8, so most names need no counting
  const bytes = name.length * 3 <= maxNameBytes ? 0 : Buffer.byteLength(name);
  if (bytes > maxNameBytes)
    return `actor name of ${bytes} B exceeds ${maxNameBytes} B: ${name.slice(0, 32)}...`;
  return undefined;
}

/** Whether the name is short, printable ASCII: this takes a quarter of the time of the full check. */
function isUsual(name: string): boolean {
  const { length } = name;
  if (length === 0 || length > 64) return false;
  for (let at = 0; at < length; at++) {
    const code = name.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

/**
 * Checks that a user's name for an actor is valid: 1 to 255 bytes of UTF-8 without control characters.
 *
 * @throws {ActorNameError} when it is not
 */
export function checkActorName(name: unknown): asserts name is string {
  const fault = actorNameFault(name);
  if (fault !== undefined) throw new ActorNameError(fault);
}
