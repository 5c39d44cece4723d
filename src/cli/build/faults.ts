/** Why a program can't be bundled. */

/** The executable can't be built; the message says why. */
export class BuildError extends Error {
  override readonly name = "BuildError";
  readonly code = "ERR_BUILD";
}

/** How many of the bundler's messages to show. */
const maxMessages = 5;

/**
 * What the bundler found, each on a line of its own that begins with a line break; other errors are thrown again.
 */
export function faultsOf(error: unknown): string {
  const messages = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  if (messages.length === 0) throw error;
  return messages
    .slice(0, maxMessages)
    .map((message) => `\n  ${described(message)}`)
    .join("");
}

function described(message: unknown): string {
  if (!(message instanceof BuildMessage || message instanceof ResolveMessage)) return String(message);
  const { position } = message;
  if (position === null) return message.message;
  return `${position.file}:${position.line}:${position.column}: ${message.message}`;
}
