/**
 * Bundles all of `src`, with its bytecode, and writes the package's entry points that load it:
 * `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that loads the source spends about half of its start on that (bench rows `spawn` and `spawn.packed`).
 * A Bun that the bytecode doesn't suit ignores it and reads the bundled files. There are five, because reading bytecode
 * takes time by its size: `core.cjs` has what every child needs to start, and `rest-<hash>.cjs` what a child may need later
 * (`rest.ts` loads it); `furrow.cjs` adds what programs import; `cli.cjs` is what every command line runs, and
 * `commands.cjs` has the commands. No module is in two of them, so a program, its tests and its children share one
 * instance of each. They are CommonJS because Bun loads bytecode only for that; the entry points are ES modules with named
 * exports, and so is `child.js`, which a child runs: it awaits the start (`src/tree/child.ts`).
 *
 * Bun's bundler can't see the exports of such a file when it bundles a user's program. So there's another one, an ES
 * module with everything, for bundles only. The entry points load `furrow.cjs` by a path that bundlers don't follow, and
 * fall back to that if it isn't next to them.
 *
 * `otel.js`, which needs a package that furrow doesn't bring along, is an ES module of its own, and gets the rest of furrow
 * from the same place.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";

const sources = {
  index: "src/index.ts",
  testing: "src/testing.ts",
  metrics: "src/metrics.ts",
  etcd: "src/etcd.ts",
} as const;
const root = join(import.meta.dir, "..");
/** What a child runs, and what that starts. */
const child = join(root, "src/tree/child.ts");
const childMain = join(root, "src/tree/child-main.ts");
/** Loads the rest of what a child may need. */
const restLoader = join(root, ".ci/rest.ts");
/** The entry point with a dependency, and the only file that it takes values of furrow from. */
const otel = join(root, "src/otel.ts");
const otelHooks = join(root, "src/inspect/hooks.ts");
/** The command line. */
const cliMain = join(root, "src/cli/main.ts");
/** What nothing else uses. */
const ofCli = [dirname(cliMain), join(root, "src/page")];

/** How the files with bytecode are built. */
const withBytecode = {
  format: "cjs",
  bytecode: true,
  minify: { whitespace: true, syntax: true },
  define: { "import.meta.path": "module.filename" },
} as const;

/** Writes everything to `folder`. @throws {AggregateError} when the build fails */
export async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const paths = Object.entries(sources).map(([name, source]) => [name, join(root, source)] as const);
  const entered = [...paths.map(([, path]) => path), otelHooks];
  await bundleFiles(folder, entered);
  const all = entered.map((path, at) => `import * as m${at} from ${JSON.stringify(path)};\n`).join("");
  const getters = entered.map((path, at) => `${nameOf(path)}: () => m${at}`).join();
  // an executable of furrow build begins in it
  const standalone = `export * from ${JSON.stringify(join(root, "src/tree/standalone.ts"))};\n`;
  // otherwise Bun would replace import.meta.path with a path in this checkout
  await build(folder, "bundled.js", `${all}export const modules = { ${getters} };\n${standalone}`, {
    define: { "import.meta.path": `""` },
  });
  writeFileSync(join(folder, "load.js"), loader);
  for (const [name, path] of paths) {
    const entry = `import furrow from "./load.js";\n${await exportsOf(path, "furrow")}`;
    writeFileSync(join(folder, `${name}.js`), entry);
  }
  await bundleOtel(folder);
}

/** A file of its own: only a program that imports it needs OpenTelemetry's package. */
async function bundleOtel(folder: string): Promise<void> {
  const hooks = `import furrow from "./load.js";\n${await exportsOf(otelHooks, "furrow")}`;
  await build(folder, "otel.js", `export * from ${JSON.stringify(otel)};\n`, {
    external: ["@opentelemetry/api"],
    plugins: [replacing(new Map([[otelHooks, hooks]])), leaving("./load.js")],
  });
}

/** Bundles what a child needs into two files, what programs need beyond that into another, and the command line into two. */
async function bundleFiles(folder: string, entered: readonly string[]): Promise<void> {
  const core = reachedFrom(childMain, { isStart: true });
  const rest = reachedFrom(childMain).difference(core);
  const all = Array.from(new Set([cliMain, ...entered].flatMap((path) => Array.from(reachedFrom(path)))));
  const isCli = (path: string): boolean => ofCli.some((own) => path.startsWith(join(own, "/")));
  const shared = all.filter((path) => !core.has(path) && !rest.has(path) && !isCli(path));
  const entries = all.filter((path) => dirname(path) === join(dirname(cliMain), "commands"));
  // what is reached without a command
  const front = Array.from(reachedFrom(cliMain, { found: new Set(entries) })).filter(
    (path) => isCli(path) && !entries.includes(path),
  );
  const commands = all.filter((path) => isCli(path) && !front.includes(path));
  const ofCore = await referencesTo(core, "$core");
  const ofRest = await referencesTo(rest, "$rest");
  const ofFurrow = await referencesTo(shared, "$furrow");
  await bundleCore(folder, core, rest, ofCore, ofRest);
  const ofChildren = [...ofCore, ...ofRest];
  const loadingChildren = `"use strict";${loading("$core", "core.cjs")}const $rest=(path)=>require("./core.cjs").rest(path);`;
  await build(folder, "furrow.cjs", gettersOf(shared), {
    ...withBytecode,
    banner: loadingChildren,
    plugins: [replacing(new Map(ofChildren))],
  });
  const library = `${loadingChildren}${loading("$furrow", "furrow.cjs")}`;
  const ofLibrary = [...ofChildren, ...ofFurrow];
  await build(folder, "cli.cjs", `export { main } from ${JSON.stringify(cliMain)};\n${gettersOf(front)}`, {
    ...withBytecode,
    banner: `${library}${loading("$commands", "commands.cjs")}`,
    plugins: [replacing(new Map([...ofLibrary, ...(await referencesTo(commands, "$commands"))]))],
  });
  await build(folder, "commands.cjs", gettersOf(commands), {
    ...withBytecode,
    banner: `${library}${loading("$cli", "cli.cjs")}`,
    plugins: [replacing(new Map([...ofLibrary, ...(await referencesTo(front, "$cli"))]))],
  });
  writeFileSync(join(folder, "cli.js"), command, { mode: 0o755 });
}

/** Bundles what children need: what all of them start with, and the rest. */
async function bundleCore(
  folder: string,
  core: ReadonlySet<string>,
  rest: ReadonlySet<string>,
  ofCore: ReadonlyMap<string, string>,
  ofRest: ReadonlyMap<string, string>,
): Promise<void> {
  const joining = "export const join = (modules) => { $modules = modules; };\n";
  await build(folder, "rest.cjs", `${joining}${gettersOf(rest)}`, {
    ...withBytecode,
    banner: `"use strict";let $modules;const $core=(path)=>$modules[path]();`,
    plugins: [replacing(ofCore)],
  });
  const text = readFileSync(join(folder, "rest.cjs"), "utf8");
  const restName = `rest-${new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 12)}.cjs`;
  for (const end of ["", ".jsc"])
    renameSync(join(folder, `rest.cjs${end}`), join(folder, `${restName}${end}`));
  await build(folder, "core.cjs", await startOf(core), {
    ...withBytecode,
    define: { ...withBytecode.define, $restName: JSON.stringify(restName) },
    banner: `"use strict";const $require=require;const $rest=(path)=>module.exports.rest(path);`,
    plugins: [replacing(ofRest)],
  });
  const main = new Map([
    [
      childMain,
      `import core from "./core.cjs";\nexport const { runChild } = core.modules[${nameOf(childMain)}]();\n`,
    ],
  ]);
  await build(folder, "child.js", readFileSync(child, "utf8").replace("./child-main.ts", childMain), {
    minify: true,
    plugins: [replacing(main), leaving("./core.cjs")],
  });
}

/** The source of a file that begins with these modules, and exports them to the other files. */
async function startOf(paths: Iterable<string>): Promise<string> {
  const imports: string[] = [];
  const getters: string[] = [];
  for (const path of paths) {
    const names = Object.keys((await import(path)) as object);
    const own = (name: string): string => `${name}$${getters.length}`;
    imports.push(
      `import { ${names.map((name) => `${name} as ${own(name)}`).join()} } from ${JSON.stringify(path)};\n`,
    );
    getters.push(`${nameOf(path)}: () => ({ ${names.map((name) => `${name}: ${own(name)}`).join()} })`);
  }
  return `${imports.join("")}import { restModule } from ${JSON.stringify(restLoader)};
    export const modules = { ${getters.join()} };
    export const rest = (name) => restModule(name, modules);\n`;
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
  for (const path of paths) texts.set(path, await exportsOf(path, name));
  return texts;
}

/** The text of a module that gets what it exports through `name`. */
async function exportsOf(path: string, name: string): Promise<string> {
  const names = Object.keys((await import(path)) as object);
  return `export const { ${names.join(", ")} } = ${name}(${nameOf(path)});\n`;
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

/** The modules that one imports, directly or not, itself included, without those in `found`. Unless `isStart`, also those that it may load later. */
function reachedFrom(
  path: string,
  { isStart = false, found = new Set() }: { readonly isStart?: boolean; readonly found?: Set<string> } = {},
): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  // the transpiler takes no "#!" line
  const text = readFileSync(path, "utf8").replace(/^#!.*/, "");
  for (const { path: to, kind } of new Bun.Transpiler({ loader: "ts" }).scanImports(text)) {
    const isMeant = to.startsWith(".") && (!isStart || kind === "import-statement");
    if (isMeant) reachedFrom(join(dirname(path), to), { isStart, found });
  }
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

/** Leaves the import of another file of the package to the file that is built. */
function leaving(file: string): BunPlugin {
  return {
    name: `leaving ${file}`,
    setup(build) {
      build.onResolve({ filter: /^\.\// }, ({ path }) =>
        path === file ? { path, external: true } : undefined,
      );
    },
  };
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
const { modules } = load();
export default (path) => modules[path]();
`;

const command = `#!/usr/bin/env bun
import cli from "./cli.cjs";
void cli.main(Bun.argv.slice(2));
`;

if (import.meta.main) await bundle(Bun.argv[2] ?? "");
