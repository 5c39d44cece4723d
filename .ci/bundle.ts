/**
 * All of `src` as one file with its bytecode beside it, and the entries of the package on top: `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that reads the source spends two thirds of its start on that (`spawn` and `spawn.packed` in the bench).
 * A Bun that the bytecode is not for ignores it and reads the one file. One, so that a program, its tests and its children
 * have one instance of each module. It is CommonJS because Bun loads bytecode of nothing else; the entries are ES modules
 * and name what they export.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const sources = { index: "src/index.ts", testing: "src/testing.ts" } as const;
const root = join(import.meta.dir, "..");

/** @throws {AggregateError} when it cannot be built */
export async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const everything = join(folder, "everything.ts");
  const paths = Object.entries(sources).map(([name, source]) => [name, join(root, source)] as const);
  writeFileSync(everything, paths.map(([, path]) => `export * from ${JSON.stringify(path)};\n`).join(""));
  await Bun.build({
    entrypoints: [everything],
    outdir: folder,
    naming: "furrow.cjs",
    target: "bun",
    format: "cjs",
    bytecode: true,
    // what ES modules are without saying so
    banner: `"use strict";`,
    // Bun would write the path of this checkout there
    define: { "import.meta.path": "module.filename" },
  });
  rmSync(everything);
  for (const [name, path] of paths) {
    const names = Object.keys((await import(path)) as object);
    writeFileSync(join(folder, `${name}.js`), `export { ${names.join(", ")} } from "./furrow.cjs";\n`);
  }
}

if (import.meta.main) await bundle(Bun.argv[2] ?? "");
