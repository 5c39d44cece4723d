/** What the commands of the bench share. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs a command; an error becomes one line on stderr and exit code 1. */
export async function runCommand(name: string, main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

/**
 * Creates a temporary folder that is removed when this process ends, also on SIGINT and SIGTERM; `onRemoved` runs
 * afterwards. Once per process.
 */
export function openHome(prefix: string, onRemoved?: () => void): string {
  const home = mkdtempSync(join(tmpdir(), prefix));
  process.on("exit", () => {
    rmSync(home, { recursive: true, force: true });
    onRemoved?.();
  });
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143));
  return home;
}
