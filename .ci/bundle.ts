/**
 * Bundles all of `src` into one file, with its bytecode next to it, and writes the package's entry points that load it:
 * `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that loads the source spends about half of its start on that (bench rows `spawn` and `spawn.packed`).
 * A Bun that the bytecode doesn't suit ignores it and reads the bundled file. There is a single file so that a program,
 * its tests and its children share one instance of each module. It's CommonJS because Bun loads bytecode only for that;
 * the entry points are ES modules with named exports.
 *
 * Bun's bundler can't see the exports of such a file when it bundles a user's program. So there's a second file, an ES
 * module, for bundles only. The entry points load the first file by a path that bundlers don't follow, and fall back to
 * the second if the first isn't next to them.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const sources = { index: "src/index.ts", testing: "src/testing.ts" } as const;
const root = join(import.meta.dir, "..");

/** Writes everything to `folder`. @throws {AggregateError} when the build fails */
export async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const everything = join(folder, "everything.ts");
  const paths = Object.entries(sources).map(([name, source]) => [name, join(root, source)] as const);
  writeFileSync(everything, paths.map(([, path]) => `export * from ${JSON.stringify(path)};\n`).join(""));
  // otherwise Bun would replace import.meta.path with a path in this checkout
  const common = { entrypoints: [everything], outdir: folder, target: "bun" as const };
  await Bun.build({
    ...common,
    naming: "furrow.cjs",
    format: "cjs",
    bytecode: true,
    banner: `"use strict";`,
    define: { "import.meta.path": "module.filename" },
  });
  await Bun.build({ ...common, naming: "bundled.js", define: { "import.meta.path": `""` } });
  rmSync(everything);
  writeFileSync(join(folder, "load.js"), loader);
  for (const [name, path] of paths) {
    const names = Object.keys((await import(path)) as object);
    const entry = `import furrow from "./load.js";\nexport const { ${names.join(", ")} } = furrow;\n`;
    writeFileSync(join(folder, `${name}.js`), entry);
  }
}

const loader = `function load() {
  try {
    return require(import.meta.dirname + "/furrow.cjs");
  } catch (error) {
    // not found means that this runs in a bundle; rethrow any other error
    if (error?.code !== "MODULE_NOT_FOUND") throw error;
    return require("./bundled.js");
  }
}
export default load();
`;

if (import.meta.main) await bundle(Bun.argv[2] ?? "");
