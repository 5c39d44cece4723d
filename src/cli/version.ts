/**
 * The version of this package. `inspect/describe.ts` reads it, too: that one is in the package's core file, which the command
 * line doesn't load for its help and version.
 */

/** Reads it from the manifest, which is further up in the source as in the built package. */
export async function readVersion(): Promise<string> {
  for (let folder = parentOf(import.meta.path); folder !== ""; folder = parentOf(folder)) {
    const manifest = Bun.file(`${folder}/package.json`);
    if (await manifest.exists()) return ((await manifest.json()) as { version: string }).version;
  }
  return "unknown";
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
