/** Compiles a program and its actors into one executable. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, extname, isAbsolute, join, relative, resolve } from "node:path";
import type { BunPlugin } from "bun";

import { UsageError } from "../exit.ts";
import { BuildError, faultsOf } from "./faults.ts";
import { Layout } from "./layout.ts";
import { importMetaDefines, withImportMeta } from "./rewrite.ts";
import { scanProgram, scriptFiles } from "./scan.ts";

export interface BuildOptions {
  /** The program's main module. */
  readonly file: string;
  readonly outfile: string;
  /** Patterns of further modules that actors may have, relative to the working directory. */
  readonly actors?: readonly string[];
  readonly minify?: boolean;
  /** Whether to compile ahead to bytecode, so that the program and its actors start faster; default true. */
  readonly bytecode?: boolean;
  /** Ends the build: whatever executable was there stays. */
  readonly signal?: AbortSignal;
  /** The system it is for, such as `"bun-linux-arm64"`; default: this one. */
  readonly target?: string;
}

export interface BuildResult {
  readonly outfile: string;
  readonly bytes: number;
  /** The modules that actors may have, by their paths relative to the working directory. */
  readonly actors: readonly string[];
}

/**
 * @throws {UsageError} when a file is missing, or the executable can't be written there
 * @throws {BuildError} when a file can't be bundled
 */
export async function buildProgram(options: BuildOptions): Promise<BuildResult> {
  const main = mainFile(options.file);
  const outfile = outputFile(options.outfile, main);
  const packages = new Map<string, string>();
  const actors = (options.actors ?? []).flatMap((pattern) => {
    const packaged = packageModule(pattern, main);
    if (packaged !== undefined) packages.set(pattern, packaged);
    return packaged ?? matching(pattern);
  });
  const own = furrowFolder(main);
  const isOwn = (path: string): boolean => path.startsWith(`${own}/src/`) || path.startsWith(`${own}/lib/`);
  const isSearched = (path: string): boolean => !isOwn(path) && !path.includes("/node_modules/");
  try {
    const files = await Promise.race([scanProgram(main, actors, isSearched), rejectionOf(options.signal)]);
    const layout = new Layout(files, packages, isSearched, isOwn);
    await compile(outfile, own, layout, options);
    return {
      outfile,
      bytes: statSync(outfile).size,
      actors: files.modules.map((path) => relative(process.cwd(), path)),
    };
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new BuildError(`cannot build ${options.file}:${faultsOf(error)}`, { cause: error });
  }
}

async function compile(outfile: string, own: string, layout: Layout, options: BuildOptions): Promise<void> {
  const { minify = false, bytecode = true, target, signal } = options;
  const entry = join(layout.folder, `${basename(outfile)}.furrow.ts`);
  mkdirSync(dirname(outfile), { recursive: true });
  // Bun leaves other files beside it. A failure leaves the old executable, and one that runs can be replaced.
  const folder = mkdtempSync(`${outfile}-`);
  const unfinished = join(folder, "program");
  try {
    const bundling = Bun.build({
      // modules as entry points are found by new Worker(), too
      entrypoints: [entry, ...layout.modules],
      files: { [entry]: layout.entry(own) },
      root: layout.folder,
      target: "bun",
      format: "esm",
      // otherwise each module would have a furrow of its own
      splitting: true,
      sourcemap: "inline",
      minify,
      bytecode,
      define: importMetaDefines,
      plugins: [rewriting(layout)],
      compile: {
        outfile: unfinished,
        ...(target !== undefined && { target: target as Bun.Build.CompileTarget }),
      },
    });
    // the bundler can't be stopped, but the process ends
    await Promise.race([bundling, rejectionOf(signal)]);
    renameSync(unfinished, outfile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Rejects when the signal is aborted. */
function rejectionOf(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const onAbort = (): void => reject(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  return promise;
}

/** Gives the bundler the sources with what they need of `import.meta`. */
function rewriting(layout: Layout): BunPlugin {
  return {
    name: "rewriting",
    setup(build) {
      build.onLoad({ filter: scriptFiles }, ({ path }) => {
        if (!existsSync(path)) return undefined; // the entry
        const contents = withImportMeta(readFileSync(path, "utf8"), layout.place(path));
        return contents === undefined ? undefined : { contents, loader: loaderOf(path) };
      });
    },
  };
}

function loaderOf(path: string): "ts" | "tsx" | "jsx" {
  if (extname(path) === ".tsx") return "tsx";
  return /\.[cm]?ts$/.test(path) ? "ts" : "jsx";
}

function mainFile(file: string): string {
  const path = resolve(file);
  if (!existsSync(path)) throw new UsageError(`${file} does not exist`);
  if (!statSync(path).isFile() || !scriptFiles.test(path))
    throw new UsageError(`${file} is not a TypeScript or JavaScript file`);
  return realpathSync(path);
}

function outputFile(outfile: string, main: string): string {
  const path = resolve(outfile);
  if (existsSync(path) && !statSync(path).isFile())
    throw new UsageError(`${outfile} exists and is not a file`);
  if (existsSync(path) && realpathSync(path) === main)
    throw new UsageError(`${outfile} is the program itself: name another file`);
  return path;
}

/** The files that match a pattern of `--actors`. */
function matching(pattern: string): string[] {
  const absolute = isAbsolute(pattern) ? pattern : resolve(pattern);
  if (existsSync(absolute) && statSync(absolute).isFile()) return [realpathSync(absolute)];
  const found = Array.from(
    new Bun.Glob(pattern).scanSync({ cwd: process.cwd(), absolute: true, onlyFiles: true }),
  );
  const scripts = found.filter((path) => scriptFiles.test(path) && !path.endsWith(".d.ts"));
  if (scripts.length === 0) throw new UsageError(`no module matches --actors ${pattern}`);
  return scripts.map((path) => realpathSync(path)).toSorted();
}

/** The path of a module of a package, if `--actors` names one. */
function packageModule(specifier: string, main: string): string | undefined {
  if (/^[./]|[*?{[]/.test(specifier) || existsSync(specifier)) return undefined;
  try {
    return realpathSync(Bun.resolveSync(specifier, dirname(main)));
  } catch {
    return undefined; // a pattern that matches nothing
  }
}

/** The folder of the package furrow that the program imports; this one, if it can't be found from there. */
function furrowFolder(main: string): string {
  let manifest: string;
  try {
    manifest = Bun.resolveSync("furrow/package.json", dirname(main));
  } catch {
    manifest = Bun.resolveSync("furrow/package.json", dirname(import.meta.path));
  }
  return dirname(realpathSync(manifest));
}
