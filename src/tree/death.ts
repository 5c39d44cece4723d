/** How a process ended, "SIGKILL" or "exit code 1", without the words of the error that ended it: those may be anything. */
export function howOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { signal, exitCode } = error as { signal?: unknown; exitCode?: unknown };
  if (typeof signal === "string") return signal;
  return typeof exitCode === "number" ? `exit code ${exitCode}` : undefined;
}
