/**
 * Bundles all of `src`, with its bytecode, and writes the package's entry points that load it:
 * `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that loads the source spends about half of its start on that (bench rows `spawn` and `spawn.packed`).
 * A Bun that the bytecode doesn't suit ignores it and reads the bundled files. There are five, because reading bytecode
 * takes time by its size: `core.cjs` has all that a child can ever need, so that a running child doesn't read files that an
 * upgrade may have replaced; `furrow.cjs` adds what programs import; `etcd.cjs` is for registrars of a cluster; `cli.cjs` is what every command line runs, and
 * `commands.cjs` has the commands. No module is in two of them, so a program, its tests and its children share one
 * instance of each. They are CommonJS because Bun loads bytecode only for that; the entry points are ES modules with named
 * exports.
 *
 * Bun's bundler can't see the exports of such a file when it bundles a user's program. So there's another one, an ES
 * module with everything, for bundles only. The entry points load `furrow.cjs` by a path that bundlers don't follow, and
 * fall back to that if it isn't next to them.
 *
 * `otel.js`, which needs a package that furrow doesn't bring along, is an ES module of its own, and gets the rest of furrow
 * from the same place.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";

const sources = {
  index: "src/index.ts",
  testing: "src/testing.ts",
  metrics: "src/metrics.ts",
  etcd: "src/etcd.ts",
} as const;
const root = join(import.meta.dir, "..");
/** What a child runs. */
const childMain = join(root, "src/tree/child-main.ts");
/** The entry point with a dependency, and the only file that it takes values of furrow from. */
const otel = join(root, "src/otel.ts");
const otelHooks = join(root, "src/inspect/hooks.ts");
/** What only the registrars of a cluster need. */
const etcd = join(root, "src/etcd.ts");
const etcdFolder = join(root, "src/etcd/");
/** The command line. */
const cliMain = join(root, "src/cli/main.ts");
/** What nothing else uses. */
const ofCli = [dirname(cliMain), join(root, "src/page")];

/** Writes everything to `folder`. @throws {AggregateError} when the build fails */
export async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const paths = Object.entries(sources).map(([name, source]) => [name, join(root, source)] as const);
  const everything = [
    ...paths.map(([, path]) => `export * from ${JSON.stringify(path)};\n`),
    `export * as $hooks from ${JSON.stringify(otelHooks)};\n`,
  ].join("");
  await bundleFiles(folder, everything);
  // an executable of furrow build begins in it
  const standalone = `export * from ${JSON.stringify(join(root, "src/tree/standalone.ts"))};\n`;
  // otherwise Bun would replace import.meta.path with a path in this checkout
  await build(folder, "bundled.js", everything + standalone, { define: { "import.meta.path": `""` } });
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

/** Bundles what a child needs into one file, what programs need beyond that into another, and the command line into two. */
async function bundleFiles(folder: string, everything: string): Promise<void> {
  const ofEtcd = Array.from(reachedFrom(etcd)).filter((path) => path.startsWith(etcdFolder));
  // loaded by the one that needs it
  const core = new Set(Array.from(reachedFrom(childMain)).filter((path) => !ofEtcd.includes(path)));
  const all = Array.from(reachedFrom(cliMain));
  const isCli = (path: string): boolean => ofCli.some((own) => path.startsWith(join(own, "/")));
  const shared = all.filter((path) => !core.has(path) && !isCli(path) && !ofEtcd.includes(path));
  const entries = all.filter((path) => dirname(path) === join(dirname(cliMain), "commands"));
  // what is reached without a command
  const front = Array.from(reachedFrom(cliMain, new Set(entries))).filter(
    (path) => isCli(path) && !entries.includes(path),
  );
  const commands = all.filter((path) => isCli(path) && !front.includes(path));
  const common = {
    format: "cjs",
    bytecode: true,
    minify: { whitespace: true, syntax: true },
    define: { "import.meta.path": "module.filename" },
  } as const;
  const etcdTexts = await referencesTo(ofEtcd, "$etcd");
  const ofCore = await referencesTo(core, "$core");
  const ofFurrow = await referencesTo(shared, "$furrow");
  await build(folder, "core.cjs", `import ${JSON.stringify(childMain)};\n${gettersOf(core)}`, {
    ...common,
    banner: `"use strict";${loading("$etcd", "etcd.cjs")}`,
    plugins: [replacing(etcdTexts)],
  });
  await build(folder, "furrow.cjs", `${everything}${gettersOf(shared)}`, {
    ...common,
    banner: `"use strict";${loading("$core", "core.cjs")}${loading("$etcd", "etcd.cjs")}`,
    plugins: [replacing(new Map([...ofCore, ...etcdTexts]))],
  });
  const library = `"use strict";${loading("$core", "core.cjs")}${loading("$furrow", "furrow.cjs")}`;
  const ofLibrary = [...ofCore, ...ofFurrow];
  await build(folder, "etcd.cjs", gettersOf(ofEtcd), {
    ...common,
    banner: library,
    plugins: [replacing(new Map(ofLibrary))],
  });
  await build(folder, "cli.cjs", `export { main } from ${JSON.stringify(cliMain)};\n${gettersOf(front)}`, {
    ...common,
    banner: `${library}${loading("$commands", "commands.cjs")}`,
    plugins: [replacing(new Map([...ofLibrary, ...(await referencesTo(commands, "$commands"))]))],
  });
  await build(folder, "commands.cjs", gettersOf(commands), {
    ...common,
    banner: `${library}${loading("$cli", "cli.cjs")}`,
    plugins: [replacing(new Map([...ofLibrary, ...(await referencesTo(front, "$cli"))]))],
  });
  writeFileSync(join(folder, "cli.js"), command, { mode: 0o755 });
}

/** Exports modules to the other files, each evaluated when it's first asked for. */
function gettersOf(paths: Iterable<string>): string {
  const getters = Array.from(paths, (path) => `${nameOf(path)}: () => require(${JSON.stringify(path)})`);
  return `export const modules = { ${getters.join(", ")} };\n`;
}

/** Defines the function that gives the modules of another file, which is loaded with the first. */
function loading(name: string, file: string): string {
  return `const ${name}=(path)=>require("./${file}").modules[path]();`;
}

/** For a file that doesn't have these modules: texts in place of theirs, which get them through `name`. */
async function referencesTo(paths: Iterable<string>, name: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const path of paths) {
    const names = Object.keys((await import(path)) as object);
    texts.set(path, `export const { ${names.join(", ")} } = ${name}(${nameOf(path)});\n`);
  }
  return texts;
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
  // the transpiler takes no "#!" line
  const text = readFileSync(path, "utf8").replace(/^#!.*/, "");
  for (const { path: to } of new Bun.Transpiler({ loader: "ts" }).scanImports(text))
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

const command = `#!/usr/bin/env bun
import cli from "./cli.cjs";
void cli.main(Bun.argv.slice(2));
`;

if (import.meta.main) await bundle(Bun.argv[2] ?? "");
