/** The version of this package. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Reads it from the manifest, which is further up in the source as in the built package. */
export function readVersion(): string {
  for (let folder = dirname(import.meta.path); ; folder = dirname(folder)) {
    const path = join(folder, "package.json");
    if (existsSync(path)) return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
    if (folder === dirname(folder)) return "unknown";
  }
}
