/** furrow as it is published: a few files, with their bytecode. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const bundler = join(import.meta.dir, "../../.ci/bundle.ts");

/** What the rows use of the package. */
export type Furrow = Pick<typeof import("../../src/index.ts"), "openNursery">;

/** Returns why this revision has no such form, or undefined if it does. */
export function packedIsMissing(): string | undefined {
  return existsSync(bundler) ? undefined : "this revision is published as source";
}

/** Builds the package in `folder` and loads it beside the source. */
export async function loadPacked(folder: string): Promise<Furrow> {
  const lib = join(folder, "lib");
  // in another process: the memory that a build uses stays allocated
  const built = Bun.spawnSync([process.execPath, bundler, lib], { stdio: ["ignore", "ignore", "inherit"] });
  if (!built.success) throw new Error("the package cannot be built");
  return (await import(join(lib, "index.js"))) as Furrow;
}
