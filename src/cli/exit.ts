/** Exit codes, and which error has which. */

/** The exit codes of every command. */
export const Exit = {
  ok: 0,
  /** The call or action failed; the error is on stderr. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  noRegistrar: 3,
  noActor: 4,
  timeout: 5,
  interrupted: 130,
} as const;

/** The command line makes no sense; the message says why, and what to write instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const codes: Readonly<Record<string, number>> = {
  ERR_REGISTRY_UNAVAILABLE: Exit.noRegistrar,
  ERR_REGISTRY_OCCUPIED: Exit.noRegistrar,
  ERR_ACTOR_NOT_FOUND: Exit.noActor,
  ERR_TIMEOUT: Exit.timeout,
  ERR_ACTOR_NAME: Exit.usage,
  ERR_ADDRESS: Exit.usage,
};

/** The exit code for what a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return Exit.usage;
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return (typeof code === "string" ? codes[code] : undefined) ?? Exit.failed;
}
