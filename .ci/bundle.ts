/**
 * Bundles all of `src`, with its bytecode, and writes the package's entry points that load it:
 * `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that loads the source spends about half of its start on that (bench rows `spawn` and `spawn.packed`).
 * A Bun that the bytecode doesn't suit ignores it and reads the bundled files. There are seven, because reading bytecode
 * takes time by its size:
 *
 * - `core.cjs`: what every child starts with;
 * - `soon-<hash>.cjs`: what most children need soon after that, each module when it's needed;
 * - `packr-<hash>.cjs`: msgpackr, for messages that `encode.ts` doesn't write itself;
 * - `library-<hash>.cjs`: what a program has at once that imports furrow;
 * - `rest-<hash>.cjs`: what is loaded by need, each module when it's needed;
 * - `cli.cjs`: what every command line runs;
 * - `commands.cjs`: the commands.
 *
 * No module is in two of them, so a program, its tests and its children share one instance of each. They are CommonJS because
 * Bun loads bytecode only for that; the entry points are ES modules with named exports, and so is `child.js`, the main file of
 * a child. `later.ts` says why four have a hash in their names.
 *
 * Bun's bundler can't see the exports of such a file when it bundles a user's program. So there's another one, an ES
 * module with everything, for bundles only. The entry points load `core.cjs` by a path that bundlers don't follow, and
 * fall back to that if it isn't next to them.
 *
 * `otel.js`, which needs a package that furrow doesn't bring along, is an ES module of its own, and gets the rest of furrow
 * from the same place.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { BunPlugin } from "bun";

const sources = { index: "src/index.ts", testing: "src/testing.ts", metrics: "src/metrics.ts" } as const;
const root = join(import.meta.dir, "..");
/** What a child runs, and what that starts. */
const child = join(root, "src/tree/child.ts");
const childMain = join(root, "src/tree/child-main.ts");
/** What a connection from another actor, a failure, a stream or a dialog loads. */
const soon = ["channel/acceptor.ts", "rpc/callee/failure.ts", "rpc/callee/context.ts", "rpc/callee/pump.ts"]
  .concat("rpc/caller/exchange.ts", "wire/values.ts")
  .map((path) => join(root, "src", path));
const packr = join(root, "src/wire/packr.ts");
/** What a program that looks for a registrar and lists actors loads at once. */
const looking = ["discovery/visitor.ts", "discovery/details.ts"].map((path) => join(root, "src", path));
/** Loads four of the files. */
const later = join(root, ".ci/later.ts");
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

/** The modules of each file. */
interface Parts {
  readonly core: ReadonlySet<string>;
  readonly soon: ReadonlySet<string>;
  readonly packr: ReadonlySet<string>;
  readonly library: ReadonlySet<string>;
  readonly rest: ReadonlySet<string>;
  readonly cli: ReadonlySet<string>;
  readonly commands: ReadonlySet<string>;
}

/** Writes everything to `folder`. @throws {AggregateError} when the build fails */
export async function bundle(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const entries = Object.entries(sources).map(([name, source]) => [name, join(root, source)] as const);
  const paths = [...entries.map(([, path]) => path), otelHooks];
  const parts = partsOf(paths);
  await bundleFiles(folder, parts);
  await bundleForBundles(folder, paths);
  writeFileSync(join(folder, "load.js"), loader);
  for (const [name, path] of entries) writeFileSync(join(folder, `${name}.js`), await entryOf(path, parts));
  await bundleOtel(folder, await entryOf(otelHooks, parts));
}

/** Divides all modules that these entry points and the command line need. */
function partsOf(entries: readonly string[]): Parts {
  const isCli = (path: string): boolean => ofCli.some((own) => path.startsWith(join(own, "/")));
  const isCommand = (path: string): boolean => dirname(path) === join(dirname(cliMain), "commands");
  const core = reachedFrom([childMain], "start");
  const later = reachedFrom(soon, "start").difference(core);
  const ofPackr = new Set([packr]);
  const library = reachedFrom([entries[0]!, ...looking], "start")
    .difference(core)
    .difference(later);
  const all = Array.from(reachedFrom([childMain, cliMain, ...entries], "all"));
  const ofLibrary = all.filter((path) => !isCli(path));
  // what the command line reaches without a command
  const front = reachedFrom([cliMain], "all", new Set(all.filter(isCommand)));
  const cli = new Set(all.filter((path) => isCli(path) && !isCommand(path) && front.has(path)));
  return {
    core,
    soon: later,
    packr: ofPackr,
    library,
    rest: new Set(ofLibrary).difference(core.union(later).union(ofPackr).union(library)),
    cli,
    commands: new Set(all.filter(isCli)).difference(cli),
  };
}

async function bundleFiles(folder: string, parts: Parts): Promise<void> {
  const texts = {
    core: await referencesTo(parts.core, "$core"),
    soon: await referencesTo(parts.soon, "$soon"),
    packr: await referencesTo(parts.packr, "$packr"),
    library: await referencesTo(parts.library, "$library"),
    rest: await referencesTo(parts.rest, "$rest"),
    cli: await referencesTo(parts.cli, "$cli"),
    commands: await referencesTo(parts.commands, "$commands"),
  };
  /** Builds a file, which gets the modules of the others from them. */
  const buildPart = async (own: keyof Parts, entry: string, banner: string, define = {}): Promise<void> => {
    const others = Object.entries(texts).filter(([name]) => name !== own);
    await build(folder, `${own}.cjs`, entry, {
      ...withBytecode,
      define: { ...withBytecode.define, ...define },
      banner: `"use strict";${banner}`,
      plugins: [replacing(new Map(others.flatMap(([, ofPart]) => Array.from(ofPart))))],
    });
  };
  const fromCore = ["core", "soon", "packr", "library", "rest"]
    .map((name) => `const $${name}=(path)=>require("./core.cjs").${name}(path);`)
    .join("");
  await buildPart("soon", byNeed(parts.soon), fromCore);
  await buildPart("packr", await atOnce(parts.packr), fromCore);
  await buildPart("library", await atOnce(parts.library), fromCore);
  await buildPart("rest", byNeed(parts.rest), fromCore);
  const files = (["soon", "packr", "library", "rest"] as const).map(
    (name) => [`$${name}File`, JSON.stringify(nameByContent(folder, name))] as const,
  );
  const core = `${await atOnce(parts.core)}export { soon, packr, library, rest } from ${JSON.stringify(later)};
    export const core = (path) => modules[path]();\n`;
  await buildPart("core", core, coreBanner, Object.fromEntries(files));
  const toCommands = `const $commands=(path)=>require("./commands.cjs").modules[path]();`;
  const main = `export { main } from ${JSON.stringify(cliMain)};\n`;
  await buildPart("cli", `${main}${byNeed(parts.cli)}`, `${fromCore}${toCommands}`);
  const toCli = `const $cli=(path)=>require("./cli.cjs").modules[path]();`;
  await buildPart("commands", byNeed(parts.commands), `${fromCore}${toCli}`);
  writeFileSync(join(folder, "cli.js"), command, { mode: 0o755 });
  await bundleChild(folder);
}

/** The main file of a child. */
async function bundleChild(folder: string): Promise<void> {
  const start = `import furrow from "./core.cjs";\n${await exportsOf(childMain, "furrow.core")}`;
  await build(folder, "child.js", `import ${JSON.stringify(child)};\n`, {
    minify: true,
    plugins: [replacing(new Map([[childMain, start]])), leaving("./core.cjs")],
  });
}

/** What a user's bundle has in place of the other files. */
async function bundleForBundles(folder: string, paths: readonly string[]): Promise<void> {
  const imports = paths.map((path, at) => `import * as m${at} from ${JSON.stringify(path)};\n`);
  const all = `const all = { ${paths.map((path, at) => `${nameOf(path)}: m${at}`).join()} };\n`;
  const getters = "export const library = (path) => all[path];\nexport const rest = library;\n";
  // an executable of furrow build begins in it
  const standalone = `export * from ${JSON.stringify(join(root, "src/tree/standalone.ts"))};\n`;
  // otherwise Bun would replace import.meta.path with a path in this checkout
  const define = { "import.meta.path": `""` };
  await build(folder, "bundled.js", `${imports.join("")}${all}${getters}${standalone}`, { define });
}

/** A file of its own: only a program that imports it needs OpenTelemetry's package. */
async function bundleOtel(folder: string, hooks: string): Promise<void> {
  await build(folder, "otel.js", `export * from ${JSON.stringify(otel)};\n`, {
    external: ["@opentelemetry/api"],
    plugins: [replacing(new Map([[otelHooks, hooks]])), leaving("./load.js")],
  });
}

/** The source of an ES module that exports what a module does. */
async function entryOf(path: string, { library }: Parts): Promise<string> {
  const file = library.has(path) ? "library" : "rest";
  return `import furrow from "./load.js";\n${await exportsOf(path, `furrow.${file}`)}`;
}

/** The source of a file with these modules, which are evaluated with it. */
async function atOnce(paths: Iterable<string>): Promise<string> {
  const imports: string[] = [];
  const getters: string[] = [];
  for (const path of paths) {
    const names = Object.keys((await import(path)) as object);
    const own = (name: string): string => `${name}$${getters.length}`;
    const imported = names.map((name) => `${name} as ${own(name)}`);
    imports.push(`import { ${imported.join()} } from ${JSON.stringify(path)};\n`);
    getters.push(`${nameOf(path)}: () => ({ ${names.map((name) => `${name}: ${own(name)}`).join()} })`);
  }
  return `${imports.join("")}export const modules = { ${getters.join()} };\n`;
}

/** The source of a file with these modules, each of which is evaluated when it's first asked for. */
function byNeed(paths: Iterable<string>): string {
  const getters = Array.from(paths, (path) => `${nameOf(path)}: () => require(${JSON.stringify(path)})`);
  return `export const modules = { ${getters.join()} };\n`;
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

/** Names a file and its bytecode after its content; returns the name. */
function nameByContent(folder: string, part: string): string {
  const text = readFileSync(join(folder, `${part}.cjs`), "utf8");
  const name = `${part}-${new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 12)}.cjs`;
  for (const end of ["", ".jsc"])
    renameSync(join(folder, `${part}.cjs${end}`), join(folder, `${name}${end}`));
  return name;
}

/** The name of a module in the bundled files, quoted. */
function nameOf(path: string): string {
  return JSON.stringify(relative(join(root, "src"), path));
}

/** The modules that these import, directly or not, themselves included, without those in `found`; "all": and those that they may load later. */
function reachedFrom(
  paths: readonly string[],
  which: "start" | "all",
  found: Set<string> = new Set(),
): Set<string> {
  for (const path of paths) {
    if (found.has(path)) continue;
    found.add(path);
    // the transpiler takes no "#!" line
    const text = readFileSync(path, "utf8").replace(/^#!.*/, "");
    const imports = new Bun.Transpiler({ loader: "ts" }).scanImports(text);
    const meant = imports.filter(
      (one) => one.path.startsWith(".") && (which === "all" || one.kind === "import-statement"),
    );
    const reached = meant.map((one) => join(dirname(path), one.path));
    reachedFrom(reached, which, found);
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

/** `later.ts` needs what CommonJS gives to the file; the bundler would take it for its own. */
const coreBanner = ["soon", "packr", "library", "rest"].reduce(
  (text, name) => `${text}const $${name}=(path)=>module.exports.${name}(path);`,
  "const $require=require,$module=module;",
);

const loader = `function load() {
  try {
    return require(import.meta.dirname + "/core.cjs");
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
// Bun collects garbage once its main file is evaluated: that takes longer than most commands run
await cli.main(Bun.argv.slice(2));
`;

if (import.meta.main) await bundle(Bun.argv[2] ?? "");
