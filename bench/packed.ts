/** furrow as the package has it: one file, with its bytecode. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const bundler = join(import.meta.dir, "../.ci/bundle.ts");

/** What the rows use of it. */
export type Furrow = Pick<typeof import("../src/index.ts"), "openNursery">;

/** Why there is none, or undefined. */
export function packedIsMissing(): string | undefined {
  return existsSync(bundler) ? undefined : "this revision is packed as source";
}

/** Builds it in `folder`, and loads it beside the source. */
export async function loadPacked(folder: string): Promise<Furrow> {
  const lib = join(folder, "lib");
  // not in this process: building leaves its memory behind
  const built = Bun.spawnSync([process.execPath, bundler, lib], { stdio: ["ignore", "ignore", "inherit"] });
  if (!built.success) throw new Error("the package cannot be built");
  return (await import(join(lib, "index.js"))) as Furrow;
}
