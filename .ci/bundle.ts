/**
 * Bundles all of `src`, with its bytecode, and writes the package's entry points that load it:
 * `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that loads the source spends about half of its start on that (bench rows `spawn` and `spawn.packed`).
 * A Bun that the bytecode doesn't suit ignores it and reads the bundled files. There are two, because reading bytecode
 * takes time by its size: `core.cjs` has all that a child can ever need, so that a running child doesn't read files that an
 * upgrade may have replaced; `furrow.cjs` adds what programs import. No module is in both, so a program, its tests and its
 * children share one instance of each. They are CommonJS because Bun loads bytecode only for that; the entry points are ES
 * modules with named exports.
 *
 * Bun's bundler can't see the exports of such a file when it bundles a user's program. So there's a third file, an ES
 * module with everything, for bundles only. The entry points load `furrow.cjs` by a path that bundlers don't follow, and
 * fall back to the third if it isn't next to them.
 *
 * `otel.js`, which needs a package that furrow doesn't bring along, is an ES module of its own, and gets the rest of furrow
 * from the same place.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";

const sources = { index: "src/index.ts", testing: "src/testing.ts", metrics: "src/metrics.ts" } as const;
const root = join(import.meta.dir, "..");
/** What a child runs. */
const childMain = join(root, "src/tree/child-main.ts");
/** The entry point with a dependency, and the only file that it takes values of furrow from. */
const otel = join(root, "src/otel.ts");
const otelHooks = join(root, "src/inspect/hooks.ts");

/** Writes everything to `folder`. @throws {AggregateError} when the build fails */
export async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const paths = Object.entries(sources).map(([name, source]) => [name, join(root, source)] as const);
  const everything = [
    ...paths.map(([, path]) => `export * from ${JSON.stringify(path)};\n`),
    `export * as $hooks from ${JSON.stringify(otelHooks)};\n`,
  ].join("");
  await bundlePair(folder, everything);
  // otherwise Bun would replace import.meta.path with a path in this checkout
  await build(folder, "bundled.js", everything, { define: { "import.meta.path": `""` } });
  writeFileSync(join(folder, "load.js"), loader);
  for (const [name, path] of paths) {
    const names = Object.keys((await import(path)) as object);
    const entry = `import furrow from "./load.js";\nexport const { ${names.join(", ")} } = furrow;\n`;
    writeFileSync(join(folder, `${name}.js`), entry);
  }
  await bundleOtel(folder);
}

/** A file of its own: only a program that imports it needs OpenTelemetry's package. */
async function bundleOtel(folder: string): Promise<void> {
  const names = Object.keys((await import(otelHooks)) as object);
  const hooks = `import furrow from "./load.js";\nexport const { ${names.join(", ")} } = furrow.$hooks;\n`;
  await build(folder, "otel.js", `export * from ${JSON.stringify(otel)};\n`, {
    external: ["@opentelemetry/api"],
    plugins: [replacing(new Map([[otelHooks, hooks]])), leavingLoader],
  });
}

/** Bundles what a child needs into one file, and the rest into another that loads the first. */
async function bundlePair(folder: string, everything: string): Promise<void> {
  const core = Array.from(reachedFrom(childMain));
  const common = {
    format: "cjs",
    bytecode: true,
    minify: { whitespace: true, syntax: true },
    define: { "import.meta.path": "module.filename" },
  } as const;
  const getters = core.map((path) => `${nameOf(path)}: () => require(${JSON.stringify(path)})`);
  const entry = `import ${JSON.stringify(childMain)};\nexport const modules = { ${getters.join(", ")} };\n`;
  await build(folder, "core.cjs", entry, { ...common, banner: `"use strict";` });
  const references = new Map(await Promise.all(core.map(referenceTo)));
  await build(folder, "furrow.cjs", everything, {
    ...common,
    banner: `"use strict";const $core=require("./core.cjs").modules;`,
    plugins: [replacing(references)],
  });
}

/** For the second file: the text of a module that is in the first. */
async function referenceTo(path: string): Promise<[path: string, text: string]> {
  const names = Object.keys((await import(path)) as object);
  return [path, `export const { ${names.join(", ")} } = $core[${nameOf(path)}]();\n`];
}

async function build(
  folder: string,
  naming: string,
  entry: string,
  options: Partial<Bun.BuildConfig>,
): Promise<void> {
  const file = join(folder, "entry.ts");
  writeFileSync(file, entry);
  await Bun.build({
    entrypoints: [file],
    outdir: folder,
    target: "bun",
    naming,
    ...options,
  });
  rmSync(file);
}

/** The name of a module in the bundled files, quoted. */
function nameOf(path: string): string {
  return JSON.stringify(relative(join(root, "src"), path));
}

/** All modules that one imports or may load later, directly or not, itself included. */
function reachedFrom(path: string, found: Set<string> = new Set()): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const { path: to } of new Bun.Transpiler({ loader: "ts" }).scanImports(readFileSync(path, "utf8")))
    if (to.startsWith(".")) reachedFrom(join(dirname(path), to), found);
  return found;
}

/** Gives the bundler other texts for some modules. */
function replacing(texts: ReadonlyMap<string, string>): BunPlugin {
  return {
    name: "replacing",
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const contents = texts.get(path);
        return contents === undefined ? undefined : { contents, loader: "ts" };
      });
    },
  };
}

/** Leaves the import of the loader to the file that is built. */
const leavingLoader: BunPlugin = {
  name: "leaving the loader",
  setup(build) {
    build.onResolve({ filter: /^\.\/load\.js$/ }, ({ path }) => ({ path, external: true }));
  },
};

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
