/**
 * Bundles all of `src`, with its bytecode, and writes the package's entry points that load it:
 * `bun .ci/bundle.ts FOLDER`.
 *
 * A child process that loads the source spends about half of its start on that (bench rows `spawn` and `spawn.packed`).
 * A Bun that the bytecode doesn't suit ignores it and reads the bundled files. There are several, because reading bytecode
 * takes time by its size (`Parts`).
 *
 * No module is in two of them, so a program, its tests and its children share one instance of each. They are CommonJS because
 * Bun loads bytecode only for that; the entry points are ES modules with named exports, and so is `child.js`, the main file of
 * a child. `later.ts` says why most have a hash in their names.
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

const sources = {
  index: "src/index.ts",
  testing: "src/testing.ts",
  metrics: "src/metrics.ts",
  etcd: "src/etcd.ts",
} as const;
const root = join(import.meta.dir, "..");
const inSrc = (path: string): string => join(root, "src", path);
const index = join(root, sources.index);
/** What a child runs, and what that starts. */
const child = inSrc("tree/child.ts");
const childMain = inSrc("tree/child-main.ts");
/** What an actor loads whose registry isn't a unix socket: too little for a file of its own. */
const runtimeDir = inSrc("transport/runtime-dir.ts");
/** What a lookup loads. */
const lookups = ["discovery/brief.ts", "discovery/lookup-request.ts"].map(inSrc);
/** What a connection from another actor, a failure, a stream or a dialog loads, and a spare process. */
const soon = [
  "channel/acceptor.ts",
  "rpc/callee/failure.ts",
  "rpc/callee/context.ts",
  "rpc/callee/pump.ts",
  "rpc/caller/exchange.ts",
  "wire/values.ts",
  "tree/spare-main.ts",
  "transport/gather.ts",
  "transport/memory.ts",
].map(inSrc);
/** What an actor loads that other hosts can reach, or that has no unix sockets. */
const tcp = [
  "channel/knock.ts",
  "transport/advertise.ts",
  "transport/secret.ts",
  "transport/tcp.ts",
  "transport/tls-socket.ts",
  "transport/tls.ts",
  "transport/wildcard.ts",
].map(inSrc);
/** What an actor loads that loses its registrar: all actors of a host do so at once. */
const election = ["discovery/election.ts", "actor/metadata.ts", "transport/dead-sockets.ts"].map(inSrc);
const packr = inSrc("wire/packr.ts");
/** What an actor loads that starts others. */
const tree = ["tree/nursery.ts", "tree/root.ts", "tree/child-history.ts", "discovery/visitor.ts"].map(inSrc);
/** What a registrar loads. */
const registrar = ["discovery/registrar.ts", "discovery/tenure.ts"].map(inSrc);
/** What else the main entry point exports that waits until it is called. */
const services = [
  "discovery/explain.ts",
  "discovery/for-each-actor.ts",
  "discovery/watch-actors.ts",
  "rpc/broadcast.ts",
  "service/open-service.ts",
  "tree/client.ts",
  "tree/cluster.ts",
  "tree/health.ts",
].map(inSrc);
/** Loads what isn't part of a child's start. */
const laterLoader = join(root, ".ci/later.ts");
/** The entry point with a dependency, and the only file that it takes values of furrow from. */
const otel = inSrc("otel.ts");
const otelHooks = inSrc("inspect/hooks.ts");
/** The command line. */
const cliMain = inSrc("cli/main.ts");
/** What nothing else uses. */
const ofCli = [dirname(cliMain), inSrc("page")];

/** How the files with bytecode are built. */
const withBytecode = {
  format: "cjs",
  bytecode: true,
  minify: { whitespace: true, syntax: true },
  define: { "import.meta.path": "module.filename" },
} as const;

/** The modules of each file, and whether it evaluates them at once, or each when it's needed. */
interface Parts {
  /** What every child starts with: at once. */
  readonly core: ReadonlySet<string>;
  /** What a connection from another actor, a failure, a stream or a dialog needs, and a spare process. */
  readonly soon: ReadonlySet<string>;
  /** What tcp needs, with TLS or a secret. */
  readonly tcp: ReadonlySet<string>;
  /** What the loss of a registrar needs. */
  readonly election: ReadonlySet<string>;
  /** msgpackr, for the messages that `encode.ts` doesn't write itself: at once. */
  readonly packr: ReadonlySet<string>;
  /** What the import of furrow needs, lookups included: at once. */
  readonly library: ReadonlySet<string>;
  /** What an actor needs that starts others. */
  readonly tree: ReadonlySet<string>;
  /** What a registrar needs. */
  readonly registrar: ReadonlySet<string>;
  /** What services, watches and clients need. */
  readonly services: ReadonlySet<string>;
  /** What else there is of furrow. */
  readonly rest: ReadonlySet<string>;
  /** What every command line runs. */
  readonly cli: ReadonlySet<string>;
  /** The commands. */
  readonly commands: ReadonlySet<string>;
}

const atOnce: readonly (keyof Parts)[] = ["core", "packr", "library", "tree", "registrar"];
/** The files that `later.ts` loads. */
export const later: readonly Exclude<keyof Parts, "core" | "cli" | "commands">[] = [
  "soon",
  "tcp",
  "election",
  "packr",
  "library",
  "tree",
  "registrar",
  "services",
  "rest",
];

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
  const left = reachedFrom([childMain, cliMain, ...entries], "all");
  const isCommand = (path: string): boolean => dirname(path) === join(dirname(cliMain), "commands");
  const isCli = (path: string): boolean => ofCli.some((own) => path.startsWith(join(own, "/")));
  const commands = Array.from(left).filter(isCommand);
  /** Those of them that no part has yet. */
  const take = (paths: Iterable<string>, isMeant = (_: string): boolean => true): Set<string> => {
    const taken = Array.from(paths).filter((path) => left.has(path) && isMeant(path));
    for (const path of taken) left.delete(path);
    return new Set(taken);
  };
  return {
    core: take(reachedFrom([childMain, runtimeDir], "start")),
    soon: take(reachedFrom(soon, "start")),
    tcp: take(reachedFrom(tcp, "start")),
    election: take(reachedFrom(election, "start")),
    packr: take([packr]),
    cli: take(reachedFrom([cliMain], "all", new Set(commands)), (path) => isCli(path) && !isCommand(path)),
    library: take([
      index,
      ...reachedFrom([...importedBy(index).filter((path) => !isForLater(path)), ...lookups], "start"),
    ]),
    tree: take(reachedFrom(tree, "start")),
    registrar: take(reachedFrom(registrar, "start")),
    services: take(reachedFrom(services, "start")),
    commands: take(left, isCli),
    rest: left,
  };
}

async function bundleFiles(folder: string, parts: Parts): Promise<void> {
  const from = (part: string): string => (isLater(part) ? `$later("${part}")` : `$${part}`);
  const texts = new Map<string, ReadonlyMap<string, string>>();
  for (const [part, paths] of Object.entries(parts)) texts.set(part, await referencesTo(paths, from(part)));
  /** Builds a file, which gets the modules of the others from them. */
  const buildPart = async (part: keyof Parts, banner: string, more = "", define = {}): Promise<void> => {
    const others = Array.from(texts).filter(([name]) => name !== part);
    const paths = Array.from(parts[part]).filter((path) => path !== index);
    const all = atOnce.includes(part) ? await evaluated(paths) : byNeed(paths);
    await build(folder, `${part}.cjs`, `${all}${more}`, {
      ...withBytecode,
      define: { ...withBytecode.define, ...define },
      banner: `"use strict";${banner}`,
      plugins: [replacing(new Map(others.flatMap(([, ofPart]) => Array.from(ofPart))))],
    });
  };
  const toCore = `const $core=(path)=>require("./core.cjs").core(path),$later=(part)=>require("./core.cjs").later(part);`;
  for (const part of later) await buildPart(part, toCore, part === "library" ? await mainModule(parts) : "");
  const names = Object.fromEntries(later.map((part) => [part, nameByContent(folder, part)]));
  // CommonJS's own, for `later.ts`: the bundler would put others in their place
  const own = `const $require=require,$module=module,$later=(part)=>module.exports.later(part);`;
  const toOthers = `export { later } from ${JSON.stringify(laterLoader)};\nexport const core = (path) => modules[path]();\n`;
  await buildPart("core", own, toOthers, { $files: JSON.stringify(names) });
  const main = `export { main } from ${JSON.stringify(cliMain)};\n`;
  const to = (part: string): string => `const $${part}=(path)=>require("./${part}.cjs").modules[path]();`;
  await buildPart("cli", `${toCore}${to("commands")}`, main);
  await buildPart("commands", `${toCore}${to("cli")}`);
  writeFileSync(join(folder, "cli.js"), command, { mode: 0o755 });
  await bundleChild(folder);
}

/** Whether the main entry point loads a module only when a function of it is called. */
function isForLater(path: string): boolean {
  return tree.includes(path) || services.includes(path);
}

/** The file with a module, of those that `later.ts` loads. */
function laterPartOf(path: string, parts: Parts): string | undefined {
  return later.find((part) => parts[part].has(path));
}

function isLater(part: string): boolean {
  return (later as readonly string[]).includes(part);
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
  const getters = "export const later = () => (path) => all[path];\n";
  // an executable of furrow build begins in it
  const standalone = `export * from ${JSON.stringify(inSrc("tree/standalone.ts"))};\n`;
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

/**
 * The part of the library that is the main entry point: what that exports comes from the modules that it imports, and of some
 * only when a function of theirs is called.
 */
async function mainModule(parts: Parts): Promise<string> {
  const exported = (await import(index)) as Readonly<Record<string, unknown>>;
  const left = new Set(Object.keys(exported));
  const values: string[] = [];
  for (const imported of importedBy(index)) {
    const all = (await import(imported)) as Readonly<Record<string, unknown>>;
    const names = Object.keys(all).filter((name) => all[name] === exported[name] && left.delete(name));
    const module = inLibrary(imported, parts);
    for (const name of names) {
      if (!isForLater(imported)) values.push(`${name}: ${module}.${name}`);
      else if (isPlainFunction(all[name])) values.push(`${name}: (...given) => ${module}.${name}(...given)`);
      else throw new Error(`${name} of ${imported} isn't a function: load it at once`);
    }
  }
  if (left.size > 0) throw new Error(`no module exports ${Array.from(left).join(", ")}`);
  return `let main;\nmodules[${nameOf(index)}] = () => (main ??= { ${values.join()} });\n`;
}

/** How the library gets a module of its own, or of another part. */
function inLibrary(path: string, parts: Parts): string {
  const part = laterPartOf(path, parts);
  if (part === undefined) return `$core(${nameOf(path)})`;
  return part === "library" ? `modules[${nameOf(path)}]()` : `$later("${part}")(${nameOf(path)})`;
}

function isPlainFunction(value: unknown): boolean {
  return typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value));
}

/** The source of an ES module that exports what a module does. */
async function entryOf(path: string, parts: Parts): Promise<string> {
  const part = laterPartOf(path, parts);
  return `import furrow from "./load.js";\n${await exportsOf(path, `furrow.later("${part}")`)}`;
}

/** The source of a file with these modules, which are evaluated with it. */
async function evaluated(paths: Iterable<string>): Promise<string> {
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

/** The modules that one imports or exports from, of furrow and not for their types only. */
function importedBy(path: string): string[] {
  const imports = importsOf(path).filter(({ kind }) => kind === "import-statement");
  return imports.map((one) => join(dirname(path), one.path));
}

/** What a module imports from furrow, now or later. */
function importsOf(path: string): Bun.Import[] {
  // the transpiler takes no "#!" line
  const text = readFileSync(path, "utf8").replace(/^#!.*/, "");
  const imports = new Bun.Transpiler({ loader: "ts" }).scanImports(text);
  return imports.filter((one) => one.path.startsWith("."));
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
    const meant = importsOf(path).filter((one) => which === "all" || one.kind === "import-statement");
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
