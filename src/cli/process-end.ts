/** How a process has ended, in words: "ended with code 3", "was ended by SIGKILL". */
export function describeEnd({
  exitCode,
  signalCode,
}: Pick<Bun.Subprocess, "exitCode" | "signalCode">): string {
  return signalCode === null ? `ended with code ${exitCode}` : `was ended by ${signalCode}`;
}
