/**
 * All of `src` as one file with its bytecode beside it, and the entries of the package on top: `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that reads the source spends two thirds of its start on that (`spawn` and `spawn.packed` in the bench).
 * A Bun that the bytecode is not for ignores it and reads the one file. One, so that a program, its tests and its children
 * have one instance of each module. It is CommonJS because Bun loads bytecode of nothing else; the entries are ES modules
 * and name what they export.
 *
 * Bun's bundler takes such a file for plain CommonJS, and finds nothing in it. So there is a second one, an ES module,
 * which only bundles have: the entries load the first by a path that a bundler does not follow, and the second where the
 * first is not beside them.
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
  // Bun would write the path of this checkout in place of import.meta.path
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
    // in a bundle; anything else is an error of its own
    if (error?.code !== "MODULE_NOT_FOUND") throw error;
    return require("./bundled.js");
  }
}
export default load();
`;

if (import.meta.main) await bundle(Bun.argv[2] ?? "");
