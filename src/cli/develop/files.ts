/** The files that a program consists of, as the bundler finds them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export interface Files {
  /** All that the program imports by constant paths, itself included, but for packages. */
  readonly files: ReadonlySet<string>;
  /** Why it can't be loaded, if so; then `files` has only the program itself. */
  readonly fault: string | undefined;
}

/** Bundles in a process of its own: Bun remembers which files there are in a folder, and wouldn't see a new one. */
export async function filesOf(program: string): Promise<Files> {
  const folder = mkdtempSync(join(tmpdir(), "furrow-dev-"));
  const list = join(folder, "files.json");
  try {
    const child = Bun.spawn(
      [process.execPath, "build", program, "--target=bun", `--outdir=${folder}`, `--metafile=${list}`],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const [errors, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    if (exitCode !== 0) return { files: new Set([program]), fault: errors.trim() };
    const { inputs } = JSON.parse(readFileSync(list, "utf8")) as { inputs: Record<string, unknown> };
    const own = Object.keys(inputs).map((path) => resolve(path));
    return {
      files: new Set([program, ...own.filter((path) => !path.includes("/node_modules/"))]),
      fault: undefined,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
